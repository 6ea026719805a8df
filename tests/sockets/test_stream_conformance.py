"""Every transport of the house is a stream: the public kit, run over each."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

import pytest
import trustme

from portico.deadline import timeout
from portico.engines import door
from portico.sockets import memory
from portico.sockets.stream import Stream
from portico.sockets.tls import ClientTLS, ServerTLS
from portico.testing import STREAM_CHECKS, PairFactory, StreamCheck, check_stream

Pair = tuple[Stream, Stream]
NAME = "stream.test"
door.waiter()  # this thread's own descriptor, made at its first wait and kept, is no leak


def tcp() -> Pair:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = socket.create_connection(listener.getsockname())
        far, _ = listener.accept()
    return Stream.from_socket(near), Stream.from_socket(far)


def unix() -> Pair:
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    return Stream.from_socket(near), Stream.from_socket(far)


def in_memory() -> Pair:
    near, far = memory.pair()
    return Stream(near), Stream(far)


def in_memory_crumbs() -> Pair:
    near, far = memory.pair(faults=memory.Faults(fragment=100, accept=1000))
    return Stream(near), Stream(far)


TRANSPORTS: dict[str, Callable[[], Pair]] = {
    "tcp": tcp,
    "unix": unix,
    "memory": in_memory,
    "memory in crumbs": in_memory_crumbs,
}


@pytest.fixture(scope="session")
def secured() -> Callable[[Pair], Pair]:
    authority = trustme.CA()
    certificate = authority.issue_cert(NAME)
    chain = b"".join(blob.bytes() for blob in certificate.cert_chain_pems)
    server = ServerTLS(chain, certificate.private_key_pem.bytes())
    client = ClientTLS(ca=authority.cert_pem.bytes())

    def secure(pair: Pair) -> Pair:
        near, far = pair
        task = door.spawn(far.start_tls, server)
        near.start_tls(client, NAME)
        task.join()
        return near, far

    return secure


@pytest.fixture(params=[*TRANSPORTS, *(f"tls over {name}" for name in TRANSPORTS)])
def pair(request: pytest.FixtureRequest) -> Iterator[PairFactory]:
    name: str = request.param
    make = TRANSPORTS[name.removeprefix("tls over ")]
    if name.startswith("tls"):
        secure = request.getfixturevalue("secured")
        yield lambda: secure(make())
    else:
        yield make


@pytest.mark.usefixtures("no_leaks")
@pytest.mark.parametrize("check", STREAM_CHECKS.values(), ids=STREAM_CHECKS)
def test_the_transport_is_a_stream(check: StreamCheck, pair: PairFactory) -> None:
    check(pair)


def test_the_whole_kit_passes_in_one_call() -> None:
    check_stream(in_memory)


def test_the_kit_lists_what_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    def deaf() -> Pair:
        near, far = memory.pair(faults=memory.Faults(end_after=2))
        return Stream(near), Stream(far)

    for name in set(STREAM_CHECKS) - {
        "read_returns_what_there_is",
        "peek_takes_nothing",
        "lines_end_with_lf_or_crlf",
    }:
        monkeypatch.delitem(STREAM_CHECKS, name)
    with pytest.raises(AssertionError) as caught:
        check_stream(deaf)
    told = str(caught.value).splitlines()
    assert "read_returns_what_there_is: AssertionError: read(100): b'he' instead of b'hello'" in told
    assert len(told) == 4


@pytest.mark.usefixtures("no_leaks")
def test_the_end_of_the_peer_shows_though_what_it_sent_is_unread(pair: PairFactory) -> None:
    near, far = pair()
    with near, far:
        near.write(b"unread")
        assert not far.transport.peer_ended()
        near.close()
        with timeout(20):
            while not far.transport.peer_ended():
                door.sleep(0.001)
        assert far.read_all() == b"unread"
