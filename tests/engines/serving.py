"""What the tests of engines and servers share: servers of every kind, and clients that misbehave."""

from __future__ import annotations

import itertools
import socket
import ssl
import threading
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any, Self

import trustme

from portico import Server, Stream, connect, timeout
from portico.address import Address
from portico.engines import door
from portico.http.exchange import Exchange
from portico.http.messages import RequestHead
from portico.sockets.tls import ClientTLS, ServerTLS

__all__ = [
    "ENGINES",
    "HELLO",
    "KINDS",
    "SECONDS",
    "Gateway",
    "Peer",
    "address_of_kind",
    "answered",
    "ask",
    "client_tls",
    "dial",
    "engine_threads",
    "get",
    "issue",
    "reset",
    "server_tls",
    "until",
]

ENGINES = ("inline", "threads", "events")
KINDS = ("tcp", "tls", "unix", "memory")
SECONDS = 20.0
"""How long a test waits for what must happen; what happens takes milliseconds."""


def _client_hello() -> bytes:
    channel_in, channel_out = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    channel = context.wrap_bio(channel_in, channel_out, server_hostname="localhost")
    try:
        channel.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return channel_out.read()


HELLO = _client_hello()
"""The first flight of a TLS handshake."""

_names = itertools.count()
_authority: list[trustme.CA] = []


def authority() -> trustme.CA:
    if not _authority:
        _authority.append(trustme.CA(organization_name="Portico engine tests"))
    return _authority[0]


def issue() -> bytes:
    """A key with its certificate, for this machine."""
    made = authority().issue_cert("localhost", "127.0.0.1", "::1")
    return bytes(made.private_key_and_cert_chain_pem.bytes())


def server_tls() -> ServerTLS:
    return ServerTLS(issue())


def client_tls() -> ClientTLS:
    return ClientTLS(authority().cert_pem.bytes())


def address_of_kind(kind: str, folder: Path) -> str:
    if kind in ("tcp", "tls", "http", "https"):
        return f"{kind}://127.0.0.1:0"
    if kind == "unix":
        return f"unix:{folder}/{next(_names)}.sock"
    return f"memory:test-{next(_names)}"


def dial(server: Server | Address, **options: Any) -> Stream:
    """Connect to a server's first address, trusting its certificate."""
    address = server if isinstance(server, Address) else server.addresses[0]
    if address.secure:
        options.setdefault("tls", client_tls())
    if address.transport == "tls":
        # The stream below, then TLS with the name that the certificate has.
        options.setdefault("server_name", "localhost")
    with timeout(SECONDS):
        return connect(address, **options)


class Peer:
    """A bare, blocking client socket: for half requests, resets and silence."""

    def __init__(self, address: Address, data: bytes = b"", *, receive_buffer: int = 0) -> None:
        if address.transport == "unix":
            self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        else:
            family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
            self.sock = socket.socket(family, socket.SOCK_STREAM)
        self.sock.settimeout(SECONDS)
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        try:
            self.sock.connect(address.path if address.transport == "unix" else (address.host, address.port))
            if data:
                self.sock.sendall(data)
        except BaseException:
            self.sock.close()
            raise

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def answer(self) -> bytes:
        return answered(self.sock)

    def rest(self) -> bytes:
        """Everything until the server closes; a reset counts as the end."""
        parts = []
        try:
            while data := self.sock.recv(1 << 20):
                parts.append(data)
        except ConnectionResetError:
            pass
        return b"".join(parts)

    def close(self) -> None:
        self.sock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def reset(sock: socket.socket) -> None:
    """Close with RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    sock.close()


def answered(sock: socket.socket) -> bytes:
    """One HTTP answer with a Content-Length, head included. ``b""``: closed before its first byte."""
    got = bytearray()
    while b"\r\n\r\n" not in got:
        data = sock.recv(1)
        if not data:
            assert not got, f"the answer ends in its head: {bytes(got)!r}"
            return b""
        got += data
    length = next(
        int(line.split(b":")[1]) for line in got.split(b"\r\n") if line.lower().startswith(b"content-length:")
    )
    body = bytearray()
    while len(body) < length:
        data = sock.recv(length - len(body))
        assert data, f"the answer ends {length - len(body)} bytes early"
        body += data
    return bytes(got + body)


def get(target: str = "/", *, extra: str = "") -> bytes:
    return f"GET {target} HTTP/1.1\r\nHost: test\r\n{extra}\r\n".encode()


def ask(address: Address, target: str = "/") -> bytes:
    """One request on a connection of its own: the body of the answer."""
    with Peer(address, get(target, extra="Connection: close\r\n")) as peer:
        return peer.answer().partition(b"\r\n\r\n")[2]


class Gateway:
    """A gateway over a function of the exchange that gives the body."""

    def __init__(self, function: Callable[[Exchange], bytes], *, streams: bool = False) -> None:
        self.name = "test"
        self._function = function
        self._streams = streams

    def streams(self, request: RequestHead) -> bool:
        return self._streams

    def __call__(self, exchange: Exchange) -> None:
        exchange.respond(200, [("Content-Type", "text/plain")], self._function(exchange))


def until(condition: Callable[[], Any], what: str = "") -> None:
    """Wait for what another thread is about to do."""
    with timeout(SECONDS) as t:
        while not condition():
            t.check(what or "waiting for a condition")
            door.sleep(0.002)


def engine_threads(before: Collection[threading.Thread] = ()) -> Iterator[threading.Thread]:
    """Threads of engines, but for those that were there ``before``: another test's may still be ending."""
    there = (each for each in threading.enumerate() if each.name.startswith("portico"))
    return (each for each in there if each not in before)
