"""What an exchange may do to its connection while its gateway runs: read the body, write the answer.

This half of a connection may wait, for it is called from ``run()``, in whatever thread that is; the other
half (``http/server.py``) never does.
"""

from __future__ import annotations

from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Any, BinaryIO

from portico.deadline import check, timeout
from portico.engines import door
from portico.engines.contract import Connection, Load
from portico.errors import (
    ConnectionLost,
    LimitExceeded,
    PorticoError,
    ProtocolError,
    StreamClosed,
    Timeout,
    TLSError,
)
from portico.http.codec import Codec
from portico.http.messages import NEED_DATA, End
from portico.http.outbox import Outbox
from portico.http.pages import SERVER_LINE, date_line, server_lines
from portico.http.states import Role
from portico.limits import Limits
from portico.sockets.transport import READ, WRITE, Bytes, Transport

if TYPE_CHECKING:
    from portico.http.exchange import Exchange

__all__ = ["CHUNK", "DISCARD", "Answering"]

CHUNK = 65536
_WHOLE = 65536
"""An answer up to this size is joined with its head into one buffer; copying more costs more than a call."""
DISCARD = 1 << 18
"""So much of an unread body is read and thrown away to keep the connection."""
_CLIENTS = (ConnectionLost, ProtocolError, LimitExceeded, StreamClosed, TLSError)
"""What reading a body and sending an answer raise when it is no fault of the gateway's."""
_DATE, _NAMED = 1, 2


class _Ours(dict[str, int]):
    """Which of the server's own fields a gateway's field replaces; remembers names, within bounds."""

    def __missing__(self, name: str) -> int:
        kind = {"date": _DATE, "server": _NAMED}.get(name.lower(), 0)
        if len(self) < 1024:
            self[name] = kind
        return kind


_OURS = _Ours()


class Answering(Connection):
    """A server's connection, as far as its exchanges use it.

    For gateways that keep something: ``scratch`` for its lifetime; ``derived`` for what follows from a
    header block, as long as requests repeat it byte for byte. ``cycle`` counts answers.
    """

    __slots__ = (
        "_body_began",
        "_close_after",
        "_continued",
        "_drain_until",
        "_ended",
        "_fault",
        "_left_body",
        "_outbox",
        "_received",
        "_streaming",
        "_until",
        "codec",
        "cycle",
        "derived",
        "exchange",
        "limits",
        "scratch",
    )

    def __init__(self, transport: Transport, load: Load, limits: Limits) -> None:
        super().__init__(transport, load)
        self.limits = limits
        self.codec = Codec(Role.SERVER, limits)
        self.scratch: dict[Any, Any] = {}
        self.derived: dict[Any, Any] = {}
        self.exchange: Exchange | None = None
        self.cycle = 0
        self._outbox = Outbox()
        self._streaming = False  # the gateway reads the body from the connection
        self._continued = False
        self._ended = False
        self._close_after = False
        self._drain_until = inf
        self._body_began = self._left_body = 0.0
        self._received = 0
        self._fault: PorticoError | None = None  # what the client did, or the network, while a gateway ran
        self._until = inf  # when the present request must have been answered

    def answer_whole(self, status: int, reason: str, headers: list[tuple[str, str]], body: bytes) -> None:
        """Answer in one piece."""
        if len(body) > _WHOLE:
            self.answer_head(status, reason, [*headers, *_length(headers, body)])
            # It is in memory as a whole: its thread need not wait until it has left.
            for part in self.codec.send_data(body):
                self._outbox.add(part)
            self.answer_end()
            return
        data = self.codec.respond(status, reason, headers, body, self._ready_lines(headers))
        self._ended = True
        self._send(data)

    def answer_head(self, status: int, reason: str, headers: list[tuple[str, str]]) -> None:
        """Begin an answer; the head waits for the first part of the body."""
        ready = [_parted(line) for line in self._ready_lines(headers).split("\r\n")[:-1]]
        self._outbox.add(self.codec.send_response(status, reason, [*headers, *ready], body_length=None))

    def answer_data(self, data: Bytes) -> None:
        """Send a part of the body; block while too much waits for a slow reader."""
        for part in self.codec.send_data(data):
            self._outbox.add(part)
        self._push()

    def answer_file(self, file: BinaryIO, offset: int, count: int) -> None:
        """Send a part of a file, which is closed when it has gone."""
        around = self.codec.send_around(count)
        if around is None:
            file.close()
            return
        self._outbox.add(around[0])
        self._outbox.add_file(file, offset, count)
        self._outbox.add(around[1])
        self._push()

    def answer_end(self) -> None:
        """The answer is complete."""
        data = self.codec.send_end()
        self._ended = True
        self._send(data)

    def next_piece(self) -> bytes:
        """The next part of a streamed body, blocking; ``b""`` at its end. Raises what the peer did."""
        # The gateway's own time is not the client's slowness.
        self._body_began += monotonic() - self._left_body
        try:
            return self._read_piece()
        except _CLIENTS as error:
            self._fault = error
            raise
        finally:
            self._left_body = monotonic()

    def _read_piece(self) -> bytes:
        while True:
            event = self.codec.next_event()
            if isinstance(event, bytes):
                self._received += len(event)
                return event
            if event is not NEED_DATA:
                self._streaming = self._streaming and type(event) is not End
                return b""
            self._continue()
            data = self.transport.recv(CHUNK)
            while data is None:
                self._block(READ, self._body_deadline(), "reading the body of the request from")
                data = self.transport.recv(CHUNK)
            self.codec.feed(data)

    def _continue(self) -> None:
        """Ask for the body, when the client waits to be asked (RFC 9110, 10.1.1)."""
        exchange = self.exchange
        if exchange is None or self._continued or exchange.started or not exchange.request.expects_continue:
            return
        self._continued = True
        self._send(self.codec.send_informational(100))

    def _ready_lines(self, headers: list[tuple[str, str]]) -> str:
        """The server's own lines: ``Date`` and ``Server``, unless the gateway has them."""
        if self._must_close():
            self.codec.close_after()
        present = 0
        for name, _ in headers:
            present |= _OURS[name]
        if not present:
            return server_lines()
        date = "" if present & _DATE else date_line()
        return date if present & _NAMED else date + SERVER_LINE

    def _must_close(self) -> bool:
        # A server that drains keeps nobody; a codec that met an error is done.
        return self._close_after or self._drain_until != inf or (self._streaming and self._leaves_much())

    def _leaves_much(self) -> bool:
        """Whether so much of a body is unread that nobody will read it to keep the connection."""
        length = None if self.exchange is None else self.exchange.body_length
        return length is not None and length - self._received > DISCARD

    def _send(self, data: bytes) -> None:
        try:
            if self._outbox:
                self._outbox.add(data)
                self._outbox.send(self.transport)
            elif data:
                sent = self.transport.send(data)
                if sent < len(data):
                    self._outbox.add(memoryview(data)[sent:])
        except _CLIENTS as error:
            self._fault = error
            raise
        if self._outbox:
            self.deadline = self._stall()

    def _push(self) -> None:
        try:
            self._outbox.send(self.transport)
            while self._outbox.memory > self.limits.response_memory:
                self._block(WRITE, self._stall(), "waiting for the reader to take the answer:")
                self._outbox.send(self.transport)
        except _CLIENTS as error:
            self._fault = error
            raise

    def _block(self, events: int, until: float, doing: str) -> None:
        """Wait inside ``run``, where that is allowed; the gateway's own deadlines count too."""
        whom = str(self.transport.peer)
        if self.transport.closed:
            raise StreamClosed(f"the server was stopped while {doing} {whom}")
        try:
            with timeout(max(until - monotonic(), 0.0)):
                door.wait(self.transport, events, f"{doing} {whom}")
        except Timeout:
            check(doing)
            if events == READ:
                raise ProtocolError("the body of the request arrives too slowly", 408) from None
            stall = self.limits.write_stall
            raise ConnectionLost(f"{whom} took nothing of the answer for {stall:g} s") from None

    def _stall(self) -> float:
        """When the reader will have taken nothing for too long."""
        return min(monotonic() + self.limits.write_stall, self._until)

    def _body_deadline(self) -> float:
        """When the body will have been slower than the least rate, should nothing more come."""
        until = self._body_began + self.limits.body_grace + self._received / self.limits.body_rate
        return min(until, self._until)


def _parted(line: str) -> tuple[str, str]:
    name, _, value = line.partition(": ")
    return name, value


def _length(headers: list[tuple[str, str]], body: bytes) -> list[tuple[str, str]]:
    if any(name.lower() == "content-length" for name, _ in headers):
        return []
    return [("Content-Length", str(len(body)))]
