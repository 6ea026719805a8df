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

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from portico.errors import LocalProtocolError
from portico.http.bodies import BodyWriter, CloseWriter, LengthWriter, MutedWriter
from portico.http.chunks import ChunkWriter
from portico.http.messages import UNTIL_CLOSE, BytesLike
from portico.http.outgoing import (
    NO_DEFAULTS,
    Defaults,
    encode_fields,
    frame_request,
    frame_response,
    informational_head,
    is_origin_form,
    with_defaults,
)
from portico.http.receiving import Receiving
from portico.http.states import Move, Role, State, after
from portico.http.whole import whole_head
from portico.limits import Limits

__all__ = ["Codec"]

# What the table says about the commonest moves, looked up once.
_IDLE, _ANSWER, _BODY, _DONE = State.IDLE, State.ANSWER, State.BODY, State.DONE
_WHOLE: Final = after(Role.SERVER, _ANSWER, Move.WHOLE_RESPONSE)

_NO_MORE: Final = LengthWriter(0)


class Codec(Receiving):
    """One connection's HTTP/1.1, in the role of its client or its server.

    ``memo=False`` parses every head afresh; the events are the same.
    """

    __slots__ = ("_asked", "_end_spare", "_last_facts", "_last_head", "_last_headers", "_memo", "_writer")

    def __init__(self, role: Role, limits: Limits, *, memo: bool = True) -> None:
        super().__init__(role, limits, memo=memo)
        self._writer: BodyWriter = _NO_MORE
        self._memo = memo
        self._last_facts: tuple[object, ...] = ()
        self._last_headers: Sequence[tuple[str, ...]] = ()
        self._last_head = b""
        self._asked: _Asked | None = None
        self._end_spare = False  # an end that the caller may still declare

    def send_request(
        self, method: str, target: str, headers: Sequence[tuple[str, str]], *, body_length: int | None
    ) -> bytes:
        """A request's head. ``body_length`` is in bytes; ``None`` makes the body chunked.

        ``headers`` hold exactly one ``Host``; a ``Content-Length`` among them must agree. With 0, the
        request is complete. Raises ``LocalProtocolError``.
        """
        if self.role is Role.CLIENT:
            if self._inbox.at < len(self._inbox.data):
                self._refuse_surplus()
            asked = self._asked
            if (
                asked is not None
                and method == asked.method
                and headers == asked.headers
                and body_length == asked.body_length
            ):
                if target == asked.target:
                    return self._ask_again(asked.head, method)
                if is_origin_form(target):
                    again = self._ask_again(
                        f"{method} {target} HTTP/1.1".encode("latin-1") + asked.rest, method
                    )
                    self._asked = asked._replace(target=target, head=again)
                    return again
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
        if self._memo and bare and not plan.upgrades and not plan.closes and method != "CONNECT":
            self._asked = _Asked(
                method, target, list(headers), body_length, head, head[head.index(b"\r\n") :]
            )
        return head

    def _ask_again(self, head: bytes, method: str) -> bytes:
        """A request that differs from the last in nothing but its target."""
        if self._ours is not _IDLE or self._theirs is not _IDLE:
            after(self.role, self._ours, Move.BARE_REQUEST)
            after(self._them, self._theirs, Move.ASKED)
        self._ours, self._theirs = _DONE, _ANSWER
        self._method = method
        self._upgrade = False
        self._end_spare = True
        self._writer = _NO_MORE
        return head

    def send_ahead(self, method: str, target: str, headers: Sequence[tuple[str, str]]) -> bytes:
        """The head of a request without a body, to be sent while the answer to the one before is still owed
        (RFC 9112, 9.3.2). When its turn has come, after ``start_next_cycle()``, it is given to
        ``send_request`` again, whose bytes are not to be sent. Raises ``LocalProtocolError``."""
        if self._ours is not _DONE or self._theirs not in (_ANSWER, _BODY) or not self._keep or self._upgrade:
            raise LocalProtocolError("no request can be sent ahead here")
        plan = frame_request(method, target, headers, 0)
        if plan.closes or plan.upgrades or method == "CONNECT":
            raise LocalProtocolError(
                "nothing can follow such a request, so it cannot be sent ahead of its turn"
            )
        head = encode_fields(f"{method} {target} HTTP/1.1\r\n", plan.fields)
        self.ahead += 1
        return head

    def _refuse_surplus(self) -> None:
        """A client must not take what came before its request for the answer to it (response splitting)."""
        if len(self._inbox) and not self.ahead:
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
        self,
        status: int,
        reason: str,
        headers: Sequence[tuple[str, str]],
        body: bytes,
        defaults: Defaults = NO_DEFAULTS,
    ) -> bytes:
        """A whole response in one piece: head, ``Content-Length``, body, end.

        ``defaults`` are fields that are sent first, unless ``headers`` have their own. Raises
        ``LocalProtocolError``.
        """
        head = self.respond_around(status, reason, headers, len(body), defaults)
        if head is None:
            return self._respond_in_steps(status, reason, headers, body, defaults)
        return head + body

    def respond_around(
        self,
        status: int,
        reason: str,
        headers: Sequence[tuple[str, str]],
        length: int,
        defaults: Defaults = NO_DEFAULTS,
    ) -> bytes | None:
        """The head of a whole response whose body, so many bytes, the caller sends behind it, as files are.

        ``None``: it has to be done in steps, and nothing has changed. Raises ``LocalProtocolError``.
        """
        keep = self._keep and not self._continue_due and self._ours is _ANSWER
        facts = (status, reason, length, defaults, keep, self._http11, self._method)
        if self._ours is _ANSWER and facts == self._last_facts and headers == self._last_headers:
            self._ours = _WHOLE
            self._keep = keep
            self._continue_due = False
            return self._last_head
        bodiless = status in (204, 304)
        if not 200 <= status <= 999 or (bodiless and length) or self._method in ("HEAD", "CONNECT"):
            return None
        state = after(self.role, self._ours, Move.WHOLE_RESPONSE)
        options = "" if keep and self._http11 else "keep-alive" if keep else "close"
        size = None if bodiless else length
        head = whole_head(f"HTTP/1.1 {status} {reason}\r\n", headers, size, defaults, options)
        if head is None:
            return None
        if self._memo and keep:
            # Tuples, because a list that is changed later would still be equal to itself.
            self._last_facts, self._last_headers = facts, [tuple(field) for field in headers]
            self._last_head = head
        self._ours = state
        self._keep = keep
        self._continue_due = False
        return head

    def _respond_in_steps(
        self, status: int, reason: str, headers: Sequence[tuple[str, str]], body: bytes, defaults: Defaults
    ) -> bytes:
        length = None if self._method == "HEAD" and not body else len(body)
        if body and status in (204, 304):
            raise LocalProtocolError(f"a response {status} has no body")
        head = self.send_response(status, reason, with_defaults(headers, defaults), body_length=length)
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

    def went_on(self) -> bool:
        """``start_next_cycle()``, where it is legal; ``False``: it is not, nothing happened."""
        if self._ours is not _DONE or self._theirs is not _DONE or not self._keep:
            return False
        inbox = self._inbox
        if inbox.at < len(inbox.data) and self.role is Role.CLIENT and not self.ahead:
            return False  # more came than was asked for
        self._ours = self._theirs = _IDLE
        self._method = ""
        self._end_due = self._end_spare = False
        return True

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
        if self.role is Role.CLIENT:
            self._refuse_surplus()
        self._ours = self._theirs = _IDLE
        self._method = ""
        self._end_due = self._end_spare = False


class _Asked(NamedTuple):
    """A request without a body that was sent: its ``head``, of which ``rest`` is all but the request line."""

    method: str
    target: str
    headers: Sequence[tuple[str, str]]
    body_length: int | None
    head: bytes
    rest: bytes


def _writer(length: int | None) -> BodyWriter:
    if length is None:
        return ChunkWriter()
    return CloseWriter() if length == UNTIL_CLOSE else LengthWriter(length)
