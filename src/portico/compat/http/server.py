"""``http.server`` on Portico's engines: change ``from http.server import …`` into
``from portico.compat.http.server import …``.

The handlers are the standard library's own, and so is their HTTP: it is for programs that are there already.
What is new is better served by ``portico.web``, which is strict with its clients and patient with slow ones.
"""

from __future__ import annotations

import http.server as standard
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler
from typing import Any

from portico.compat.engined import Engined
from portico.compat.socketserver import ThreadingMixIn

__all__ = ["BaseHTTPRequestHandler", "HTTPServer", "SimpleHTTPRequestHandler", "ThreadingHTTPServer"]


class HTTPServer(Engined, standard.HTTPServer):
    """One connection after the other: one that is kept alive keeps others waiting."""


class ThreadingHTTPServer(ThreadingMixIn, HTTPServer):
    """A thread for each connection, up to the bound of the engine ``threads``."""

    daemon_threads = True


def __getattr__(name: str) -> Any:
    if name != "CGIHTTPRequestHandler":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(standard, name)  # where it still is: Python 3.15 has it no more
