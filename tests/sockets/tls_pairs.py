"""What the TLS tests share: lower transports of every kind, and pumps that move bytes between two ends."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import trustme

from portico.deadline import timeout
from portico.engines import door
from portico.errors import PorticoError
from portico.sockets.memory import Faults, pair
from portico.sockets.tls import ClientTLS, ServerTLS
from portico.sockets.transport import READ, WRITE, SocketTransport, Transport

__all__ = [
    "KINDS",
    "accept_tls",
    "authority",
    "both",
    "channel",
    "connected",
    "end_all",
    "finish",
    "issued",
    "lowers",
    "read_all",
    "run",
    "shake",
    "trusting",
    "try_shake",
    "write_all",
]

Ends = tuple[Transport, Transport]
LIMIT = 30.0


_AUTHORITIES: dict[str, trustme.CA] = {}


def authority(name: str = "main") -> trustme.CA:
    """A certificate authority of our own, made once."""
    if name not in _AUTHORITIES:
        _AUTHORITIES[name] = trustme.CA(organization_name=f"Portico tests, {name}")
    return _AUTHORITIES[name]


def issued(*names: str, ca: str = "main", **options: Any) -> bytes:
    """A key and certificate for ``names``, as PEM text."""
    return bytes(authority(ca).issue_cert(*names, **options).private_key_and_cert_chain_pem.bytes())


def trusting(ca: str = "main", **options: Any) -> ClientTLS:
    return ClientTLS(authority(ca).cert_pem.bytes(), **options)


def memory() -> Ends:
    return pair()


def trickle() -> Ends:
    """Every read and every send moves one byte."""
    return pair(faults=Faults(fragment=1, accept=1))


def narrow() -> Ends:
    return pair(capacity=100)


def unix() -> Ends:
    a, b = socket.socketpair()
    return SocketTransport(a), SocketTransport(b)


def tcp() -> Ends:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        a = socket.create_connection(listener.getsockname())
        return SocketTransport(a), SocketTransport(listener.accept()[0])


def tls() -> Ends:
    return channel(memory(), trusting(), ServerTLS(issued("inner.test")), "inner.test")


KINDS: dict[str, Callable[[], Ends]] = {
    each.__name__: each for each in (memory, trickle, narrow, unix, tcp, tls)
}


def lowers(kind: str) -> Ends:
    return KINDS[kind]()


def channel(ends: Ends, client: ClientTLS, server: ServerTLS, name: str | None) -> Ends:
    return client.wrap(ends[0], name), server.wrap(ends[1])


def shake(ends: Ends) -> Ends:
    """Drive both handshakes to their end, in one thread."""
    until = time.monotonic() + LIMIT
    while ends[0].handshake() | ends[1].handshake():
        assert time.monotonic() < until, "the handshake hangs"
    return ends


def try_shake(ends: Ends) -> tuple[Exception | None, Exception | None]:
    """Both handshakes, each as far as it goes: the errors of client and server. Closes both."""
    errors: list[Exception | None] = [None, None]
    done = [False, False]
    until = time.monotonic() + LIMIT
    while not all(done):
        assert time.monotonic() < until, "the handshake hangs"
        for number, end in enumerate(ends):
            if not done[number]:
                try:
                    done[number] = not end.handshake()
                except PorticoError as error:
                    errors[number], done[number] = error, True
                    end.close()
    # In TLS 1.3 the client may be done before the server has judged it.
    if errors[0] is None and errors[1] is not None:
        try:
            read_all(ends[0])
        except PorticoError as error:
            errors[0] = error
    for end in ends:
        end.close()
    return errors[0], errors[1]


def connected(kind: str = "memory", *, name: str = "peer.test", **options: Any) -> Ends:
    """A pair over which TLS is up."""
    return shake(channel(lowers(kind), trusting(), ServerTLS(issued(name), **options), name))


def write_all(end: Transport, data: bytes) -> None:
    """Blocking, at the door."""
    view = memoryview(data)
    with timeout(LIMIT):
        while view:
            taken = end.send(view)
            view = view[taken:]
            if not taken:
                door.wait(end, WRITE, "writing")
        while not end.flush():
            door.wait(end, WRITE, "flushing")


def read_all(end: Transport) -> bytes:
    """Blocking, at the door, to the end of the stream."""
    got = bytearray()
    with timeout(LIMIT):
        while (data := end.recv(65536)) != b"":
            if data is None:
                door.wait(end, READ, "reading")
            else:
                got += data
    return bytes(got)


def end_all(end: Transport) -> None:
    with timeout(LIMIT):
        while not end.shutdown_write():
            door.wait(end, WRITE, "ending")


def run(function: Callable[..., Any], *args: Any) -> Callable[[], Any]:
    """In a thread; calling what is returned gives its result, or raises what it raised."""
    outcome: dict[str, Any] = {}

    def body() -> None:
        try:
            outcome["value"] = function(*args)
        except BaseException as error:  # noqa: BLE001  (raised again where the result is asked for)
            outcome["error"] = error

    thread = threading.Thread(target=body, daemon=True)
    thread.start()

    def result() -> Any:
        thread.join(LIMIT + 5)
        assert not thread.is_alive(), f"{function} hangs"
        if "error" in outcome:
            raise outcome["error"]
        return outcome.get("value")

    return result


def both(*pairs: tuple[Callable[..., Any], Any]) -> list[Any]:
    """Several functions at once, a thread each: their results."""
    return [result() for result in [run(function, *args) for function, *args in pairs]]


def accept_tls(listener: socket.socket, server: ServerTLS) -> Transport:
    """The next connection of a listening socket, with its handshake done."""
    listener.settimeout(LIMIT)
    end = server.wrap(SocketTransport(listener.accept()[0]))
    try:
        finish(end)
    except Exception:
        end.close()
        raise
    return end


def finish(end: Transport) -> Transport:
    with timeout(LIMIT):
        while wants := end.handshake():
            door.wait(end, wants, "handshaking")
    return end
