"""``socketserver`` on Portico's engines: change ``import socketserver`` into
``from portico.compat import socketserver``.

``TCPServer`` and its like serve one after the other (``inline``), ``Threading…`` on ``threads``;
``engine = "events"`` in a class, or set on a server, chooses another. ``Forking…`` fork as they always did.
The handler classes are the standard library's own.
"""

from __future__ import annotations

import socketserver as standard
from socketserver import BaseRequestHandler, BaseServer, DatagramRequestHandler, StreamRequestHandler
from typing import Any

from portico.compat.engined import Engined, on_engine

__all__ = [
    "BaseRequestHandler",
    "BaseServer",
    "DatagramRequestHandler",
    "ForkingMixIn",
    "ForkingTCPServer",
    "ForkingUDPServer",
    "ForkingUnixDatagramServer",
    "ForkingUnixStreamServer",
    "StreamRequestHandler",
    "TCPServer",
    "ThreadingMixIn",
    "ThreadingTCPServer",
    "ThreadingUDPServer",
    "ThreadingUnixDatagramServer",
    "ThreadingUnixStreamServer",
    "UDPServer",
    "UnixDatagramServer",
    "UnixStreamServer",
]


class TCPServer(Engined, standard.TCPServer):
    """One connection after the other."""


class UDPServer(Engined, standard.UDPServer):
    """One datagram after the other."""


class UnixStreamServer(Engined, standard.UnixStreamServer):
    """``TCPServer`` on a Unix socket."""


class UnixDatagramServer(Engined, standard.UnixDatagramServer):
    """``UDPServer`` on a Unix socket."""


class ThreadingMixIn(standard.ThreadingMixIn):
    """A thread for each request: the engine ``threads``."""

    engine: str | None = "threads"

    def process_request(self, request: Any, client_address: Any) -> None:
        """Under ``handle_request()`` there is no engine: then as the standard library does it."""
        if on_engine(request):
            Engined.process_request(self, request, client_address)  # type: ignore[arg-type]
        else:
            super().process_request(request, client_address)


class ForkingMixIn(standard.ForkingMixIn):
    """A process for each request, by the standard library's own loop, which forks from wherever it runs: the
    engine ``forks`` wants a process without threads, and bounds, reaps and logs in return."""

    engine: str | None = None


class ThreadingTCPServer(ThreadingMixIn, TCPServer):
    """``TCPServer`` on ``threads``."""


class ThreadingUDPServer(ThreadingMixIn, UDPServer):
    """``UDPServer`` on ``threads``."""


class ThreadingUnixStreamServer(ThreadingMixIn, UnixStreamServer):
    """``UnixStreamServer`` on ``threads``."""


class ThreadingUnixDatagramServer(ThreadingMixIn, UnixDatagramServer):
    """``UnixDatagramServer`` on ``threads``."""


class ForkingTCPServer(ForkingMixIn, TCPServer):
    """``TCPServer`` with a process for each connection."""


class ForkingUDPServer(ForkingMixIn, UDPServer):
    """``UDPServer`` with a process for each datagram."""


class ForkingUnixStreamServer(ForkingMixIn, UnixStreamServer):
    """``UnixStreamServer`` with a process for each connection."""


class ForkingUnixDatagramServer(ForkingMixIn, UnixDatagramServer):
    """``UnixDatagramServer`` with a process for each datagram."""
