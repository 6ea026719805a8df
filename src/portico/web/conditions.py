"""Preconditions of a request (RFC 9110, section 13) and the dates they are written in, pure.

A header that cannot be read never makes an answer shorter: an unreadable If-None-Match matches nothing,
an unreadable If-Match fails, an unreadable date is ignored (13.1.3, 13.1.4).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache

__all__ = ["FIELDS", "evaluate", "format_date", "parse_date", "range_applies"]

FIELDS = frozenset(
    ("if-match", "if-unmodified-since", "if-none-match", "if-modified-since", "if-range", "range")
)
"""The names of all request fields that decide which part of a representation is sent, if any."""

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_TIME = "(?P<H>[0-9]{2}):(?P<M>[0-9]{2}):(?P<S>[0-9]{2})"
_MONTH = f"(?P<b>{'|'.join(_MONTHS)})"
_DAY = f"(?:{'|'.join(_DAYS)})"
_LONG_DAY = "(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day"
_DATES = (
    re.compile(f"{_DAY}, (?P<d>[0-9]{{2}}) {_MONTH} (?P<Y>[0-9]{{4}}) {_TIME} GMT"),  # IMF-fixdate
    re.compile(f"{_LONG_DAY}, (?P<d>[0-9]{{2}})-{_MONTH}-(?P<y>[0-9]{{2}}) {_TIME} GMT"),  # RFC 850
    re.compile(f"{_DAY} {_MONTH} (?P<d>[0-9 ][0-9]) {_TIME} (?P<Y>[0-9]{{4}})"),  # asctime
)
_TAG = re.compile(r'((?:W/)?"[\x21\x23-\x7e\x80-\xff]*")[ \t]*(?:,|$)')
_GAP = re.compile(r"[ \t,]*")


@lru_cache(maxsize=1024)
def format_date(seconds: int) -> str:
    """The HTTP date of a POSIX time, as ``Sun, 06 Nov 1994 08:49:37 GMT`` (RFC 9110, 5.6.7).

    Times outside the years 1 to 9999 are moved to the nearest that can be written.
    """
    at = _EPOCH + timedelta(seconds=max(-62135596800, min(seconds, 253402300799)))
    day, month = _DAYS[at.weekday()], _MONTHS[at.month - 1]
    return f"{day}, {at.day:02} {month} {at.year:04} {at:%H:%M:%S} GMT"


def parse_date(text: str, now: float) -> int | None:
    """The POSIX time of an HTTP date in any of its three forms, or ``None`` (RFC 9110, 5.6.7).

    ``now`` settles the century of a year with two digits: at most fifty years ahead.
    """
    for form in _DATES:
        match = form.fullmatch(text)
        if match:
            return _moment(match.groupdict(), now)
    return None


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


def _moment(parts: dict[str, str], now: float) -> int | None:
    year = int(parts["Y"]) if "Y" in parts else _century(int(parts["y"]), now)
    second = int(parts["S"])
    leap = second == 60  # a leap second is legal and has no POSIX time of its own
    try:
        at = datetime(
            year,
            _MONTHS.index(parts["b"]) + 1,
            int(parts["d"]),
            int(parts["H"]),
            int(parts["M"]),
            second - leap,
            tzinfo=UTC,
        )
    except ValueError:
        return None
    return round((at - _EPOCH).total_seconds()) + leap


def _century(year: int, now: float) -> int:
    """Two digits become the year that is not more than fifty years ahead of ``now``."""
    this = (_EPOCH + timedelta(seconds=now)).year
    full = this - this % 100 + year
    return full - 100 if full > this + 50 else full


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
