"""One HTTP/1.1 connection in the client's role, over a stream: requests out, answers in (RFC 9112).

::

    with ClientConnection(connect("tcp://127.0.0.1:8000")) as connection:
        connection.send_head("POST", "/x", [("Host", "localhost")], body_length=None)
        connection.send_data(b"some")
        connection.send_end()
        head = connection.read_final_head()
        for piece in connection.read_body():
            ...
        if connection.reusable:
            connection.start_next_cycle()

Several requests without a body may be sent before the first is answered (``send_head`` again and again);
their answers come in the same order, each after ``start_next_cycle()``. What a server does not answer before
it closes stands in ``unanswered``.

The framing is the codec's, which is strict: an answer that ends short, that came before it was asked for or
that two parsers could read differently is an error and never a complete one. Whoever must keep both
directions going at once uses ``try_event``, ``put`` and ``flush``, which never wait, and waits for
``transport`` itself; all others use the calls that wait.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import Self

from portico.compiled import mypyc_attr
from portico.errors import EndOfStream, LocalProtocolError, PorticoError, ProtocolError
from portico.http.codec import Codec
from portico.http.messages import CLOSED, NEED_DATA, End, Fields, ResponseHead, Signal
from portico.http.outbox import Outbox
from portico.http.states import Role, State
from portico.limits import Limits
from portico.sockets.stream import Stream
from portico.sockets.transport import Bytes, Transport

__all__ = ["INTERIMS", "ClientConnection", "ClientEvent"]

ClientEvent = ResponseHead | bytes | End
"""What an answer is made of: heads (any number of 1xx before the final one), pieces of its body, its end."""

INTERIMS = 100
"""Informational answers to one request: a server that sends more will never come to the point."""
_CHUNK = 65536


@mypyc_attr(allow_interpreted_subclasses=True)
class ClientConnection:
    """Speaks HTTP/1.1 over ``stream``, which it owns; a context manager that closes it.

    ``limits`` bound heads and trailers; a body is bounded by whoever reads it. ``cycle`` counts requests.
    ``received``: bytes that have come for the present request. Operations raise what streams raise
    (``ConnectionLost``, ``Timeout``, ``StreamClosed``, ``Cancelled``), ``ProtocolError`` and
    ``LimitExceeded`` for an answer that breaks the protocol, ``EndOfStream`` for one that was cut, and
    ``LocalProtocolError`` for a request that cannot be sent, of which nothing has been then.
    """

    def __init__(self, stream: Stream, limits: Limits | None = None) -> None:
        self.stream = stream
        self.limits = limits or Limits()
        self.cycle = 0
        self.received = 0
        self.asked = False
        """Whether the request of ``ask`` has left."""
        self.trailers: Fields = ()
        """Those of the last body, once it has been read to its end."""
        self._codec = Codec(Role.CLIENT, self.limits)
        self._unsent = Outbox()
        self._ahead: deque[tuple[str, str, Sequence[tuple[str, str]]]] = deque()

    @property
    def transport(self) -> Transport:
        """What to wait for, where the calls that never wait are used."""
        return self.stream.transport

    # -- the request

    def send_head(
        self, method: str, target: str, headers: Sequence[tuple[str, str]], *, body_length: int | None = 0
    ) -> None:
        """Send a request's head. ``headers`` hold one ``Host``; ``body_length`` is in bytes, ``None`` for a
        chunked body. With 0 the request is complete."""
        self.put_head(method, target, headers, body_length=body_length)
        self._send()

    def send_data(self, data: Bytes) -> None:
        """Send a piece of the body; waits while the server takes no more."""
        self.put(data)
        self._send()

    def send_end(self, trailers: Iterable[tuple[str, str]] = ()) -> None:
        """End the body. ``trailers`` need a chunked one."""
        self.put_end(trailers)
        self._send()

    def put_head(
        self, method: str, target: str, headers: Sequence[tuple[str, str]], *, body_length: int | None = 0
    ) -> None:
        """As ``send_head``, to leave with ``flush``."""
        codec = self._codec
        if codec.our_state is State.DONE and codec.their_state in (State.ANSWER, State.BODY):
            if body_length != 0:
                raise LocalProtocolError("a request that is sent before its turn has no body")
            self._unsent.add(codec.send_ahead(method, target, headers))
            self._ahead.append((method, target, headers))
            return
        head = self._codec.send_request(method, target, headers, body_length=body_length)
        self.cycle += 1
        self.received = 0
        self.trailers = ()
        self._unsent.add(head)

    def put(self, data: Bytes) -> None:
        """As ``send_data``, to leave with ``flush``; the bytes must not change until then."""
        for part in self._codec.send_data(data):
            self._unsent.add(part)

    def put_end(self, trailers: Iterable[tuple[str, str]] = ()) -> None:
        """As ``send_end``, to leave with ``flush``."""
        self._unsent.add(self._codec.send_end(trailers))

    def flush(self) -> bool:
        """Send what the server takes now, and never wait. Whether all has left."""
        unsent = self._unsent
        while unsent:
            unsent.send(self.transport)
            if unsent.blocked:
                return False
        return self.transport.flush()

    @property
    def unsent(self) -> int:
        """Bytes that wait for ``flush``."""
        return self._unsent.memory

    @property
    def request_sent(self) -> bool:
        """Whether the present request has left as a whole."""
        return self._codec.our_state in (State.DONE, State.SWITCHED) and not self._unsent

    # -- the answer

    def ask(
        self, method: str, target: str, headers: Sequence[tuple[str, str]]
    ) -> tuple[ResponseHead | None, bytes | None]:
        """Send a request without a body, and wait for what comes back first.

        The head and the whole body, if they came together; the head, which may be informational, and ``None``
        where ``read_event`` tells more; ``None`` twice when not even that has come as a whole.
        """
        codec, stream = self._codec, self.stream
        if self._unsent.memory:
            raise LocalProtocolError("an earlier request has not been sent as a whole")
        head_bytes = codec.send_request(method, target, headers, body_length=0)
        self.cycle += 1
        self.received = 0
        self.trailers = ()
        self.asked = False
        stream.write(head_bytes)
        self.asked = True
        data = stream.read(_CHUNK)
        self.received = len(data)
        return codec.receive_answer(data)

    def read_event(self) -> ClientEvent:
        """The next part of the answer. Waits for it."""
        while (event := self.try_event()) is None:
            self._feed(self.stream.read(_CHUNK))
        return event

    def try_event(self) -> ClientEvent | None:
        """As ``read_event``, but never waits: ``None`` when nothing more has come."""
        while True:
            event = self._codec.next_event()
            if event is NEED_DATA:
                data = self.stream.try_read(_CHUNK)
                if data is None:
                    return None
                self._feed(data)
            elif isinstance(event, Signal):
                raise self._nothing_more(event)
            else:
                if type(event) is End:
                    self.trailers = event.trailers
                return event  # type: ignore[return-value]  # a client reads no requests

    def read_final_head(self) -> ResponseHead:
        """The head of the answer; informational ones before it are passed over, but for 101, up to
        ``INTERIMS``."""
        for _ in range(INTERIMS + 1):
            head = self.read_event()
            if not isinstance(head, ResponseHead):
                raise LocalProtocolError("the head of this answer has been read already")
            if head.status >= 200 or head.status == 101:
                return head
        raise ProtocolError(f"{INTERIMS} informational answers and no other")

    def read_body(self) -> Iterator[bytes]:
        """The body of the answer, piece by piece as it comes; ``trailers`` are there at its end."""
        while type(event := self.read_event()) is not End:
            if isinstance(event, bytes):
                yield event

    # -- what comes after

    @property
    def reusable(self) -> bool:
        """Whether another request can follow: both messages are complete, and neither side ends it."""
        codec = self._codec
        both_done = codec.our_state is State.DONE and codec.their_state is State.DONE
        return both_done and codec.keep_alive and not self._unsent and not self.stream.closed

    def start_next_cycle(self) -> None:
        """Go on to the next request that was sent already, or make ready for another. Raises
        ``LocalProtocolError`` unless ``reusable``."""
        self._codec.start_next_cycle()
        if self._ahead:
            method, target, headers = self._ahead.popleft()
            self._codec.send_request(method, target, headers, body_length=0)  # which has left before
            self._codec.ahead -= 1
            self.cycle += 1
            self.received = self._codec.waiting
            self.trailers = ()

    @property
    def unanswered(self) -> list[tuple[str, str, Sequence[tuple[str, str]]]]:
        """Method, target and header fields of requests that were sent, and whose turn has not come: where the
        connection ends before, they have to be sent over another one."""
        return list(self._ahead)

    def went_on(self) -> bool:
        """``start_next_cycle()`` where it is possible; ``False``: the connection is of no use any more."""
        return not (self._unsent.memory or self._ahead or self.stream.closed) and self._codec.went_on()

    @property
    def stale(self) -> bool:
        """Whether a connection that rests is of no use any more: the server has ended it, or sent what
        nobody asked for."""
        try:
            return self.stream.readable
        except PorticoError:  # closed, here or there
            return True

    def switch(self) -> Stream:
        """After a 101 or a 2xx to CONNECT: the stream, which is the caller's from now on, with what came
        after the head to be read next. Raises ``LocalProtocolError``."""
        if self._codec.their_state is not State.SWITCHED:
            raise LocalProtocolError("the server has not switched protocols")
        early = self._codec.leftover
        if early:
            self.stream.unread(early)
        return self.stream

    def close(self) -> None:
        """Close, at once and from any thread."""
        self._unsent.close()
        self.stream.close()

    def abort(self) -> None:
        """Close so that the server sees that nobody waits any more (a reset, on TCP)."""
        self._unsent.close()
        self.stream.abort()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<ClientConnection to {self.stream.peer}, request {self.cycle}: {self._codec!r}>"

    # -- inside

    def _send(self) -> None:
        parts = self._unsent.take()
        if parts:
            self.stream.write_many(parts)

    def _feed(self, data: bytes) -> None:
        self.received += len(data)
        self._codec.feed(data)

    def _nothing_more(self, signal: Signal) -> PorticoError:
        if signal is CLOSED:
            return EndOfStream(f"{self.stream.peer} closed the connection")
        return LocalProtocolError("this answer has been read to its end")
