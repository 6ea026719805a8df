"""Where a connection may break: each function opens one, and leaves it in its own bad manner."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable

from tests.engines.serving import HELLO, Peer, get, reset
from tests.soak.target import Target

__all__ = ["BRIEF", "STAGES", "Stage"]

Stage = Callable[[Target], None]
LINGER_NOT = b"\1\0\0\0\0\0\0\0"


def connect_and_close(target: Target) -> None:
    target.to_http().close()


def connect_and_reset(target: Target) -> None:
    reset(target.to_http().sock)


def half_a_head_then_end(target: Target) -> None:
    target.to_http(b"GET / HTTP/1.1\r\nHo").close()


def half_a_head_then_reset(target: Target) -> None:
    reset(target.to_http(b"GET / HTTP/1.1\r\nHo").sock)


def half_a_body_then_reset(target: Target) -> None:
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 400000\r\n\r\n"
    reset(target.to_http(head + b"b" * 300_000).sock)


def half_a_chunk_then_end(target: Target) -> None:
    target.to_http(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab").close()


def reset_in_the_answer(target: Target) -> None:
    peer = target.to_http(get("/large"), receive_buffer=4096)
    peer.sock.recv(100)
    reset(peer.sock)


def end_in_the_answer(target: Target) -> None:
    peer = target.to_http(get("/large"), receive_buffer=4096)
    peer.sock.shutdown(socket.SHUT_WR)
    peer.sock.recv(100)
    peer.close()


def half_closed_and_answered(target: Target) -> None:
    with target.to_http(get()) as peer:
        peer.sock.shutdown(socket.SHUT_WR)
        assert peer.rest().startswith(b"HTTP/1.1 200")


def an_error_then_close(target: Target) -> None:
    with target.to_http(b"NONSENSE\r\n\r\n") as peer:
        assert peer.rest().startswith(b"HTTP/1.1 400")


def used_kept_and_reset(target: Target) -> None:
    peer = target.to_http(get())
    peer.answer()
    peer.send(get())
    peer.answer()
    reset(peer.sock)


def used_and_left_alone(target: Target) -> None:
    peer = target.to_http(get())
    peer.answer()
    target.leave_alone(peer)


def half_a_head_and_left_alone(target: Target) -> None:
    target.leave_alone(target.to_http(b"GET / HTTP/1.1\r\nHo"))


def pipelined_and_reset(target: Target) -> None:
    peer = target.to_http(get() * 20)
    peer.answer()
    reset(peer.sock)


def no_tls_hello_at_all(target: Target) -> None:
    target.to_http(where=1).close()


def no_tls_hello_and_left_alone(target: Target) -> None:
    target.leave_alone(target.to_talk(where=1))


def half_a_tls_hello(target: Target) -> None:
    target.to_http(HELLO[:100], where=1).close()


def a_tls_hello_and_reset(target: Target) -> None:
    peer = target.to_http(HELLO, where=1)
    peer.sock.recv(100)
    reset(peer.sock)


def secure(target: Target, peer: Peer) -> ssl.SSLSocket:
    try:
        return target.context.wrap_socket(peer.sock, server_hostname="localhost")
    except BaseException:
        peer.close()
        raise


def tls_used_and_reset(target: Target) -> None:
    with secure(target, target.to_http(where=1)) as peer:
        peer.sendall(get())
        assert peer.recv(10)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NOT)


def tls_reset_in_the_answer(target: Target) -> None:
    with secure(target, target.to_http(where=1)) as peer:
        peer.sendall(get("/large"))
        assert peer.recv(10)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NOT)


def tls_ended_properly(target: Target) -> None:
    with secure(target, target.to_talk(where=1)) as peer:
        peer.sendall(b"hello\n")
        assert peer.recv(6)
        peer.unwrap().close()


def plain_bytes_for_tls(target: Target) -> None:
    with target.to_http(get(), where=1) as peer:
        peer.rest()


def talk_and_reset(target: Target) -> None:
    peer = target.to_talk(b"hello\n")
    assert peer.sock.recv(6)
    peer.send(b"half")
    reset(peer.sock)


def talk_and_end(target: Target) -> None:
    with target.to_talk(b"hello\nhalf") as peer:
        peer.sock.shutdown(socket.SHUT_WR)
        assert peer.rest() == b"hello\nhalf"


def talk_and_be_left(target: Target) -> None:
    """The handler raises."""
    with target.to_talk(b"raise\n") as peer:
        assert peer.rest() == b""


def talk_over_unix(target: Target) -> None:
    with target.to_talk(b"hello\n", where=2) as peer:
        assert peer.sock.recv(6)


def talk_in_memory_and_reset(target: Target) -> None:
    stream = target.in_memory()
    stream.write(b"hello\n")
    assert stream.read(6)
    stream.abort()


def talk_over_tls_and_vanish(target: Target) -> None:
    with secure(target, target.to_talk(where=1)) as peer:
        peer.sendall(b"hello\n")
        assert peer.recv(6)


BRIEF: list[Stage] = [
    connect_and_close,
    connect_and_reset,
    half_a_head_then_end,
    half_a_head_then_reset,
    half_a_body_then_reset,
    half_a_chunk_then_end,
    reset_in_the_answer,
    end_in_the_answer,
    half_closed_and_answered,
    an_error_then_close,
    used_kept_and_reset,
    pipelined_and_reset,
    no_tls_hello_at_all,
    half_a_tls_hello,
    a_tls_hello_and_reset,
    tls_used_and_reset,
    tls_reset_in_the_answer,
    tls_ended_properly,
    plain_bytes_for_tls,
    talk_and_reset,
    talk_and_end,
    talk_and_be_left,
    talk_over_unix,
    talk_in_memory_and_reset,
    talk_over_tls_and_vanish,
]
STAGES: list[Stage] = [
    *BRIEF, used_and_left_alone, half_a_head_and_left_alone, no_tls_hello_and_left_alone
]  # fmt: skip
"""With those that let the server wait for its own deadlines."""
