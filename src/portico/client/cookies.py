"""Cookies as browsers keep them: RFC 6265, with the rules that its successor (6265bis) made of their
practice.

::

    session.cookies["lang"]                     # a value
    session.cookies.set("lang", "de", domain="example.org")
    [cookie.name for cookie in session.cookies]

A server sets cookies for its own host, or for a domain above it that is not everybody's (``co.uk``,
``github.io``: the public suffix list says which). ``Secure`` cookies neither go out nor come in over plain
http, nor are they replaced from there; ``http://localhost`` is no exception.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from math import inf
from time import time
from typing import Any

from portico.address import canonical_host, is_literal
from portico.client.cookie_text import SetCookie, read_set_cookie
from portico.client.url import URL
from portico.errors import AddressError, ConfigError
from portico.limits import Limits
from portico.sync import Guard

__all__ = ["Cookie", "CookieJar", "as_jar", "given_cookies"]

_NAME = re.compile(r"[^\x00-\x20\x7f;=,\"\u0100-\U0010ffff]*")
_VALUE = re.compile(r"[^\x00-\x1f\x7f;\u0100-\U0010ffff]*")
_LONGEST_PATH = 1024
_APART = 1e-6
"""Seconds between the cookies of one answer, which go back in the order in which they came."""
_LONGEST_LIFE = 400 * 86400.0
"""Seconds that a cookie may live, whatever it asks for (6265bis, 5.5)."""


@dataclass(frozen=True, slots=True)
class Cookie:
    """A cookie. ``domain``: its host, or with ``host_only=False`` that and all hosts below it. ``expires``:
    in seconds since 1970; ``None``: at the end of the session."""

    name: str
    value: str
    domain: str
    path: str = "/"
    host_only: bool = True
    secure: bool = False
    http_only: bool = False
    same_site: str | None = None
    expires: float | None = None
    created: float = 0.0

    def goes_to(self, url: URL, now: float) -> bool:
        """Whether it is sent with a request for ``url`` (RFC 6265, 5.4)."""
        if self.secure and not url.secure:
            return False
        if self.expires is not None and self.expires <= now:
            return False
        host = url.host
        if host != self.domain and (self.host_only or not _is_below(host, self.domain)):
            return False
        return _covers(self.path, url.path)


class CookieJar(MutableMapping[str, str]):
    """The cookies of a session. As a mapping: the value of a name, whatever its domain; the one set last.

    Iterating gives ``Cookie`` values. ``limits`` bound cookies in number and size: what is too much pushes
    out the oldest of its own domain first. Any thread may call.
    """

    def __init__(self, cookies: Iterable[Cookie] = (), limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._domains: dict[str, dict[tuple[str, str, bool], Cookie]] = {}
        self._count = 0
        self._guard = Guard()
        for cookie in cookies:
            self._put(cookie)

    # -- what a session does

    def header(self, url: URL, now: float | None = None) -> str | None:
        """The ``Cookie`` field of a request for ``url``; ``None`` without cookies for it."""
        domains = self._domains
        if not domains:
            return None
        found: list[Cookie] = []
        host = url.host
        while True:
            known = domains.get(host)
            if known:
                when = time() if now is None else now
                found += [cookie for cookie in list(known.values()) if cookie.goes_to(url, when)]
            host = host.partition(".")[2]
            if not host:
                break
        if not found:
            return None
        found.sort(key=lambda cookie: (-len(cookie.path), cookie.created))
        return "; ".join([f"{each.name}={each.value}" if each.name else each.value for each in found])

    def store(self, url: URL, values: Iterable[str], now: float | None = None) -> None:
        """Take what ``Set-Cookie`` fields of an answer from ``url`` say. What must not be is passed over."""
        when = time() if now is None else now
        for number, value in enumerate(values):
            found = read_set_cookie(value)
            if found is not None:
                self._take(url, found, when, when + number * _APART)

    def _take(self, url: URL, found: SetCookie, now: float, created: float) -> None:
        size = len(found.name) + len(found.value)
        if size > self._limits.cookie_bytes or len(found.path or "") > _LONGEST_PATH:
            return
        domain, host_only = _domain(url.host, found.domain)
        if domain is None or (found.secure and not url.secure) or not _keeps_promise(found, url, host_only):
            return
        path = found.path or _default_path(url.path)
        cookie = Cookie(
            found.name,
            found.value,
            domain,
            path,
            host_only,
            found.secure,
            found.http_only,
            found.same_site,
            _expiry(found, now),
            created,
        )
        if not url.secure and self._shadows_secure(cookie, now):
            return
        self._put(cookie, now)

    def _shadows_secure(self, cookie: Cookie, now: float) -> bool:
        """Whether a secure cookie of the name would be hidden by this one, set over plain http (6265bis,
        5.7)."""
        for domain, known in list(self._domains.items()):
            below = _is_below(domain, cookie.domain) or _is_below(cookie.domain, domain)
            related = domain == cookie.domain or below
            if related and any(
                other.secure
                and other.name == cookie.name
                and (other.expires is None or other.expires > now)
                and _covers(other.path, cookie.path)
                for other in list(known.values())
            ):
                return True
        return False

    def _put(self, cookie: Cookie, now: float | None = None) -> None:
        when = time() if now is None else now
        # One for the host alone is another than one for all below it (6265bis, 5.7).
        key = cookie.name, cookie.path, cookie.host_only
        with self._guard:
            known = self._domains.setdefault(cookie.domain, {})
            old = known.pop(key, None)
            self._count -= old is not None
            if cookie.expires is not None and cookie.expires <= when:
                if not known:
                    del self._domains[cookie.domain]
                return
            known[key] = cookie if old is None else replace(cookie, created=old.created)
            self._count += 1
            if len(known) > self._limits.cookies_per_domain:
                self._drop_from(cookie.domain, when)
            while self._count > self._limits.cookies:
                self._drop_from(self._crowded(), when)

    def _crowded(self) -> str:
        """A host of the owner who has most cookies: whose are in whose way, counted by registered domain."""
        owners: dict[str, list[str]] = {}
        for domain in self._domains:
            owners.setdefault(_owner(domain), []).append(domain)
        largest = max(owners.values(), key=lambda hosts: sum(len(self._domains[host]) for host in hosts))
        return min(largest, key=lambda host: next(iter(self._domains[host].values())).created)

    def _drop_from(self, domain: str, now: float) -> None:
        """Make room: those that have expired, else the one set longest ago, others before secure ones."""
        known = self._domains[domain]
        over = [key for key, cookie in known.items() if cookie.expires is not None and cookie.expires <= now]
        if not over:
            over = [next((key for key, cookie in known.items() if not cookie.secure), next(iter(known)))]
        for key in over:
            del known[key]
        self._count -= len(over)
        if not known:
            del self._domains[domain]

    # -- what users do

    def set(self, name: str, value: str | None, *, domain: str = "", path: str = "/", **facts: Any) -> None:
        """Set a cookie; ``None`` takes it away. ``domain``: a host, or with ``host_only=False`` all below
        it too. Without one it goes wherever the session asks first, and there alone. ``facts``: as of
        ``Cookie``. Raises ``ConfigError`` for a name or value that cannot be sent."""
        checked_pair(name, value or "")
        if not path.startswith("/") or not _VALUE.fullmatch(path):
            raise ConfigError(f"cookie {name!r:.60}: the path {path!r:.60} is none")
        host = canonical_host(domain.removeprefix(".")) if domain else ""
        facts.setdefault("host_only", not domain.startswith("."))
        if host and not facts["host_only"] and _is_public(host):
            raise ConfigError(f"cookie {name!r:.60}: everybody can have a name below {host}")
        if value is None:
            self.clear(host or None, path if host else None, name)
        else:
            self._put(Cookie(name, value, host, path, created=time(), **facts))

    def get_all(self, name: str) -> list[Cookie]:
        """Every cookie of a name."""
        return [cookie for cookie in self if cookie.name == name]

    def clear(self, domain: str | None = None, path: str | None = None, name: str | None = None) -> None:
        """Forget all cookies, or those of a domain, a path, a name."""
        self._forget(
            lambda cookie: (
                (domain is None or cookie.domain == domain.removeprefix("."))
                and (path is None or cookie.path == path)
                and (name is None or cookie.name == name)
            )
        )

    def clear_session(self) -> None:
        """Forget those that live no longer than their session."""
        self._forget(lambda cookie: cookie.expires is None)

    def _forget(self, unwanted: Any) -> None:
        with self._guard:
            for domain, known in list(self._domains.items()):
                kept = {key: cookie for key, cookie in known.items() if not unwanted(cookie)}
                self._count -= len(known) - len(kept)
                if kept:
                    self._domains[domain] = kept
                else:
                    del self._domains[domain]

    def __iter__(self) -> Iterator[Cookie]:  # type: ignore[override]  # as every cookie jar has it
        return iter(self._all())

    def _all(self) -> list[Cookie]:
        with self._guard:
            return [cookie for known in self._domains.values() for cookie in known.values()]

    def __len__(self) -> int:
        return self._count

    def __bool__(self) -> bool:
        return bool(self._domains)

    def __contains__(self, name: object) -> bool:
        return any(cookie.name == name for cookie in self)

    def __getitem__(self, name: str) -> str:
        found = self.get_all(name)
        if not found:
            raise KeyError(name)
        return max(found, key=lambda cookie: cookie.created).value

    def __setitem__(self, name: str, value: str) -> None:
        self.set(name, value)

    def __delitem__(self, name: str) -> None:
        if name not in self:
            raise KeyError(name)
        self.clear(name=name)

    def keys(self) -> Any:
        """The names."""
        return dict.fromkeys(cookie.name for cookie in self).keys()

    def items(self) -> Any:
        """Names and values."""
        return [(cookie.name, cookie.value) for cookie in self]

    def values(self) -> Any:
        """The values."""
        return [cookie.value for cookie in self]

    def update(self, more: Any = (), /, **values: str) -> None:
        """Set all cookies of another jar, of a mapping, or of pairs."""
        if isinstance(more, CookieJar):
            for cookie in more._all():
                self._put(cookie)
            more = ()
        for name, value in [*(more.items() if isinstance(more, Mapping) else more), *values.items()]:
            self.set(name, value)

    def popitem(self) -> tuple[str, str]:
        """Take away the cookie that was set last: name and value. Raises ``KeyError`` when there is none."""
        last = max(self._all(), key=lambda cookie: cookie.created, default=None)
        if last is None:
            raise KeyError("there are no cookies")
        self.clear(last.domain, last.path, last.name)
        return last.name, last.value

    def settle(self, url: URL) -> None:
        """Cookies that were set without a domain belong to the host of ``url`` from now on."""
        homeless = self._domains.get("")
        if not homeless:
            return
        with self._guard:
            self._domains.pop("", None)
            self._count -= len(homeless)
        for cookie in homeless.values():
            self._put(replace(cookie, domain=url.host))

    def __repr__(self) -> str:
        return f"<CookieJar: {len(self)} cookies of {len(self._domains)} hosts>"


def as_jar(given: Any) -> CookieJar:
    """A jar from what a caller gives: a jar, also one of ``http.cookiejar`` as it is now, a mapping or pairs,
    the path of a Netscape file, or ``None``. Raises ``ConfigError``.
    """
    if given is None:
        return CookieJar()
    if isinstance(given, CookieJar):
        return given
    if isinstance(given, str | os.PathLike):
        from portico.client.cookie_file import load

        return load(given)
    if hasattr(given, "extract_cookies"):
        from portico.client.cookie_file import of_standard

        return of_standard(given)
    jar = CookieJar()
    for name, value in _pairs(given):
        jar.set(name, value)
    return jar


def given_cookies(given: Any, url: URL) -> str:
    """The ``Cookie`` field of what a caller gives for one request: all of a mapping or pairs, of a jar what
    is for ``url``. Raises ``ConfigError``."""
    if isinstance(given, CookieJar) or hasattr(given, "extract_cookies"):
        jar = as_jar(given)
        jar.settle(url)
        return jar.header(url) or ""
    pairs = _pairs(given)
    for name, value in pairs:
        checked_pair(name, value)
    return "; ".join(f"{name}={value}" for name, value in pairs)


def _pairs(given: Any) -> list[tuple[str, str]]:
    try:
        return [(name, value) for name, value in (given.items() if isinstance(given, Mapping) else given)]
    except (TypeError, ValueError):
        raise ConfigError(f"cookies={given!r:.60}: expected a mapping, pairs of text, or a jar") from None


def checked_pair(name: Any, value: Any) -> None:
    """Raise ``ConfigError`` for a cookie that could be read as something else, or as more than one."""
    if not isinstance(name, str) or not isinstance(value, str):
        raise ConfigError(f"cookie {name!r:.60}: name and value are text")
    if not name or not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
        raise ConfigError(f"cookie {name!r:.60}: name or value holds a character that cookies cannot have")


def _domain(host: str, wanted: str | None) -> tuple[str | None, bool]:
    """The domain of a cookie set by ``host``, and whether it is for that host alone; ``None``: it must not
    be."""
    if wanted is None:
        return host, True
    try:
        domain = canonical_host(wanted)
    except AddressError:
        return None, False
    if is_literal(host) or is_literal(domain):
        return (host, True) if domain == host else (None, False)
    if domain != host and not _is_below(host, domain):
        return None, False
    if _is_public(domain):
        return (host, True) if domain == host else (None, False)
    return domain, False


@lru_cache(4096)
def _owner(host: str) -> str:
    """The registered domain that a host belongs to, or the host itself."""
    if is_literal(host) or "." not in host:
        return host
    return str(_suffixes().privatesuffix(host.removesuffix(".")) or host)


def _is_public(domain: str) -> bool:
    """Whether everybody can have a name below this one."""
    return "." not in domain.removesuffix(".") or bool(_suffixes().is_public(domain.removesuffix(".")))


@cache
def _suffixes() -> Any:
    from publicsuffixlist import PublicSuffixList  # a large table, of which few servers make use

    return PublicSuffixList()


def _is_below(host: str, domain: str) -> bool:
    return host.endswith(f".{domain}") and bool(domain) and not is_literal(host)


def _covers(path: str, requested: str) -> bool:
    """Whether ``requested`` is ``path``, or a path below it (RFC 6265, 5.1.4)."""
    if requested == path:
        return True
    return requested.startswith(path) and (path.endswith("/") or requested[len(path)] == "/")


def _default_path(path: str) -> str:
    return path[: path.rfind("/")] or "/"


def _keeps_promise(found: SetCookie, url: URL, host_only: bool) -> bool:
    """Whether a cookie is what its name's prefix says that it is (6265bis, 4.1.3)."""
    name = found.name.lower()
    if name.startswith("__secure-"):
        return found.secure
    if name.startswith("__host-"):
        return found.secure and found.domain is None and found.path == "/"
    return True


def _expiry(found: SetCookie, now: float) -> float | None:
    if found.max_age is not None:
        return now + min(found.max_age, _LONGEST_LIFE) if found.max_age > 0 else -inf
    return None if found.expires is None else min(found.expires, now + _LONGEST_LIFE)
