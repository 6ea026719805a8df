"""What a client is asked to open: one value for every URL (RFC 3986, and the URL standard of the WHATWG).

::

    url = URL.parse("https://me:secret@bücher.example/a/../b c?q=ö#top")
    str(url)       "https://xn--bcher-kva.example/b%20c?q=%C3%B6#top"
    url.target     "/b%20c?q=%C3%B6"
    url.join("../x")

Where the two standards, or two programs that follow them, would go to different hosts, the URL is refused:
backslashes before the path, several ``@``, control characters, numbers that may be hosts. What is harmless is
percent-encoded, as browsers do. A user's name and password are kept apart, and never part of what is shown.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import quote, unquote

from portico.address import canonical_host
from portico.errors import AddressError

__all__ = ["DEFAULT_PORTS", "URL", "Origin"]

DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443, "ftp": 21, "ftps": 990}

_LONGEST = 1 << 16
"""Characters of a URL; ``data:`` URLs, which hold their content, may be longer."""
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_FORBIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_AROUND = "".join(map(chr, range(0x21)))  # C0 controls and the blank, which browsers strip too
_PORT = re.compile(r"[0-9]{1,9}", re.ASCII)
_BAD_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_DOTS = re.compile(r"(?:\.|%2[eE]){1,2}")

# What stays as it is; all else is percent-encoded as UTF-8.
_IN_PATH = "%/!$&'()*+,;=:@~[]"
_IN_QUERY = "%/?!$&()*+,;=:@~[]{}|^`"
_IN_FRAGMENT = "%/?!$&'()*+,;=:@~#[]{}|^"


class Origin(NamedTuple):
    """Whom a URL belongs to: what may see its cookies and credentials (RFC 6454)."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.scheme}://{_authority(self.scheme, self.host, self.port)}"


@dataclass(frozen=True, slots=True)
class URL:
    """A URL taken apart. ``str()`` gives it back in its one spelling, without a user's name and password.

    ``host`` is canonical, without brackets; empty where the scheme has none. ``port`` is the scheme's own
    where none is given, 0 where it has none. ``path`` and ``query`` (``None``: there is none) are
    percent-encoded; of ``data:`` and the like, ``path`` is all that follows the scheme. ``username`` and
    ``password`` are decoded.
    """

    scheme: str
    host: str = ""
    port: int = 0
    path: str = "/"
    query: str | None = None
    fragment: str | None = None
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, text: str | URL, base: URL | None = None) -> URL:
        """Read a URL; with ``base``, a reference that may be relative to it. Raises ``AddressError``."""
        if base is None and type(text) is str:  # most are such
            return _read(text)
        if isinstance(text, URL):
            return text
        if not isinstance(text, str):
            raise AddressError(f"expected a URL, not {type(text).__name__}")
        return _read(text) if base is None else _join(base, text)

    def join(self, reference: str | URL) -> URL:
        """What ``reference`` means in a document of this URL (RFC 3986, 5). Raises ``AddressError``."""
        return URL.parse(reference, self)

    @property
    def origin(self) -> Origin:
        """Scheme, host and port."""
        return Origin(self.scheme, self.host, self.port)

    @property
    def secure(self) -> bool:
        """Whether what is sent there is encrypted."""
        return self.scheme in ("https", "wss", "ftps")

    @property
    def authority(self) -> str:
        """Host and port, as a ``Host`` field names them: without the scheme's own port, and without the zone
        of an IPv6 address, which is no business of the server (RFC 6874, 4)."""
        host = self.host if self.socket_path else self.host.partition("%")[0]
        return _authority(self.scheme, host, self.port)

    @property
    def target(self) -> str:
        """Path and query: what a request line asks for."""
        return self.path if self.query is None else f"{self.path}?{self.query}"

    @property
    def socket_path(self) -> str:
        """Of ``http+unix:``, the path of the socket; empty for any other scheme."""
        return self.host if self.scheme == "http+unix" else ""

    def with_query(self, query: str | None) -> URL:
        """The same with another query, which is encoded where it has to be."""
        return replace(self, query=None if query is None else _encoded(query, _IN_QUERY))

    def without_fragment(self) -> URL:
        """The same without its fragment, which is no business of servers."""
        return self if self.fragment is None else replace(self, fragment=None)

    def without_user(self) -> URL:
        """The same without a user's name and password."""
        return self if self.username is None else replace(self, username=None, password=None)

    def __str__(self) -> str:
        authority = _authority(self.scheme, self.host, self.port)
        place = f"//{authority}" if self.host or self.path.startswith("/") else ""
        fragment = "" if self.fragment is None else f"#{self.fragment}"
        return f"{self.scheme}:{place}{self.target}{fragment}"


def _authority(scheme: str, host: str, port: int) -> str:
    if scheme == "http+unix":
        return quote(host, safe="")
    name = f"[{host}]" if ":" in host else host
    return name if not port or port == DEFAULT_PORTS.get(scheme) else f"{name}:{port}"


@lru_cache(2048)
def _read(text: str) -> URL:
    try:
        return _absolute(_clean(text))
    except AddressError as error:
        raise AddressError(f"URL {_shown(text)}: {error}") from None


def _join(base: URL, text: str) -> URL:
    try:
        reference = _clean(text)
        if _SCHEME.match(reference):
            return _absolute(reference)
        return _relative(base, reference)
    except AddressError as error:
        raise AddressError(f"URL {_shown(text)} (in {base}): {error}") from None


def _clean(text: str) -> str:
    text = text.strip(_AROUND)
    if len(text) > _LONGEST and not text[:5].lower() == "data:":
        raise AddressError(f"it is {len(text)} characters long; {_LONGEST} are allowed")
    found = _FORBIDDEN.search(text)
    if found:
        raise AddressError(f"it contains the character {found[0]!r}")
    return text


def _absolute(text: str) -> URL:
    found = _SCHEME.match(text)
    if found is None:
        raise AddressError("it has no scheme; write https:// before it" if text else "it is empty")
    scheme, rest = found[1].lower(), text[found.end() :]
    rest, fragment = _cut(rest, "#")
    if scheme == "data" or not (rest.startswith("/") or scheme in _WITH_HOST):
        return _opaque(scheme, rest, fragment)
    if not rest.startswith("//"):
        if scheme != "file":
            raise AddressError(f"// is missing after {scheme}:")
        return _located(scheme, "", rest, fragment)
    authority, path = _split_authority(rest[2:])
    return _located(scheme, authority, path, fragment)


_WITH_HOST = frozenset((*DEFAULT_PORTS, "http+unix", "file"))


def _opaque(scheme: str, rest: str, fragment: str | None) -> URL:
    if rest[:1].isdigit() and ("." in scheme or scheme == "localhost"):
        raise AddressError(f"it has no scheme; write https://{scheme}:… for the host {scheme}")
    # A blank is kept as it is: to data: URLs it is content.
    return URL(scheme, path=_encoded(rest, _IN_QUERY + " \"<>'\\"), fragment=_fragment(fragment))


def _split_authority(rest: str) -> tuple[str, str]:
    end = next((at for at, character in enumerate(rest) if character in "/?"), len(rest))
    authority = rest[:end]
    if "\\" in authority:
        # Browsers take it for a slash, others for a part of the user's name: they go to different hosts.
        raise AddressError("a backslash before the path")
    return authority, rest[end:]


def _located(scheme: str, authority: str, rest: str, fragment: str | None) -> URL:
    userinfo, at, place = authority.rpartition("@")
    if "@" in userinfo:
        raise AddressError("more than one @ before the path; write %40 in a user name or password")
    host, port = _host_port(scheme, place)
    username, password = _user(userinfo) if at else (None, None)
    path, query = _cut(rest, "?")
    return URL(
        scheme,
        host,
        port,
        _normal_path(path or "/"),
        None if query is None else _encoded(query, _IN_QUERY),
        _fragment(fragment),
        username,
        password,
    )


def _user(userinfo: str) -> tuple[str, str | None]:
    name, colon, password = userinfo.partition(":")
    try:
        decoded = [unquote(part, errors="strict") if "%" in part else part for part in (name, password)]
    except UnicodeDecodeError:
        raise AddressError("the user's name or password is not UTF-8") from None
    if any(_FORBIDDEN.search(part) for part in decoded):
        raise AddressError("the user's name or password contains a control character")
    return decoded[0], decoded[1] if colon else None


def _host_port(scheme: str, place: str) -> tuple[str, int]:
    if scheme == "http+unix":
        return _socket(place), 0
    if place.startswith("["):
        host, bracket, after = place[1:].partition("]")
        if not bracket or (after and not after.startswith(":")) or ":" not in host:
            raise AddressError(f"{place!r} is no IPv6 address in brackets")
        port = after[1:]
    else:
        host, _, port = place.partition(":")
        if ":" in port:
            raise AddressError("an IPv6 address belongs in brackets: [::1]")
    if scheme == "file":
        if port or host.lower() not in ("", "localhost"):
            raise AddressError("a file: URL names a file of this machine: write file:///path")
        return "", 0
    if not host:
        raise AddressError("it has no host")
    return canonical_host(_decoded_host(host)), _port(scheme, port)


def _decoded_host(host: str) -> str:
    if ":" in host or "%" not in host:
        return host  # the zone of an IPv6 address is written with a percent sign
    try:
        return unquote(host, errors="strict")
    except UnicodeDecodeError:
        raise AddressError(f"{host!r} is no host name") from None


def _socket(place: str) -> str:
    path = unquote(place)
    if not path or _FORBIDDEN.search(path):
        raise AddressError(
            "http+unix:// takes the path of a socket, percent-encoded: http+unix://%2Frun%2Fx.sock/"
        )
    return path


def _port(scheme: str, text: str) -> int:
    default = DEFAULT_PORTS.get(scheme, 0)
    if not text:
        return default
    if not _PORT.fullmatch(text) or not 0 < int(text) < 65536:
        raise AddressError("the port is no number from 1 to 65535")  # it may be a password with a slash
    return int(text)


def _relative(base: URL, text: str) -> URL:
    """RFC 3986, 5.2.2, for a reference without a scheme."""
    reference, fragment = _cut(text, "#")
    if base.scheme not in _WITH_HOST and reference:
        raise AddressError(f"nothing is relative to a {base.scheme}: URL")
    if reference.startswith(("\\", "/\\")):
        raise AddressError("a backslash where the path begins")  # to browsers it is a slash: //host
    if reference.startswith("//"):
        authority, path = _split_authority(reference[2:])
        return _located(base.scheme, authority, path, fragment)
    path, query = _cut(reference, "?")
    if not path:
        query = base.query if query is None else _encoded(query, _IN_QUERY)
        return replace(base, query=query, fragment=_fragment(fragment))
    if not path.startswith("/"):
        path = base.path[: base.path.rfind("/") + 1] + path
    return replace(
        base,
        path=_normal_path(path),
        query=None if query is None else _encoded(query, _IN_QUERY),
        fragment=_fragment(fragment),
    )


def _normal_path(path: str) -> str:
    """Encoded, without dot segments (RFC 3986, 5.2.4), however these are spelt."""
    path = _encoded(path, _IN_PATH)
    if not path.startswith("/"):
        path = f"/{path}"
    if "/." not in path and "/%2" not in path:
        return path
    kept: list[str] = []
    segments = path.split("/")[1:]
    for number, segment in enumerate(segments):
        last = number == len(segments) - 1
        if not _DOTS.fullmatch(segment):
            kept.append(segment)
            continue
        if len(segment.lower().replace("%2e", ".")) == 2 and kept:
            kept.pop()
        if last:
            kept.append("")
    return "/" + "/".join(kept)


def _fragment(text: str | None) -> str | None:
    return None if text is None else _encoded(text, _IN_FRAGMENT)


def _encoded(text: str, safe: str) -> str:
    """Percent-encoded where it has to be; what already is stays, a percent sign that encodes nothing not."""
    if "%" in text:
        text = _BAD_PERCENT.sub("%25", text)
    return quote(text, safe)


def _cut(text: str, mark: str) -> tuple[str, str | None]:
    before, found, after = text.partition(mark)
    return before, after if found else None


def _shown(text: str) -> str:
    """The text of a URL for a message: without what may be a password, and not too long."""
    before, slashes, rest = text.partition("//")
    _, at, place = rest.rpartition("@")  # the last one: who forgets to encode a password has slashes in it
    return repr(f"{before}{slashes}{'…@' if at else ''}{place}"[:200])
