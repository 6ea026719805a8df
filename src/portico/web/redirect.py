"""A gateway that sends clients elsewhere: ``Redirect("https://example.org{path}{query}")``.

The target is the administrator's, the holes in it are filled with what the client asked for, and nothing
that a client can write there leads to another server than the target names.
"""

from __future__ import annotations

import re

from portico.errors import ConfigError
from portico.http.exchange import Exchange
from portico.http.messages import RequestHead
from portico.web.headers import EMPTY

__all__ = ["STATUSES", "Redirect"]

STATUSES = (301, 302, 303, 307, 308)
_HOLE = re.compile(r"\{([^{}]*)\}")
_HOLES = ("host", "path", "query", "uri")
_TARGET = re.compile(r"(/(?![/\\])|\{path\}|\{uri\}|https?://(\{host\}|[A-Za-z0-9.\[\]:_-]+)(?=[/:?#{]|$))")
_SENDABLE = re.compile(r"[!#-;=?-\[\]_a-z~|{}^`'\\]*")  # printable ASCII but for blanks, quotes and angles
_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]*)?")


class Redirect:
    """Answers each request with ``status`` and a ``Location``.

    ``target``: a path, or a URL of http or https. Holes: ``{path}`` what follows the mount, as it was sent;
    ``{query}`` the query with its ``?`` (``&``, where the target has one already), empty without one;
    ``{uri}`` both after the whole path; ``{host}`` the name that was asked for, without its port, which must
    be all of the host. Raises ``ConfigError``.
    """

    def __init__(self, target: str, status: int = 307) -> None:
        if status not in STATUSES:
            raise ConfigError(
                f"redirect: {status} is no status of a redirect; there are: {_listed(STATUSES)}"
            )
        _check(target)
        self.name = f"redirect:{target}"
        self._parts = _HOLE.split(target)  # what stands there, a hole, what stands there, …
        self._status = status
        self._local = not target.startswith("http")
        self._joins = [
            "&" if "?" in "".join(self._parts[:index:2]) else "?" for index in range(len(self._parts))
        ]

    def streams(self, request: RequestHead) -> bool:
        """Always: whatever the body is, it is somebody else's."""
        return True

    def __call__(self, exchange: Exchange) -> None:
        """Answer one request."""
        filled = [self._fill(index, exchange) for index in range(len(self._parts))]
        if None in filled:
            exchange.respond_error(400, "The host that was asked for is no name.")
            return
        location = "".join(part for part in filled if part is not None)
        if self._local:
            # Two slashes, or one and a backslash, would begin with a host (RFC 3986, 4.2).
            location = "/" + location.lstrip("/\\")
        exchange.respond(self._status, [("Location", location), EMPTY])

    def __repr__(self) -> str:
        return f"<Redirect {self._status} {self.name.removeprefix('redirect:')}>"

    def _fill(self, index: int, exchange: Exchange) -> str | None:
        part = self._parts[index]
        if not index % 2:
            return part
        if part == "host":
            return _host(exchange.host)
        query = f"{self._joins[index]}{_escaped(exchange.query)}" if exchange.query else ""
        if part == "query":
            return query
        path = exchange.raw_path_info if part == "path" else exchange.raw_path
        # "*" and what else is no path must not become part of a host.
        path = _escaped(path) if path.startswith("/") else ""
        return path if part == "path" else path + query


def _check(target: str) -> None:
    if not _TARGET.match(target):
        raise ConfigError(
            f"redirect {target!r}: expected a path with one slash in front, or a URL of http or https, "
            "as in /new{path} or https://example.org{path}{query}"
        )
    for name in _HOLE.findall(target):
        if name not in _HOLES:
            raise ConfigError(
                f"redirect {target!r}: {{{name}}} cannot be filled; there are: {_listed(_HOLES)}"
            )
    if "{host}" in target.partition("{host}")[2] or ("{host}" in target and "://{host}" not in target):
        raise ConfigError(f"redirect {target!r}: {{host}} stands for a host, as in https://{{host}}{{uri}}")
    if re.search(r"[{}]", _HOLE.sub("", target)) or not _SENDABLE.fullmatch(target):
        raise ConfigError(
            f"redirect {target!r}: not a URL; characters beyond ASCII and blanks are written with %"
        )


def _escaped(sent: str) -> str:
    """As it was sent, but for bytes that a URL does not have."""
    return sent if sent.isascii() else "".join(c if c < "\x7f" else f"%{ord(c):02X}" for c in sent)


def _host(authority: str) -> str | None:
    if not _HOST.fullmatch(authority):
        return None
    return authority if authority.endswith("]") else authority.rpartition(":")[0] or authority


def _listed(words: object) -> str:
    return ", ".join(map(str, words))  # type: ignore[call-overload]
