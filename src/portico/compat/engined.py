"""What lets a server of ``socketserver`` run on an engine: everything else stays the standard library's.

``Engined`` goes in front of a server class and replaces its loop. What a program overrides
(``verify_request``, ``process_request``, ``finish_request``, ``handle_error`` …) is called as it always was,
but where the engine runs connections.
"""

from __future__ import annotations

import socketserver
import ssl
from math import inf
from typing import Any, Protocol

from portico.compat.sockets import DatagramSocket, StreamSocket, name_of
from portico.deadline import timeout
from portico.engines import door
from portico.errors import Timeout
from portico.server import Server
from portico.sockets.datagram_port import Datagram
from portico.sockets.stream import Stream
from portico.sockets.tls_transport import NamedSSLObject, TLSTransport
from portico.sockets.transport import Transport
from portico.sync import Event, Task

__all__ = ["Engined", "on_engine"]


class Processing(Protocol):
    """What is called for each connection."""

    def verify_request(self, request: Any, client_address: Any) -> bool: ...
    def process_request(self, request: Any, client_address: Any) -> None: ...
    def handle_error(self, request: Any, client_address: Any) -> None: ...
    def shutdown_request(self, request: Any) -> None: ...


def on_engine(request: Any) -> bool:
    """Whether an engine runs this request, so that it needs no thread or process of its own."""
    return isinstance(request[1] if isinstance(request, tuple) else request, (StreamSocket, DatagramSocket))


def process(server: Processing, request: Any, address: tuple[Any, ...]) -> None:
    """One request, as ``BaseServer`` handles it once it has got it."""
    try:
        if not server.verify_request(request, address):
            server.shutdown_request(request)
            return
        server.process_request(request, address)
    except Exception:  # noqa: BLE001  (handed to handle_error, as socketserver does)
        if not (isinstance(request, StreamSocket) and request.cut):
            server.handle_error(request, address)
        server.shutdown_request(request)
    except BaseException:
        server.shutdown_request(request)
        raise


def converse(server: Processing, stream: Stream) -> None:
    """Handle a stream; returns when its socket has been closed, by whatever thread it was given to."""
    request: StreamSocket | None = StreamSocket(stream)
    assert request is not None
    closed = request.closed
    process(server, request, name_of(stream.peer))
    request = None  # whoever forgot to close it did so by letting go
    closed.wait()


class Engined(socketserver.BaseServer):
    """A server whose ``serve_forever`` runs connections on ``engine``; ``None``: with the loop of its base.

    ``grace``: seconds that connections get when it stops. A listening socket that was wrapped by
    ``SSLContext.wrap_socket`` stays wrapped.
    """

    engine: str | None = "inline"
    grace = 10.0
    daemon_threads = False
    block_on_close = True
    max_packet_size = 8192
    socket: Any

    def __init__(self, *args: Any, **options: Any) -> None:
        self._asked = Event()
        self._over = Event()
        self._over.set()
        self._ending: Task[Any] | None = None
        super().__init__(*args, **options)

    def serve_forever(self, poll_interval: float = 0.5) -> None:
        """Serve until ``shutdown()``; ``service_actions`` is called every so many seconds."""
        if self.engine is None:
            super().serve_forever(poll_interval)
            return
        self._over.clear()
        try:
            server = Server(
                self._handle, f"fd://{self.socket.fileno()}", engine=self.engine, grace=self.grace
            )
            server.start()
            try:
                self._wait(poll_interval)
            finally:
                self._end(server)
        finally:
            self._asked.clear()
            self._over.set()

    def shutdown(self) -> None:
        """End ``serve_forever`` in another thread, and wait for it; what has begun goes on."""
        if self.engine is None:
            super().shutdown()
            return
        self._asked.set()
        self._over.wait()

    def server_close(self) -> None:
        """Close; waits for what is going on, unless ``daemon_threads`` or not ``block_on_close``."""
        super().server_close()
        ending, self._ending = self._ending, None
        if ending is not None and self.block_on_close and not self.daemon_threads:
            ending.join()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Where an engine runs the request, it is finished here and now."""
        if on_engine(request):
            self.finish_request(request, client_address)
            self.shutdown_request(request)
        else:
            super().process_request(request, client_address)

    def _wait(self, seconds: float) -> None:
        polls = type(self).service_actions is not socketserver.BaseServer.service_actions
        while not self._asked.is_set():
            try:
                with timeout(seconds if polls else None):
                    self._asked.wait()
            except Timeout:
                self.service_actions()

    def _end(self, server: Server) -> None:
        # One at a time means that the one is finished before this returns, however long it takes.
        if self.engine == "inline":
            server.stop(inf)
        else:
            self._ending = door.THREADS.spawn(server.stop, name="draining")

    def _handle(self, subject: Any) -> None:
        if isinstance(subject, Datagram):
            request = subject.data[: self.max_packet_size], DatagramSocket(subject, self.socket)
            process(self, request, name_of(subject.peer))
            return
        if isinstance(self.socket, ssl.SSLSocket):
            with timeout(self.grace):
                subject.start_tls(_Wrapped(self.socket.context))
        converse(self, subject)


class _Wrapped:
    """A context of the program's own as the settings of a secure channel."""

    def __init__(self, context: ssl.SSLContext) -> None:
        context.sslobject_class = NamedSSLObject
        self._context = context

    def wrap(self, lower: Transport, server_name: str | None = None) -> Transport:
        return TLSTransport(lower, self._context, server_side=True)
