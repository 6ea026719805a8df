"""Which gateway answers which path."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from io import BytesIO
from urllib.parse import unquote_to_bytes

from portico.errors import ConfigError
from portico.http.exchange import Exchange, Gateway, Mount
from portico.http.messages import RequestHead

_BAD_ESCAPE = re.compile("%(?![0-9A-Fa-f]{2})")

__all__ = ["Mounts", "read_prefix"]

_OF_BODY = frozenset(
    {"content-length", "content-type", "content-encoding", "transfer-encoding", "trailer", "expect"}
)


class Mounts:
    """Gateways by path prefix; the longest that fits answers.

    A prefix fits whole segments: ``/app`` answers ``/app`` and ``/app/x``, not ``/apple``. Paths are
    compared as decoded, exactly as they came: ``/app/../x`` is below ``/app``, for the gateway to refuse.
    """

    def __init__(self, mounts: Iterable[tuple[str, Gateway]]) -> None:
        self._mounts: dict[str, Mount] = {}
        for prefix, gateway in mounts:
            mount = Mount(gateway, read_prefix(prefix))
            if mount.prefix in self._mounts:
                raise ConfigError(f"two targets are mounted at {mount.prefix or '/'}: give one another path")
            self._mounts[mount.prefix] = mount
        if not self._mounts:
            raise ConfigError("nothing is mounted: name at least one target")
        self._ordered = sorted(self._mounts.values(), key=lambda mount: -len(mount.prefix))
        self._single = self._mounts.get("") if len(self._mounts) == 1 else None

    def __iter__(self) -> Iterator[Mount]:
        return iter(self._mounts.values())

    def find(self, exchange: Exchange) -> Mount | None:
        """The mount for a request, or ``None``."""
        if self._single is not None:
            return self._single
        path = exchange.path
        for mount in self._ordered:
            prefix = mount.prefix
            if not prefix or path == prefix or path.startswith(prefix + "/"):
                return mount
        return None

    def redispatch(self, exchange: Exchange, target: str) -> None:
        """Answer a request, not answered so far, as a GET of ``target`` would be: a path, perhaps a query.

        The body goes, and what describes it; conditions and ranges stay (RFC 3875, 6.2.2).
        """
        asked = exchange.request
        fields = [(name, value) for name, value in asked.headers if name not in _OF_BODY]
        inner = Exchange(exchange.connection, RequestHead.of("GET", target, fields, http11=asked.line.http11))
        inner.body = BytesIO()
        mount = self.find(inner)
        try:
            if mount is None:
                inner.respond_error(404, "Nothing is mounted here.")
            else:
                inner.mount = mount.prefix
                mount.gateway(inner)
        finally:
            exchange.started, exchange.status, exchange.sent = inner.started, inner.status, inner.sent

    def __repr__(self) -> str:
        return "<Mounts " + ", ".join(mount.prefix or "/" for mount in self._ordered) + ">"


def read_prefix(text: str) -> str:
    """A mount's path, as written by a user, in its decoded form. Raises ``ConfigError``."""
    if not text.startswith("/"):
        raise ConfigError(f"the mount {text!r} must begin with a slash, as in /app")
    if "?" in text or "#" in text or any(ord(char) < 0x21 or ord(char) == 0x7F for char in text):
        raise ConfigError(f"the mount {text!r} must be a plain path, as in /app; use % for other characters")
    if _BAD_ESCAPE.search(text):
        raise ConfigError(f"the mount {text!r} has a broken escape: % must be followed by two hex digits")
    decoded = unquote_to_bytes(text).decode("latin-1")
    prefix = decoded.rstrip("/")
    if prefix and any(segment in ("", ".", "..") for segment in prefix[1:].split("/")):
        raise ConfigError(f"the mount {text!r} has an empty segment or dots")
    return prefix
