"""The codec's reading half: bytes in, events out. Who reads is looked up by role and the peer's state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NoReturn

from portico.errors import EndOfStream, LimitExceeded, ProtocolError
from portico.http.bodies import BodyReader, CloseReader, LengthReader
from portico.http.chunks import ChunkReader
from portico.http.heads import HeadFinder, HeadParser
from portico.http.inbox import Inbox
from portico.http.messages import (
    CLOSED,
    END,
    NEED_DATA,
    PAUSED,
    PLAIN,
    UNTIL_CLOSE,
    End,
    Event,
    Facts,
    RequestHead,
    ResponseHead,
    Signal,
)
from portico.http.states import Move, Role, State, after
from portico.limits import Limits

__all__ = ["Receiving"]

# RFC 9112, 2.2: a server should ignore at least one; old clients send one after a body.
_EMPTY_LINES: Final = 4

# What the table says about the commonest moves, looked up once.
_IDLE, _ANSWER, _BODY, _DONE = State.IDLE, State.ANSWER, State.BODY, State.DONE
_ASKED: Final = after(Role.SERVER, _IDLE, Move.ASKED)
_BARE: Final = after(Role.CLIENT, _IDLE, Move.BARE_REQUEST)

_NO_BODY: Final = LengthReader(0)


class Receiving:
    """The half of a codec that reads. What both halves know of the message is here."""

    __slots__ = (
        "_continue_due",
        "_empty_lines",
        "_end_due",
        "_error",
        "_finder",
        "_http11",
        "_inbox",
        "_keep",
        "_method",
        "_ours",
        "_parser",
        "_read",
        "_reader",
        "_theirs",
        "_them",
        "_upgrade",
        "ahead",
        "limits",
        "role",
    )

    def __init__(self, role: Role, limits: Limits, *, memo: bool = True) -> None:
        self.role = role
        self.limits = limits
        self._them = Role.SERVER if role is Role.CLIENT else Role.CLIENT
        self._ours = self._theirs = State.IDLE
        self._inbox = Inbox()
        # Those of responses may be folded (RFC 9112, 5.2).
        self._finder = HeadFinder(limits, judges=role is Role.SERVER)
        self._parser = HeadParser(limits, memo)
        self._read = _READERS[role]
        self._reader: BodyReader = _NO_BODY
        self._error: ProtocolError | LimitExceeded | EndOfStream | None = None
        self._empty_lines = 0
        self.ahead = 0
        """Requests that a client has sent beyond the present one: so many more answers have been asked for.
        """
        self._method = ""
        self._http11 = True
        self._keep = True
        self._upgrade = False
        self._continue_due = False
        self._end_due = False  # an end that next_event still has to report

    def __repr__(self) -> str:
        waiting = f", {len(self._inbox)} bytes wait" if len(self._inbox) else ""
        keep = "" if self.keep_alive else ", ends"
        states = f"ours={self._ours.name} theirs={self._theirs.name}"
        return f"<{type(self).__name__} {self.role.name} {states}{keep}{waiting}>"

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
        if self.role is Role.CLIENT and self._theirs is _DONE and len(self._inbox) and not self.ahead:
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

    def feed(self, data: bytes | bytearray) -> None:
        """Give bytes that were received; ``b""`` says that the peer ended its direction.

        After an error, input is dropped. Raises ``LocalProtocolError`` for bytes after the end.
        """
        if self._error is None:
            self._inbox.feed(data)

    def receive(self, data: bytes) -> Event:
        """``feed(data)`` and ``next_event()``: for a server, whose clients mostly repeat themselves."""
        parser, inbox = self._parser, self._inbox
        idle = self._theirs is _IDLE and self._ours is _IDLE
        if not idle or inbox.ended or inbox.at < len(inbox.data):
            self.feed(data)
            return self.next_event()
        head = parser.last if data == parser.whole else parser.repeated(data, 0)
        if head is None or len(head.raw) < len(data):
            self.feed(data)
            if head is None:
                return self.next_event()
            inbox.skip(len(head.raw))
        self._begin_request(head)
        return head

    def receive_answer(self, data: bytes) -> tuple[ResponseHead | None, bytes | None]:
        """``feed(data)`` and ``next_event()`` for a client: the head, and the whole body if that came with it
        (then the end has been read); the head and ``None``, or ``None`` twice, where more is to come."""
        last, inbox = self._parser.answered, self._inbox
        if (
            last is not None
            and last.whole == len(data)
            and last.method == self._method
            and self._theirs is _ANSWER
            and self._ours is _DONE
            and not inbox.ended
            and inbox.at >= len(inbox.data)
            and data.startswith(last.head.raw)
        ):  # the same answer again, all of it and nothing else: what takes the long way below comes to this
            self._theirs = _DONE
            return last.again(), data[len(last.head.raw) :]
        self.feed(data)
        head = self.next_event()
        if not isinstance(head, ResponseHead):
            return None, None
        if head.body_length == 0 and head.status >= 200 and self._theirs is _DONE:
            self._end_due = False
            return head, b""
        return head, self.rest_of_body()

    def rest_of_body(self) -> bytes | None:
        """What is left of a body whose length is known, if all has come; then its end has been read too."""
        reader, inbox = self._reader, self._inbox
        if self._theirs is not _BODY or not isinstance(reader, LengthReader) or reader.left > len(inbox):
            return None
        data = inbox.take(reader.left)
        self._theirs = after(self._them, _BODY, Move.END)
        self._continue_due = False
        return data

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
        head = None if self._finder.searched else self._parser.repeated(inbox.data, inbox.at)
        if head is not None:
            inbox.skip(len(head.raw))
        else:
            self._skip_empty_lines()
            # A HEAD that is refused is answered without a body, too (RFC 9110, 9.3.2).
            self._method = "HEAD" if inbox.data.startswith(b"HEAD ", inbox.at) else ""
            length = self._finder.find(inbox)
            if not length:
                return self._await_request()
            head = self._parser.request(inbox.take(length))
            self._finder.reset()
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
        line, facts = head.line, head.facts
        self._method = line.method
        if facts is PLAIN:
            self._theirs = _BARE
            self._end_due = True
            self._upgrade = False
        else:
            self._begin_unusual(facts)
        self._ours = _ASKED
        self._http11 = line.http11
        self._empty_lines = 0

    def _begin_unusual(self, facts: Facts) -> None:
        if facts.body_length == 0:
            self._theirs = _BARE
            self._end_due = True
        else:
            self._reader = self._request_body(facts.body_length)
            self._theirs = after(Role.CLIENT, self._theirs, Move.REQUEST)
            self._continue_due = facts.expects_continue
        self._upgrade = facts.upgrade is not None
        if not facts.keep_alive:
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
        again = (
            None if self._finder.searched else self._parser.same_response(inbox.data, inbox.at, self._method)
        )
        if again is not None:
            inbox.skip(len(again.raw))
            return self._begin_response(again)
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


_COMMON: Final[dict[State, Callable[[Receiving], Event]]] = {
    State.BODY: Receiving._read_body,
    State.DONE: Receiving._read_done,
    State.SWITCHED: Receiving._read_switched,
    State.CLOSED: Receiving._read_closed,
    State.ERROR: Receiving._read_broken,
}

# Who reads, by the role played and the peer's state.
_READERS: Final[dict[Role, dict[State, Callable[[Receiving], Event]]]] = {
    Role.SERVER: {State.IDLE: Receiving._read_request, **_COMMON},
    Role.CLIENT: {State.IDLE: Receiving._read_unasked, State.ANSWER: Receiving._read_response, **_COMMON},
}
