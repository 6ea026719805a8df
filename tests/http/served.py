"""A running HTTP server and a client that speaks in bytes: what the tests of the server share."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Self

from portico.http.exchange import Exchange
from portico.http.messages import RequestHead
from portico.limits import Limits
from portico.server import Server

__all__ = ["ENGINES", "Answer", "Client", "Gate", "chunked", "echo", "get", "serving", "talk"]

ENGINES = ("inline", "threads")
PATIENCE = 20.0
"""Seconds without a byte after which a test has failed."""


class Gate:
    """A function of an exchange as a gateway."""

    def __init__(
        self, answer: Callable[[Exchange], None], *, streams: bool | Callable[[RequestHead], bool] = False
    ) -> None:
        self.name = f"test:{answer.__name__}"
        self._answer = answer
        self._streams = streams

    def streams(self, request: RequestHead) -> bool:
        return self._streams(request) if callable(self._streams) else self._streams

    def __call__(self, exchange: Exchange) -> None:
        self._answer(exchange)


def echo(exchange: Exchange) -> None:
    """Says what was asked: method, target and body."""
    said = f"{exchange.method} {exchange.target} ".encode()
    exchange.respond(200, [("Content-Type", "text/plain")], said + exchange.body.read())


def serving(
    handler: Any = echo,
    *,
    streams: bool = False,
    engine: str = "threads",
    address: str = "http://127.0.0.1:0",
    limits: dict[str, Any] | None = None,
    **options: Any,
) -> Server:
    """A server to be entered; a plain function of an exchange is made a gateway."""
    gateway = (
        handler
        if hasattr(handler, "streams") or options.pop("plain", False)
        else Gate(handler, streams=streams)
    )
    options.setdefault("grace", 2.0)
    return Server(gateway, address, engine=engine, limits=Limits(**limits or {}), **options)


@dataclass
class Answer:
    """A response, read strictly."""

    status: int
    reason: str
    headers: list[tuple[str, str]]
    body: bytes = b""
    chunks: list[bytes] = field(default_factory=list)
    interim: list[int] = field(default_factory=list)
    """The statuses of the informational responses before it."""

    def __getitem__(self, name: str) -> str | None:
        """The value of a field; two of the same name fail the test."""
        values = [value for key, value in self.headers if key == name.lower()]
        assert len(values) < 2, f"{name} was sent {len(values)} times"
        return values[0] if values else None


class Client:
    """One connection. ``with Client(server) as client: client.send(...); client.answer()``."""

    def __init__(
        self, server: Server | tuple[str, int], *, wrap: Callable[..., Any] | None = None, **options: Any
    ) -> None:
        if isinstance(server, Server):
            address = server.addresses[0]
            server = (str(address.host), int(address.port or 0))
        self.sock: Any = socket.socket()
        for name, value in options.items():  # before connecting: windows are agreed upon there
            self.sock.setsockopt(socket.SOL_SOCKET, getattr(socket, name), value)
        self.sock.settimeout(PATIENCE)
        self.sock.connect(server)
        if wrap is not None:
            self.sock = wrap(self.sock)
        self._buffer = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.sock.close()

    def send(self, *parts: bytes) -> None:
        self.sock.sendall(b"".join(parts))

    def end(self) -> None:
        """Half-close: nothing more will be sent. The server may have cut the connection before."""
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError as error:
            if error.errno != errno.ENOTCONN:
                raise

    def ask(self, raw: bytes, method: str = "GET") -> Answer:
        self.send(raw)
        return self.answer(method)

    def answer(self, method: str = "GET") -> Answer:
        """The next final response to a request of this method."""
        interim: list[int] = []
        while (answer := self._head()).status < 200:
            interim.append(answer.status)
        answer.interim = interim
        if method != "HEAD" and answer.status not in (204, 304):
            self._body(answer)
        return answer

    def interim(self) -> int:
        """The status of an informational response."""
        return self._head().status

    def rest(self) -> bytes:
        """Everything up to the end of the connection."""
        got, self._buffer = [self._buffer], b""
        while data := self.sock.recv(1 << 20):
            got.append(data)
        return b"".join(got)

    def is_closed(self) -> bool:
        """Whether the server ended the connection, properly, without another byte."""
        return self.rest() == b""

    def _head(self) -> Answer:
        lines = self._until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        version, status, reason = lines[0].split(" ", 2)
        assert version == "HTTP/1.1"
        headers = []
        for line in lines[1:]:
            name, colon, value = line.partition(": ")
            assert colon, line
            headers.append((name.lower(), value))
        return Answer(int(status), reason, headers)

    def _body(self, answer: Answer) -> None:
        length, coding = answer["content-length"], answer["transfer-encoding"]
        assert length is None or coding is None
        if coding == "chunked":
            while size := int(self._until(b"\r\n"), 16):
                answer.chunks.append(self._exactly(size))
                assert self._exactly(2) == b"\r\n"
            assert self._exactly(2) == b"\r\n"
            answer.body = b"".join(answer.chunks)
        elif length is not None:
            answer.body = self._exactly(int(length))
        else:
            answer.body = self.rest()

    def _until(self, end: bytes) -> bytes:
        while end not in self._buffer:
            self._more()
        found, _, self._buffer = self._buffer.partition(end)
        return found

    def _exactly(self, count: int) -> bytes:
        parts, have = [self._buffer], len(self._buffer)
        while have < count:
            self._buffer = b""
            self._more()
            parts.append(self._buffer)
            have += len(self._buffer)
        data = b"".join(parts)
        self._buffer = data[count:]
        return data[:count]

    def _more(self) -> None:
        data = self.sock.recv(1 << 18)
        if not data:
            raise EOFError(f"the server closed; before that it sent {self._buffer[:200]!r}")
        self._buffer += data


def get(target: str = "/", *headers: str, method: str = "GET", version: str = "1.1") -> bytes:
    """A request without a body."""
    lines = [f"{method} {target} HTTP/{version}", "Host: test", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1")


def post(body: bytes, target: str = "/", *headers: str, method: str = "POST") -> bytes:
    """A request with a body of known length."""
    return get(target, f"Content-Length: {len(body)}", *headers, method=method) + body


def chunked(pieces: Iterable[bytes], target: str = "/", *headers: str, tail: bytes = b"0\r\n\r\n") -> bytes:
    """A request with a chunked body."""
    coded = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    return get(target, "Transfer-Encoding: chunked", *headers, method="POST") + coded + tail


def talk(server: Server, raw: bytes) -> bytes:
    """Send bytes, and collect what comes until the server closes."""
    with Client(server) as client:
        client.send(raw)
        return client.rest()
