"""Parts of a resource (RFC 9110, 14): which version an answer is of, and whether it is the part that was
asked for."""

from __future__ import annotations

import re
from time import time

from portico.client.part_file import Version
from portico.client.response import Response
from portico.http.dates import parse_date

__all__ = ["Unexpected", "check_range", "version_of"]

_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)")
_SETTLED = 1.0
"""Seconds that a resource has been as it is before its date tells versions apart (RFC 9110, 8.8.2.2)."""


class Unexpected(Exception):
    """The server has sent another part, or a part of another version."""


def version_of(response: Response) -> Version:
    """Which version of the resource a whole or partial answer is of; only what is proof of that is kept."""
    headers = response.headers
    if headers.get("content-encoding", "identity") != "identity":
        # Packed though we asked for it as it is: what is sent next time may not be, under the same tag.
        return Version(str(response.url), size=_size(response))
    etag = headers.get("etag")
    if etag is not None and not (etag.startswith('"') and etag.endswith('"') and len(etag) > 2):
        etag = None  # a weak one, or none at all: byte ranges need a strong one
    modified = headers.get("last-modified")
    if modified is not None and not _is_strong(modified, headers.get("date")):
        modified = None
    return Version(str(response.url), etag, modified, _size(response))


def check_range(response: Response, start: int, version: Version) -> None:
    """Raise ``Unexpected`` unless ``response`` (a 206) is of ``version`` and begins at ``start``."""
    found = _RANGE.fullmatch(response.headers.get("content-range", "").strip())
    if response.status != 206 or found is None:
        raise Unexpected
    begin, end, total = int(found[1]), int(found[2]), found[3]
    if begin != start or end < begin or (total != "*" and version.size not in (None, int(total))):
        raise Unexpected
    # Some servers do not heed If-Range.
    for name, known in (("etag", version.etag), ("last-modified", version.modified)):
        told = response.headers.get(name)
        if told is not None and known is not None:
            if told != known:
                raise Unexpected
            break  # the same tag is the same version, whatever the time of a copy is
    if "content-encoding" in response.headers and response.headers["content-encoding"] != "identity":
        raise Unexpected  # its bytes are counted in another way


def _size(response: Response) -> int | None:
    if response.status == 206:
        found = _RANGE.fullmatch(response.headers.get("content-range", "").strip())
        return int(found[3]) if found is not None and found[3] != "*" else None
    length = response.headers.get("content-length", "").partition(",")[0]
    return int(length) if length.isascii() and length.isdigit() else None


def _is_strong(modified: str, date: str | None) -> bool:
    now = time()
    changed, sent = parse_date(modified, now), parse_date(date, now) if date else None
    return changed is not None and sent is not None and changed + _SETTLED <= sent
