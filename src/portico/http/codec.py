"""The HTTP/1.1 codec, for both roles: bytes in, events out; calls in, bytes out (RFC 9110, RFC 9112).

It does no I/O, keeps no time and logs nothing. One cycle of a server::

    codec.feed(received)                            # b"" when the peer ended its direction
    event = codec.next_event()                      # RequestHead, bytes ..., End; or a Signal
    send(codec.send_response(200, "OK", headers, body_length=5))
    send(*codec.send_data(b"hello"))
    send(codec.send_end())
    codec.start_next_cycle()                        # only when codec.keep_alive

Input is read strictly: whatever two parsers could take differently raises ``ProtocolError``, whose
``status`` is the answer a server should give, or ``LimitExceeded``. After either, and after
``EndOfStream`` for a message that was cut, nothing more is read: ``next_event`` raises the same again.
Output is checked before any of it is returned: ``LocalProtocolError`` says that nothing was sent and
nothing changed, so that a server can still answer 500.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final, NoReturn

from portico.errors import EndOfStream, LimitExceeded, LocalProtocolError, ProtocolError
from portico.http.bodies import (
    BodyReader,
    BodyWriter,
    CloseReader,
    CloseWriter,
    LengthReader,
    LengthWriter,
    MutedWriter,
)
from portico.http.chunks import ChunkReader, ChunkWriter
from portico.http.heads import HeadFinder, HeadParser
from portico.http.inbox import Inbox
from portico.http.messages import (
    CLOSED,
    END,
    NEED_DATA,
    PAUSED,
    UNTIL_CLOSE,
    BytesLike,
    End,
    Event,
    RequestHead,
    ResponseHead,
    Signal,
)
from portico.http.outgoing import (
    KINDS,
    Field,
    encode_fields,
    encode_text,
    frame_request,
    frame_response,
    informational_head,
)
from portico.http.states import Move, Role, State, after
from portico.limits import Limits

__all__ = ["Codec"]

# RFC 9112, 2.2: a server should ignore at least one; old clients send one after a body.
_EMPTY_LINES: Final = 4

# What the table says about the commonest moves, looked up once.
_IDLE, _ANSWER, _DONE = State.IDLE, State.ANSWER, State.DONE
_ASKED: Final = after(Role.SERVER, _IDLE, Move.ASKED)
_BARE: Final = after(Role.CLIENT, _IDLE, Move.BARE_REQUEST)
_WHOLE: Final = after(Role.SERVER, _ANSWER, Move.WHOLE_RESPONSE)

_NO_BODY: Final = LengthReader(0)
_LENGTH: Final = Field.LENGTH
_NO_MORE: Final = LengthWriter(0)


class Codec:
    """One connection's HTTP/1.1, in the role of its client or its server.

    ``memo=False`` parses every head afresh; the events are the same.
    """

    __slots__ = (
        "_continue_due",
        "_empty_lines",
        "_end_due",
        "_end_spare",
        "_error",
        "_finder",
        "_http11",
        "_inbox",
        "_keep",
        "_last_facts",
        "_last_head",
        "_last_headers",
        "_memo",
        "_method",
        "_ours",
        "_parser",
        "_read",
        "_reader",
        "_theirs",
        "_them",
        "_upgrade",
        "_writer",
        "limits",
        "role",
    )

    def __init__(self, role: Role, limits: Limits, *, memo: bool = True) -> None:
        self.role = role
        self.limits = limits
        self._them = Role.SERVER if role is Role.CLIENT else Role.CLIENT
        self._ours = self._theirs = State.IDLE
        self._inbox = Inbox()
        self._finder = HeadFinder(limits)
        self._parser = HeadParser(limits, memo)
        self._read = _READERS[role]
        self._reader: BodyReader = _NO_BODY
        self._writer: BodyWriter = _NO_MORE
        self._memo = memo
        self._last_facts: tuple[object, ...] = ()
        self._last_headers: Sequence[tuple[str, ...]] = ()
        self._last_head = b""
        self._error: ProtocolError | LimitExceeded | EndOfStream | None = None
        self._empty_lines = 0
        self._method = ""
        self._http11 = True
        self._keep = True
        self._upgrade = False
        self._continue_due = False
        # An end that next_event still has to report; one that the caller may still declare.
        self._end_due = self._end_spare = False

    def __repr__(self) -> str:
        waiting = f", {len(self._inbox)} bytes wait" if len(self._inbox) else ""
        keep = "" if self.keep_alive else ", ends"
        return f"<Codec {self.role.name} ours={self._ours.name} theirs={self._theirs.name}{keep}{waiting}>"

    @property
    def our_state(self) -> State:
        """Where this side is in its message."""
        return self._ours

    @property
    def their_state(self) -> State:
        """Where the peer is in its message."""
        return self._theirs

    @property
    def keep_alive(self) -> bool:
        """Whether, as far as is known now, another cycle can follow the current one."""
        if self.role is Role.CLIENT and self._theirs is _DONE and len(self._inbox):
            return False
        return self._keep and self._theirs < State.SWITCHED and self._ours < State.SWITCHED

    @property
    def awaits_continue(self) -> bool:
        """Whether the client holds its body back until it sees a 100 (RFC 9110, 10.1.1)."""
        return self._continue_due

    @property
    def waiting(self) -> int:
        """How many bytes have come and are not yet consumed."""
        inbox = self._inbox
        return len(inbox.data) - inbox.at

    @property
    def leftover(self) -> bytes:
        """Bytes that came and were not consumed: after a switch they belong to the other protocol."""
        return self._inbox.peek()

    # In

    def feed(self, data: bytes) -> None:
        """Give bytes that were received; ``b""`` says that the peer ended its direction.

        After an error, input is dropped. Raises ``LocalProtocolError`` for bytes after the end.
        """
        if self._error is None:
            self._inbox.feed(data)

    def next_event(self) -> Event:
        """The next head, piece of a body (``bytes``), ``End``; or a ``Signal`` when there is none.

        Raises ``ProtocolError``, ``LimitExceeded``, or ``EndOfStream`` for a message that was cut.
        """
        try:
            return self._read[self._theirs](self)
        except (ProtocolError, LimitExceeded, EndOfStream) as error:
            self._error = error
            self._theirs = State.ERROR
            self._keep = False
            self._inbox.clear()
            raise

    def _read_request(self) -> Event:
        # A server that has refused this connection (408, 503) reads no more requests from it.
        if self._ours is not _IDLE:
            return PAUSED
        inbox = self._inbox
        # A head that comes in pieces is not compared from its beginning with each of them.
        head = None if self._finder.searched else self._parser.repeated(inbox)
        if head is None:
            self._skip_empty_lines()
            length = self._finder.find(inbox)
            if not length:
                return self._await_request()
            head = self._parser.request(inbox.take(length))
            self._finder.reset()
            self._empty_lines = 0
        self._begin_request(head)
        return head

    def _skip_empty_lines(self) -> None:
        inbox = self._inbox
        while inbox.data.startswith(b"\r\n", inbox.at):
            inbox.skip(2)
            self._finder.reset()
            self._empty_lines += 1
            if self._empty_lines > _EMPTY_LINES:
                raise ProtocolError("empty lines instead of a request")

    def _await_request(self) -> Signal:
        if not self._inbox.ended:
            return NEED_DATA
        if len(self._inbox):
            raise EndOfStream("the connection ended within a request's head", self._inbox.peek())
        return self._close()

    def _close(self) -> Signal:
        self._theirs = after(self._them, self._theirs, Move.CLOSE)
        return CLOSED

    def _begin_request(self, head: RequestHead) -> None:
        length = head.body_length
        if length == 0:
            self._theirs = _BARE
            self._end_due = True
        else:
            self._reader = self._request_body(length)
            self._theirs = after(Role.CLIENT, self._theirs, Move.REQUEST)
            self._continue_due = head.expects_continue
        self._ours = _ASKED
        self._method = head.method
        self._http11 = head.version != "HTTP/1.0"
        self._upgrade = head.upgrade is not None
        if not head.keep_alive:
            self._keep = False

    def _request_body(self, length: int | None) -> BodyReader:
        limit = self.limits.body
        if length is None:
            return ChunkReader(self.limits, limit)
        if limit is not None and length > limit:
            raise LimitExceeded(f"a body of {length} bytes, more than {limit}", "body", 413)
        return LengthReader(length)

    def _read_unasked(self) -> Event:
        if len(self._inbox):
            raise ProtocolError("a response that was not asked for", 502)
        return self._close() if self._inbox.ended else NEED_DATA

    def _read_response(self) -> Event:
        inbox = self._inbox
        length = self._finder.find(inbox)
        if length:
            self._finder.reset()
            return self._begin_response(self._parser.response(inbox.take(length), self._method))
        if inbox.ended:
            raise EndOfStream("the connection ended before the response's head was complete", inbox.peek())
        return NEED_DATA

    def _begin_response(self, head: ResponseHead) -> ResponseHead:
        if head.status == 101 or (self._method == "CONNECT" and 200 <= head.status < 300):
            self._accept_switch(head.status)
        elif head.status < 200:
            self._theirs = after(Role.SERVER, self._theirs, Move.INFORM)
        else:
            self._begin_final(head)
        return head

    def _accept_switch(self, status: int) -> None:
        if status == 101 and not self._upgrade:
            raise ProtocolError("101 without a request to upgrade", 502)
        if self._ours is not State.DONE:
            raise ProtocolError(f"{status} switches protocols before the request is complete", 502)
        self._switch()

    def _switch(self) -> None:
        theirs = after(self._them, self._theirs, Move.SWITCH)
        self._ours = after(self.role, self._ours, Move.SWITCH)
        self._theirs = theirs

    def _begin_final(self, head: ResponseHead) -> None:
        length = head.body_length
        self._theirs = after(Role.SERVER, self._theirs, Move.RESPONSE)
        if length == 0:
            self._theirs = after(Role.SERVER, self._theirs, Move.END)
            self._end_due = True
        elif length is None:
            # Limits bound what strangers send to a server; a client that streams decides for itself.
            self._reader = ChunkReader(self.limits, None)
        else:
            self._reader = CloseReader() if length == UNTIL_CLOSE else LengthReader(length)
        if not head.keep_alive:
            self._keep = False

    def _read_body(self) -> Event:
        event = self._reader.read(self._inbox)
        if isinstance(event, End):
            self._theirs = after(self._them, self._theirs, Move.END)
            self._continue_due = False
        elif event is not NEED_DATA:
            self._continue_due = False
        return event

    def _read_done(self) -> Event:
        if self._end_due:
            self._end_due = False
            return END
        return self._close() if self._inbox.ended and not len(self._inbox) else PAUSED

    def _read_switched(self) -> Event:
        return PAUSED

    def _read_closed(self) -> Event:
        return CLOSED

    def _read_broken(self) -> NoReturn:
        if self._error is None:
            raise AssertionError("the state ERROR is entered with an error")
        raise self._error.with_traceback(None)

    # Out

    def send_request(
        self, method: str, target: str, headers: Sequence[tuple[str, str]], *, body_length: int | None
    ) -> bytes:
        """A request's head. ``body_length`` is in bytes; ``None`` makes the body chunked.

        ``headers`` hold exactly one ``Host``; a ``Content-Length`` among them must agree. With 0, the
        request is complete. Raises ``LocalProtocolError``.
        """
        self._refuse_surplus()
        plan = frame_request(method, target, headers, body_length)
        bare = plan.length == 0
        state = after(self.role, self._ours, Move.BARE_REQUEST if bare else Move.REQUEST)
        theirs = after(self._them, self._theirs, Move.ASKED)
        head = encode_fields(f"{method} {target} HTTP/1.1\r\n", plan.fields)
        self._ours, self._theirs = state, theirs
        self._method = method
        self._upgrade = plan.upgrades
        self._keep = self._keep and not plan.closes
        self._end_spare = bare
        self._writer = _writer(plan.length)
        return head

    def _refuse_surplus(self) -> None:
        """A client must not take what came before its request for the answer to it (response splitting)."""
        if self.role is Role.CLIENT and len(self._inbox):
            raise LocalProtocolError("more came than was asked for; this connection can only be closed")

    def send_informational(self, status: int, headers: Sequence[tuple[str, str]] = ()) -> bytes:
        """An interim response, 100 to 199. 101 (with an ``Upgrade`` field) switches protocols.

        Raises ``LocalProtocolError``, also for an HTTP/1.0 client, which knows none.
        """
        after(self.role, self._ours, Move.SWITCH if status == 101 else Move.INFORM)
        if not self._http11:
            raise LocalProtocolError("an HTTP/1.0 client cannot be sent an informational response")
        head = informational_head(status, headers)
        if status == 101:
            if not self._upgrade:
                raise LocalProtocolError("101 without a request to upgrade")
            self._switch()
        if status == 100:
            self._continue_due = False
        return head

    def send_response(
        self, status: int, reason: str, headers: Sequence[tuple[str, str]], *, body_length: int | None
    ) -> bytes:
        """A final response's head. Legal before any request too: an answer to what could not be read.

        ``body_length`` is in bytes; a ``Content-Length`` among ``headers`` wins and must agree; with
        neither, the body is chunked, or for an HTTP/1.0 client goes on until the close. The body of an
        answer to HEAD is dropped: write it, or not. ``Connection`` is added where needed. A 2xx to
        CONNECT switches to the tunnel. Raises ``LocalProtocolError``.
        """
        tunnel = self._method == "CONNECT" and 200 <= status < 300
        state = after(self.role, self._ours, Move.SWITCH if tunnel else Move.RESPONSE)
        plan = frame_response(status, headers, body_length, self._method, self._http11)
        keep = self._may_keep() and not plan.closes and plan.length != UNTIL_CLOSE
        if not tunnel:
            plan.add_persistence(keep, self._http11)
        head = encode_fields(f"HTTP/1.1 {status} {reason}\r\n", plan.fields)
        if tunnel:
            self._switch()
        else:
            self._ours = state
            self._writer = MutedWriter() if self._method == "HEAD" else _writer(plan.length)
        self._keep = keep
        self._continue_due = False
        return head

    def _may_keep(self) -> bool:
        """Whether the connection may outlive the response that begins now."""
        # An answer instead of a 100: whether the body still comes, nobody can tell (RFC 9110, 10.1.1).
        return self._keep and not self._continue_due and self._ours is _ANSWER

    def respond(
        self, status: int, reason: str, headers: Sequence[tuple[str, str]], body: bytes, ready: str = ""
    ) -> bytes:
        """A whole response in one piece: head, ``Content-Length``, body, end.

        ``ready`` holds lines that the caller keeps ready (``Date``, ``Server``), each with its CRLF.
        Raises ``LocalProtocolError``.
        """
        if not 200 <= status <= 999 or status in (204, 304) or self._method in ("HEAD", "CONNECT"):
            return self._respond_in_steps(status, reason, headers, body, ready)
        state = _WHOLE if self._ours is _ANSWER else after(self.role, self._ours, Move.WHOLE_RESPONSE)
        keep = self._may_keep()
        facts = (status, reason, len(body), ready, keep, self._http11)
        if facts == self._last_facts and headers == self._last_headers:
            head = self._last_head
        else:
            made = self._whole_head(status, reason, headers, len(body), ready, keep)
            if made is None:
                return self._respond_in_steps(status, reason, headers, body, ready)
            head = made
            if self._memo:
                # Tuples, because a list that is changed later would still be equal to itself.
                self._last_facts, self._last_headers = facts, [tuple(field) for field in headers]
                self._last_head = head
        self._ours = state
        self._keep = keep
        self._continue_due = False
        return head + body

    def _whole_head(
        self,
        status: int,
        reason: str,
        headers: Sequence[tuple[str, str]],
        length: int,
        ready: str,
        keep: bool,
    ) -> bytes | None:
        """The head of a whole response; ``None`` when a field wants more than to be sent."""
        size = str(length)
        told = False
        lines = f"HTTP/1.1 {status} {reason}\r\n{ready}"
        for name, value in headers:
            if kind := KINDS[name]:
                if told or kind is not _LENGTH or value != size:
                    return None
                told = True
            lines += f"{name}: {value}\r\n"
        count = len(headers) + 2
        if ready:
            count += ready.count("\r\n")
        if not told:
            lines += f"Content-Length: {size}\r\n"
            count += 1
        if not keep or not self._http11:
            lines += "Connection: keep-alive\r\n" if keep else "Connection: close\r\n"
            count += 1
        return encode_text(f"{lines}\r\n", count)

    def _respond_in_steps(
        self, status: int, reason: str, headers: Sequence[tuple[str, str]], body: bytes, ready: str
    ) -> bytes:
        made = [line.partition(": ")[::2] for line in ready.split("\r\n")[:-1]]
        length = None if self._method == "HEAD" and not body else len(body)
        if body and status in (204, 304):
            raise LocalProtocolError(f"a response {status} has no body")
        head = self.send_response(status, reason, [*made, *headers], body_length=length)
        if self._ours is State.SWITCHED:
            return head
        return b"".join([head, *self.send_data(body), self.send_end()])

    def send_data(self, data: BytesLike) -> list[BytesLike]:
        """A piece of the body, framed, ready to be sent in order.

        Raises ``LocalProtocolError`` when it is more than ``Content-Length`` announced.
        """
        after(self.role, self._ours, Move.DATA)
        return self._writer.data(data)

    def send_around(self, size: int) -> tuple[bytes, bytes] | None:
        """What to send before and after a piece of ``size`` bytes of the body that goes another way, as
        files do; ``None``: nothing is to be sent for it, neither the piece. Raises as ``send_data``."""
        after(self.role, self._ours, Move.DATA)
        return self._writer.around(size)

    def send_end(self, trailers: Iterable[tuple[str, str]] = ()) -> bytes:
        """The end of the message. ``trailers`` need a chunked body.

        Raises ``LocalProtocolError`` when fewer bytes were sent than ``Content-Length`` announced.
        """
        if self._end_spare:
            self._end_spare = False
            return self._writer.end(trailers)
        state = after(self.role, self._ours, Move.END)
        tail = self._writer.end(trailers)
        self._ours = state
        return tail

    def close_after(self) -> None:
        """Let the current cycle be the last: a response that begins from now on says so."""
        self._keep = False

    def start_next_cycle(self) -> None:
        """Begin with another request and response on this connection.

        An ``End`` that was not fetched is passed over when the message had no body. Raises
        ``LocalProtocolError`` unless both sides are done and ``keep_alive`` holds.
        """
        if self._ours is not _DONE or self._theirs is not _DONE:
            after(self._them, self._theirs, Move.CYCLE)
            after(self.role, self._ours, Move.CYCLE)
        if not self._keep:
            raise LocalProtocolError("this connection ends with its current message")
        self._refuse_surplus()
        self._ours = self._theirs = _IDLE
        self._method = ""
        self._end_due = self._end_spare = False


def _writer(length: int | None) -> BodyWriter:
    if length is None:
        return ChunkWriter()
    return CloseWriter() if length == UNTIL_CLOSE else LengthWriter(length)


_COMMON: Final[dict[State, Callable[[Codec], Event]]] = {
    State.BODY: Codec._read_body,
    State.DONE: Codec._read_done,
    State.SWITCHED: Codec._read_switched,
    State.CLOSED: Codec._read_closed,
    State.ERROR: Codec._read_broken,
}

# Who reads, by the role played and the peer's state.
_READERS: Final[dict[Role, dict[State, Callable[[Codec], Event]]]] = {
    Role.SERVER: {State.IDLE: Codec._read_request, **_COMMON},
    Role.CLIENT: {State.IDLE: Codec._read_unasked, State.ANSWER: Codec._read_response, **_COMMON},
}
