"""The kinds of address, as a table: one line adds one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["SCHEMES", "Scheme"]

Place = Literal["host", "socket file", "name", "descriptor", "interface"]


@dataclass(frozen=True, slots=True)
class Scheme:
    """What is behind a scheme.

    ``place``: what follows it; ``port``: its default; ``has_path``: whether a URL path may follow the
    port; ``options``: the names that may stand after ``?``.
    """

    wire: str
    transport: str
    example: str
    place: Place = "host"
    port: int | None = None
    has_path: bool = False
    options: frozenset[str] = frozenset()


_FILE_OPTIONS = frozenset({"mode"})
_INTERFACE = frozenset({"interface"})
_TLS = frozenset({"tls"})

SCHEMES: dict[str, Scheme] = {
    "tcp": Scheme("stream", "tcp", "tcp://127.0.0.1:8000"),
    "tls": Scheme("stream", "tls", "tls://example.org:853"),
    "udp": Scheme("datagram", "udp", "udp://127.0.0.1:5353", options=_INTERFACE),
    "unix": Scheme("stream", "unix", "unix:/run/app.sock", "socket file", options=_FILE_OPTIONS),
    "unixgram": Scheme("datagram", "unixgram", "unixgram:/run/log", "socket file", options=_FILE_OPTIONS),
    "http": Scheme("http", "tcp", "http://127.0.0.1:8000/base", port=80, has_path=True),
    "https": Scheme("http", "tls", "https://example.org/base", port=443, has_path=True),
    "telnet": Scheme("stream", "tcp", "telnet://example.org", port=23),
    "ftp": Scheme("ftp", "tcp", "ftp://example.org/folder", port=21, has_path=True),
    "smtp": Scheme("smtp", "tcp", "smtp://mail.example.org", port=25),
    "rpc": Scheme("rpc", "tcp", "rpc://127.0.0.1:7000/service", has_path=True),
    "memory": Scheme("stream", "memory", "memory:name", "name"),
    "fd": Scheme("stream", "fd", "fd://3", "descriptor", options=_TLS),
    "packet": Scheme("packet", "packet", "packet://eth0", "interface"),
}
