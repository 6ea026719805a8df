"""What may be kept of answers, for how long it is fresh, and what may be done with it then: RFC 9111, pure.

The cache is private: one user's. So ``private`` and ``s-maxage`` mean nothing here, and answers to requests
with credentials are kept, each for its own credentials. Times are seconds since 1970.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import lru_cache
from typing import TYPE_CHECKING

from portico.client.cache_fields import (
    FOREVER,
    Directives,
    age_field,
    asked_directives,
    directives,
    listed_fields,
    seconds,
    varies_by,
)
from portico.http.dates import format_date, parse_date
from portico.http.field_map import Headers

if TYPE_CHECKING:
    from portico.client.request import Request

__all__ = [
    "SAFE",
    "Stored",
    "Use",
    "conditional",
    "freshened",
    "key_of",
    "made",
    "match_of",
    "same",
    "survives_error",
    "use",
]

SAFE = frozenset("GET HEAD OPTIONS TRACE PROPFIND REPORT SEARCH QUERY".split())
"""Methods that change nothing; after any other one, what is kept of its URL may be wrong (RFC 9111, 4.4)."""

_HEURISTIC = frozenset((200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501))
_UNDERSTOOD = _HEURISTIC | {302, 303, 307, 400, 401, 402, 403, 406, 409, 500, 502, 503, 504}
_SHARE = 0.1
_LONGEST_GUESS = 86400.0
"""Seconds. What nobody has promised is guessed for a day at most."""

_NOT_STORED = frozenset(
    "connection keep-alive proxy-authenticate proxy-authentication-info proxy-authorization proxy-connection "
    "set-cookie set-cookie2 te trailer transfer-encoding upgrade".split()
)
"""RFC 9111, 3.1; and cookies: they were taken when they came, and would set back what was set since."""
_OF_THE_BODY = frozenset("content-encoding content-length content-md5 content-range".split())
"""Not changed by a 304: they tell how the body that is kept has to be read (RFC 9111, 3.2)."""

Pairs = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Stored:
    """An answer that is kept. ``asked`` and ``came``: when its request was sent, and when its head was there.

    ``names``: the request fields that it depends on; ``match``: a digest of what they said, so that no
    credentials lie on the disk. ``number`` is the store's own.
    """

    key: str
    names: tuple[str, ...]
    match: bytes
    status: int
    reason: str
    version: str
    pairs: Pairs
    asked: float
    came: float
    size: int = 0
    number: int = 0
    body: bytes | None = field(default=None, repr=False, compare=False)
    """Where the store has read it with the head."""
    headers: Headers = field(init=False, repr=False, compare=False)
    says: Directives = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "headers", Headers(self.pairs))
        object.__setattr__(self, "says", directives(self.headers))

    def with_body(self, body: bytes) -> Stored:
        """The same, its body at hand."""
        return replace(self, body=body)

    @property
    def etag(self) -> str:
        """Its entity tag; empty without one."""
        return self.headers.get("etag", "")

    @property
    def date(self) -> float:
        """When it was made, by its server's clock; else when it came."""
        at = _moment(self.headers.get("date", ""), self.came)
        return self.came if at is None else at

    @property
    def lifetime(self) -> float:
        """Seconds for which it is fresh (RFC 9111, 4.2.1)."""
        promised = self._promised()
        return promised if promised is not None else self._guessed()

    def _promised(self) -> float | None:
        age = seconds(self.says, "max-age")
        if age is not None:
            return age
        expires = self.headers.get("expires")
        if expires is None:
            return None
        at = _moment(expires, self.came)
        return 0 if at is None else max(0, at - self.date)

    def _guessed(self) -> float:
        """A tenth of the time for which it had not changed (RFC 9111, 4.2.2)."""
        modified = _moment(self.headers.get("last-modified", ""), self.came)
        if modified is None or not (self.status in _HEURISTIC or "public" in self.says):
            return 0
        return min(max(0.0, self.date - modified) * _SHARE, _LONGEST_GUESS)

    def age(self, now: float) -> float:
        """RFC 9111, 4.2.3. A clock that was set back has made it older, not younger."""
        apparent = max(0.0, self.came - self.date)
        corrected = age_field(self.headers) + max(0.0, self.came - self.asked)
        return max(apparent, corrected) + abs(now - self.came)

    def worth_keeping(self) -> bool:
        """Whether it may be kept (RFC 9111, 3), and whether it can ever be of use."""
        if "no-store" in self.says and "must-understand" not in self.says:
            return False
        if "must-understand" in self.says and self.status not in _UNDERSTOOD:
            return False
        if self.status in (206, 304) or self.names == ("*",):
            return False
        allowed = {"public", "private", "max-age"} & self.says.keys()
        if not allowed and "expires" not in self.headers and self.status not in _HEURISTIC:
            return False
        validator = self.etag or "last-modified" in self.headers
        return bool(validator) or (self.lifetime > 0 and not self.always_asks)

    @property
    def always_asks(self) -> bool:
        """Whether every use wants the server's consent: ``no-cache`` without a list of fields."""
        return "no-cache" in self.says and listed_fields(self.says, "no-cache") is None

    @property
    def never_stale(self) -> bool:
        """Whether its server forbids any use of it once it is stale."""
        return self.always_asks or "must-revalidate" in self.says


class Use(Enum):
    """What may be done with a stored answer."""

    FRESH = "hit"
    STALE = "stale"
    """It is stale, and both sides allow that."""
    REFRESH = "refresh"
    """As ``STALE``, and the server is to be asked beside (RFC 5861, 3)."""
    ASK = "ask"
    """The server has to be asked first."""


def use(stored: Stored, request: Request, now: float) -> Use:
    """What may be done with an answer, for a request that it matches (RFC 9111, 4)."""
    asked = asked_directives(request.headers)
    if "no-cache" in asked or stored.always_asks:
        return Use.ASK
    age, lifetime = stored.age(now), stored.lifetime
    staleness = age - lifetime
    if not _young(stored, asked, age, staleness):
        return Use.ASK
    if staleness < 0:
        return Use.FRESH
    if stored.never_stale:
        return Use.ASK
    if "max-stale" in asked and staleness <= _or_forever(asked, "max-stale"):
        return Use.STALE
    if {"max-age", "min-fresh"} & asked.keys():
        return Use.ASK
    return Use.REFRESH if staleness <= (seconds(stored.says, "stale-while-revalidate") or -1) else Use.ASK


def _young(stored: Stored, asked: Directives, age: float, staleness: float) -> bool:
    """What a request says of the age of its answer."""
    most = seconds(asked, "max-age")
    immutable = "immutable" in stored.says and staleness < 0 and most == 0  # a mere reload (RFC 8246, 2)
    if most is not None and age >= most and not immutable and not _bears(asked, age - most):
        return False
    fresh = seconds(asked, "min-fresh")
    return fresh is None or -staleness >= fresh


def _bears(asked: Directives, excess: float) -> bool:
    return False if "max-stale" not in asked else excess <= _or_forever(asked, "max-stale")


def _or_forever(asked: Directives, name: str) -> int:
    return FOREVER if asked[name] == (None,) else seconds(asked, name) or 0


def survives_error(stored: Stored, request: Request, now: float) -> bool:
    """Whether a stored answer may take the place of an error (``stale-if-error``: RFC 5861, 4)."""
    asked = asked_directives(request.headers)
    if stored.never_stale or "no-cache" in asked:
        return False
    staleness = stored.age(now) - stored.lifetime
    allowed = [seconds(says, "stale-if-error") for says in (stored.says, asked)]
    return any(most is not None and staleness <= most for most in allowed)


def key_of(request: Request) -> str:
    """What answers are kept under: the whole URL, without its fragment and a user's name."""
    return str(request.url.without_fragment())


def match_of(request: Request, names: tuple[str, ...]) -> bytes:
    """A digest of what a request says in the fields ``names`` (RFC 9111, 4.1), and of its credentials."""
    said = hashlib.blake2b(digest_size=16)
    for name in (*names, "authorization"):
        value = request.headers.get(name)
        parts = () if value is None else (part.strip() for part in value.split(","))
        said.update(repr((name, None if value is None else list(parts))).encode())
    return said.digest()


def made(
    request: Request, status: int, reason: str, version: str, pairs: Pairs, asked: float, came: float
) -> Stored:
    """An answer as it would be kept: without what belongs to its connection, and with a date."""
    headers = Headers(pairs)
    names = varies_by(headers)
    kept = _kept_fields(headers)
    if _moment(headers.get("date", ""), came) is None:
        kept = [pair for pair in kept if pair[0] != "date"] + [("date", format_date(int(came)))]
    match = match_of(request, names)
    return Stored(key_of(request), names, match, status, reason, version, kept, asked, came)


def _kept_fields(headers: Headers) -> Pairs:
    dropped = _NOT_STORED | {name.strip().lower() for name in headers.get("connection", "").split(",")}
    dropped |= listed_fields(directives(headers), "no-cache") or frozenset()
    return [(name, value) for name, value in headers.pairs if name not in dropped]


def conditional(request: Request, stored: Stored) -> Request:
    """The request that asks whether a stored answer is still right (RFC 9111, 4.3.1).

    Without a validator, it is the request itself.
    """
    modified = stored.headers.get("last-modified", "")
    if not stored.etag and not modified:
        return request
    asking = request.but()
    if stored.etag:
        asking.headers["If-None-Match"] = stored.etag
    if modified:
        asking.headers["If-Modified-Since"] = modified
    return asking


def same(stored: Stored, headers: Headers) -> bool:
    """Whether a 304, or the answer to a HEAD, speaks of the answer that is kept (RFC 9111, 4.3.4, 4.3.5)."""
    etag = headers.get("etag")
    if etag is not None and stored.etag:
        return etag.removeprefix("W/") == stored.etag.removeprefix("W/")
    modified = headers.get("last-modified")
    return modified is None or modified == stored.headers.get("last-modified", modified)


def freshened(stored: Stored, request: Request, headers: Headers, asked: float, came: float) -> Stored:
    """A stored answer with the fields of a 304, or of the answer to a HEAD (RFC 9111, 3.2)."""
    news = made(request, stored.status, stored.reason, stored.version, headers.pairs, asked, came)
    changed = [pair for pair in news.pairs if pair[0] not in _OF_THE_BODY]
    gone = {name for name, _ in changed} | {"age"}
    pairs = [pair for pair in stored.pairs if pair[0] not in gone] + changed
    names = varies_by(Headers(pairs))
    return replace(stored, names=names, match=match_of(request, names), pairs=pairs, asked=asked, came=came)


def _moment(text: str, now: float) -> int | None:
    return _known_date(text, int(now) >> 24) if text else None


@lru_cache(512)
def _known_date(text: str, now: int) -> int | None:
    # The same dates are read at each use. For a year of two digits, half a year more or less is no matter.
    return parse_date(text, now << 24)
