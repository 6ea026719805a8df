"""A codec without a socket: feed it, collect what comes out; a server that answers everything."""

from __future__ import annotations

from dataclasses import dataclass, field

from portico.errors import EndOfStream, LimitExceeded, PorticoError, ProtocolError
from portico.http.codec import Codec
from portico.http.messages import CLOSED, NEED_DATA, PAUSED, End, Event, RequestHead
from portico.http.states import Role, State
from portico.limits import Limits

REFUSALS = (ProtocolError, LimitExceeded, EndOfStream)


def server(limits: Limits | None = None, **options) -> Codec:
    return Codec(Role.SERVER, limits or Limits(), **options)


def client(limits: Limits | None = None) -> Codec:
    return Codec(Role.CLIENT, limits or Limits())


def events(codec: Codec) -> list[Event]:
    """Every event that is there now; a body's pieces joined, signals left out."""
    found: list[Event] = []
    while (event := codec.next_event()) not in (NEED_DATA, PAUSED, CLOSED):
        if isinstance(event, bytes) and found and isinstance(found[-1], bytes):
            found[-1] += event
        else:
            found.append(event)
    return found


def pieces(raw: bytes, way: str) -> list[bytes]:
    """The same bytes whole, one by one, or cut at every line end."""
    if way == "whole":
        return [raw]
    if way == "bytes":
        return [raw[at : at + 1] for at in range(len(raw))]
    return raw.splitlines(keepends=True)


WAYS = ("whole", "bytes", "lines")


@dataclass
class Request:
    """A request as an application would see it."""

    method: str
    path: str
    target: str
    body: bytes
    headers: list[tuple[str, str]]
    trailers: tuple[tuple[str, str], ...] = ()


@dataclass
class Outcome:
    """What a strict server makes of some bytes."""

    accepted: list[Request] = field(default_factory=list)
    status: int | None = None
    """The answer to what was refused."""
    closed: bool = False
    """Whether the server closes; otherwise it waits for more."""
    cut: bool = False
    """Whether the bytes ended within a message."""


def converse(fed: list[bytes], limits: Limits | None = None, *, ended: bool = True, **options) -> Outcome:
    """Feed pieces to a server that answers 200 to every complete request, keeping connections alive."""
    outcome = Outcome()
    codec = server(limits, **options)
    running: list[Request] = []
    for piece in [*fed, b""] if ended else fed:
        codec.feed(piece)
        try:
            _answer_all(codec, running, outcome)
        except EndOfStream:
            outcome.cut = outcome.closed = True
        except (ProtocolError, LimitExceeded) as error:
            outcome.status, outcome.closed = error.status, True
        if outcome.closed:
            break
    return outcome


def _answer_all(codec: Codec, running: list[Request], outcome: Outcome) -> None:
    while (event := codec.next_event()) is not NEED_DATA:
        if isinstance(event, RequestHead):
            path = event.origin_form.partition("?")[0]
            running.append(Request(event.method, path, event.target, b"", event.headers))
        elif isinstance(event, bytes):
            running[-1].body += event
        elif isinstance(event, End):
            running[-1].trailers = event.trailers
            outcome.accepted.append(running.pop())
            codec.respond(200, "OK", [], b"")
        elif event is CLOSED or not codec.keep_alive:
            outcome.closed = True
            return
        else:
            codec.start_next_cycle()


def refusal(
    raw: bytes, limits: Limits | None = None, *, way: str = "whole", role: Role = Role.SERVER
) -> PorticoError:
    """The error that ``raw`` meets; an ``AssertionError`` when there is none."""
    codec = Codec(role, limits or Limits())
    if role is Role.CLIENT:
        codec.send_request("GET", "/", [("Host", "a")], body_length=0)
    try:
        for piece in pieces(raw, way):
            codec.feed(piece)
            events(codec)
    except REFUSALS as error:
        assert codec.their_state is State.ERROR
        assert not codec.keep_alive
        return error
    raise AssertionError(f"accepted: {raw[:80]!r}")
