"""Interfaces of the standard library, those it has and those it has removed, kept for programs that use them.

``portico.compat.socketserver`` and ``portico.compat.http.server`` stand for the modules of these names, on
Portico's engines; ``handler`` serves their handler classes without them. What a name needs is imported when
it is asked for: a program that wants one old module should not load all of them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from portico.compat.handlers import handler
    from portico.compat.http.server import HTTPServer, ThreadingHTTPServer
    from portico.compat.socketserver import (
        TCPServer,
        ThreadingTCPServer,
        ThreadingUDPServer,
        ThreadingUnixStreamServer,
        UDPServer,
        UnixStreamServer,
    )

__all__ = [
    "HTTPServer",
    "TCPServer",
    "ThreadingHTTPServer",
    "ThreadingTCPServer",
    "ThreadingUDPServer",
    "ThreadingUnixStreamServer",
    "UDPServer",
    "UnixStreamServer",
    "handler",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    where = "handlers" if name == "handler" else "http.server" if "HTTP" in name else "socketserver"
    return getattr(import_module(f"portico.compat.{where}"), name)


def __dir__() -> list[str]:
    return list({*globals(), *__all__})
