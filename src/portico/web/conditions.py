"""Preconditions of a request (RFC 9110, section 13), pure.

A header that cannot be read never makes an answer shorter: an unreadable If-None-Match matches nothing,
an unreadable If-Match fails, an unreadable date is ignored (13.1.3, 13.1.4).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from portico.http.dates import parse_date

__all__ = ["FIELDS", "evaluate", "range_applies"]

FIELDS = frozenset(
    ("if-match", "if-unmodified-since", "if-none-match", "if-modified-since", "if-range", "range")
)
"""The names of all request fields that decide which part of a representation is sent, if any."""

_TAG = re.compile(r'((?:W/)?"[\x21\x23-\x7e\x80-\xff]*")[ \t]*(?:,|$)')
_GAP = re.compile(r"[ \t,]*")


def evaluate(fields: Mapping[str, str], method: str, etag: str, modified: int, *, now: float) -> int:
    """200: go on; 304: the client has it already; 412: a precondition failed.

    ``fields`` maps lower-case names to values, several joined by commas; ``etag`` is the current entity
    tag with its quotes, ``modified`` the current Last-Modified. The order is that of RFC 9110, 13.2.2.
    """
    if "if-match" in fields:  # 1
        if not _listed(fields["if-match"], etag, weak=False):
            return 412
    elif "if-unmodified-since" in fields:  # 2
        limit = parse_date(fields["if-unmodified-since"], now)
        if limit is not None and modified > limit:
            return 412
    reading = method in ("GET", "HEAD")
    if "if-none-match" in fields:  # 3
        if _listed(fields["if-none-match"], etag, weak=True):
            return 304 if reading else 412
    elif "if-modified-since" in fields and reading:  # 4
        since = parse_date(fields["if-modified-since"], now)
        if since is not None and modified <= since:
            return 304
    return 200


def range_applies(fields: Mapping[str, str], method: str, etag: str, modified: int, *, now: float) -> bool:
    """Whether the Range header is to be obeyed (step 5 of RFC 9110, 13.2.2).

    Only for GET, and with If-Range only when its validator is strong and the current one: a date is
    strong when it is a second old, so that nothing can have changed twice within it (8.8.2.2).
    """
    if method != "GET" or "range" not in fields:
        return False
    validator = fields.get("if-range")
    if validator is None:
        return True
    if '"' in validator:
        return validator == etag and not etag.startswith("W/")
    return parse_date(validator, now) == modified and now - modified >= 1


def _listed(value: str, etag: str, *, weak: bool) -> bool:
    """Whether ``*`` or a list of entity tags names ``etag``, by weak or strong comparison (8.8.3.2)."""
    if value.strip() == "*":
        return True
    tags = _tags(value)
    if weak:
        return etag.removeprefix("W/") in [tag.removeprefix("W/") for tag in tags]
    return not etag.startswith("W/") and etag in tags


def _tags(value: str) -> list[str]:
    """The entity tags of a list; none at all when any of it cannot be read."""
    tags = []
    at = _after_gap(value, 0)
    while at < len(value):
        match = _TAG.match(value, at)
        if match is None:
            return []
        tags.append(match[1])
        at = _after_gap(value, match.end())
    return tags


def _after_gap(value: str, at: int) -> int:
    match = _GAP.match(value, at)
    return match.end() if match else at
