"""Cookies: read as browsers send them, written as RFC 6265bis wants them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from email.utils import formatdate

from portico.errors import ConfigError

__all__ = ["LONGEST", "Cookie", "read_cookies"]

LONGEST = 4096
"""Bytes of name and value together that browsers keep; longer cookies are dropped without a word."""

_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(
    r'[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*|"[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*"'
)
_PATH = re.compile(r"/[\x20-\x3a\x3c-\x7e]*")
_DOMAIN = re.compile(r"\.?[A-Za-z0-9]([A-Za-z0-9\-.]*[A-Za-z0-9])?")
_SAME_SITE = {"lax": "Lax", "strict": "Strict", "none": "None"}


def read_cookies(header: str | None) -> dict[str, str]:
    """The cookies of a ``Cookie`` field (several joined by ``; ``), as lenient as browsers are.

    Blanks around names and values go; quotes belong to the value (RFC 6265bis, 4.1.1); a pair without
    ``=`` or name is passed over. Of a name that comes twice the first counts: it has the longer path.
    Bytes that are UTF-8 are read so, others as latin-1.
    """
    cookies: dict[str, str] = {}
    for pair in (header or "").split(";"):
        name, equals, value = pair.partition("=")
        name = name.strip(" \t")
        if equals and name:
            cookies.setdefault(_text(name), _text(value.strip(" \t")))
    return cookies


def _text(latin: str) -> str:
    if latin.isascii():
        return latin
    try:
        return latin.encode("latin-1").decode()
    except UnicodeError:
        return latin


@dataclass(frozen=True, slots=True, kw_only=True)
class Cookie:
    """A cookie to be set. Raises ``ConfigError`` for what browsers would refuse or take for something else.

    ``max_age``: seconds, 0 deletes; ``expires``: an aware ``datetime``; neither: until the browser ends.
    ``secure=None``: where the request came by https. ``same_site``: ``Lax``, ``Strict`` or ``None``
    (as text; it needs ``secure``). ``__Host-`` names are for one host, with path ``/`` and no ``domain``;
    they and ``__Secure-`` names are secure (RFC 6265bis, 4.1.3), and so are partitioned cookies.
    """

    name: str
    value: str = ""
    max_age: int | None = None
    expires: datetime | None = None
    path: str | None = "/"
    domain: str | None = None
    secure: bool | None = None
    http_only: bool = True
    same_site: str | None = "Lax"
    partitioned: bool = False

    def __post_init__(self) -> None:
        self._check_text()
        if self.max_age is not None and (isinstance(self.max_age, bool) or not isinstance(self.max_age, int)):
            raise self._wrong(f"max_age={self.max_age!r}: expected whole seconds")
        if self.expires is not None and self.expires.tzinfo is None:
            raise self._wrong("expires needs a time zone, as in datetime.now(UTC)")
        if self._host and (self.domain is not None or self.path != "/"):
            raise self._wrong("a __Host- cookie has the path / and no domain")
        if self.secure is False and self._needs_secure:
            raise self._wrong(f"it cannot be without Secure: {self._needs_secure}")

    def _check_text(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ConfigError(f"cookie {self.name[:80]!r}: this cannot be a name")
        if not _VALUE.fullmatch(self.value):
            raise self._wrong(
                f"the value {self.value[:80]!r} has characters that cookies cannot hold; encode it"
            )
        if len(self.name) + len(self.value) > LONGEST:
            raise self._wrong(
                f"{len(self.value)} bytes are more than browsers keep ({LONGEST} with the name)"
            )
        if self.path is not None and not _PATH.fullmatch(self.path):
            raise self._wrong(f"path={self.path!r}: expected a path that begins with /")
        if self.domain is not None and not _DOMAIN.fullmatch(self.domain):
            raise self._wrong(f"domain={self.domain!r}: expected a host name")
        if self.same_site is not None and self.same_site.lower() not in _SAME_SITE:
            raise self._wrong(f'same_site={self.same_site!r}: expected "Lax", "Strict" or "None"')

    @property
    def _host(self) -> bool:
        return self.name.lower().startswith("__host-")  # browsers compare the prefixes in any case

    @property
    def _needs_secure(self) -> str:
        if self._host or self.name.lower().startswith("__secure-"):
            return "its name says so"
        if self.partitioned:
            return "it is partitioned"
        return "SameSite=None" if (self.same_site or "").lower() == "none" else ""

    def line(self, *, https: bool) -> str:
        """The value of ``Set-Cookie`` in an answer to a request that came by https, or did not."""
        parts = [f"{self.name}={self.value}"]
        if self.max_age is not None:
            parts.append(f"Max-Age={max(self.max_age, 0)}")
            if self.max_age <= 0:
                parts.append(f"Expires={formatdate(0, usegmt=True)}")
        if self.expires is not None:
            parts.append(f"Expires={formatdate(self.expires.timestamp(), usegmt=True)}")
        parts += [f"Path={self.path}"] if self.path else []
        parts += [f"Domain={self.domain.lstrip('.')}"] if self.domain else []
        secure = https if self.secure is None else self.secure
        parts += ["Secure"] if secure or self._needs_secure else []
        parts += ["HttpOnly"] if self.http_only else []
        parts += [f"SameSite={_SAME_SITE[self.same_site.lower()]}"] if self.same_site else []
        parts += ["Partitioned"] if self.partitioned else []
        return "; ".join(parts)

    def _wrong(self, what: str) -> ConfigError:
        return ConfigError(f"cookie {self.name}: {what}")
