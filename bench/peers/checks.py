"""What a server must answer before it is measured, and after each burst: the bytes are compared."""

from __future__ import annotations

import re
import secrets
import socket
from collections.abc import Callable, Iterable
from http.client import HTTPException, HTTPResponse

__all__ = ["Check", "answers", "echoes", "says_hello"]

Check = Callable[[socket.socket], None]
"""One exchange of each kind over an open connection. Raises ``ValueError``, ``OSError``."""

HELLO = b"\r\n\r\nHello, world!"
MOST = 65536


def says_hello(requests: Iterable[bytes]) -> Check:
    """Each of these requests gets the application's answer, whole."""
    each = tuple(requests)

    def check(s: socket.socket) -> None:
        for request in each:
            s.sendall(request)
            _read_hello(s)

    return check


def _read_hello(s: socket.socket) -> None:
    received = b""
    while not received.endswith(HELLO):
        data = s.recv(MOST)
        received += data
        if not data or len(received) > MOST:
            break
    if not re.fullmatch(rb"HTTP/1\.1 200 [^\r]*\r\n.*\r\n\r\nHello, world!", received, re.DOTALL):
        raise ValueError(f"{received[:60]!r}")


def answers(exchanges: Iterable[tuple[bytes, bytes]]) -> Check:
    """Each request gets an answer with this body, whole."""
    each = tuple(exchanges)

    def check(s: socket.socket) -> None:
        for request, body in each:
            s.sendall(request)
            _read_answer(s, body)

    return check


def _read_answer(s: socket.socket, body: bytes) -> None:
    with HTTPResponse(s) as answer:
        try:
            answer.begin()
            received = answer.read()
        except HTTPException as error:
            raise ValueError(repr(error)) from None
    if answer.status != 200 or received != body:
        raise ValueError(f"{answer.status} and {len(received)} bytes that differ: {received[:60]!r}")


def echoes(sizes: Iterable[int]) -> Check:
    """Messages of these sizes come back as they went."""
    each = tuple(sizes)

    def check(s: socket.socket) -> None:
        for size in each:
            message = secrets.token_bytes(size)
            s.sendall(message)
            if (received := _read(s, size)) != message:
                raise ValueError(f"{len(received)} bytes, not the {size} that were sent")

    return check


def _read(s: socket.socket, size: int) -> bytes:
    received = bytearray()
    while len(received) < size and (data := s.recv(MOST)):
        received += data
    return bytes(received)
