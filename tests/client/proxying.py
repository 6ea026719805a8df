"""Steps of a ``Hostile`` server that make it a proxy: it forwards, and opens tunnels."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from typing import Any

from tests.client.hostile import Peer, Script

__all__ = ["forward", "socks4a", "tunnel"]


def tunnel(peer: Peer) -> None:
    """Answer one CONNECT, and pass on what comes."""
    head = peer.read_head()
    if not head:
        return
    host, _, port = head.split(b" ")[1].decode().rpartition(":")
    with socket.create_connection((host.strip("[]"), int(port)), 10) as far:
        peer.send(b"HTTP/1.1 200 Established\r\n\r\n")
        _relay(peer.sock, far)


def socks4a(asked: list[tuple[bytes, bytes, bytes]]) -> Script:
    """Connect by SOCKS 4 or 4a; ``asked`` gets address, user and name, and every name is this machine."""

    def serve(peer: Peer) -> None:
        data = peer.sock.recv(65536)
        assert data[:2] == b"\4\1"
        port = struct.unpack("!H", data[2:4])[0]
        user, name, *_ = [*data[8:].split(b"\0"), b""]
        asked.append((data[4:8], user, name))
        with socket.create_connection(("127.0.0.1", port), 10) as far:
            peer.sock.sendall(b"\0\x5a" + bytes(6))
            _relay(peer.sock, far)

    return [serve]


def forward(peer: Peer) -> None:
    """Ask the origins of absolute-form requests, without what is meant for the proxy alone."""
    while head := peer.read_head():
        method, target, _ = head.split(b"\r\n")[0].split(b" ")
        scheme, _, rest = target.partition(b"://")
        assert scheme == b"http"
        authority, _, path = rest.partition(b"/")
        host, _, port = authority.decode().rpartition(":")
        lines = [
            line
            for line in head.split(b"\r\n")[1:]
            if not line.lower().startswith((b"proxy-", b"connection:"))
        ]
        with socket.create_connection((host.strip("[]"), int(port)), 10) as far:
            far.sendall(b"\r\n".join([method + b" /" + path + b" HTTP/1.1", *lines, b"", b""]))
            peer.sock.sendall(_whole(far))


def _whole(far: socket.socket) -> bytes:
    """An answer that tells its length."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += far.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
    while len(body) < length:
        body += far.recv(65536)
    return head + b"\r\n\r\n" + body


def _relay(near: Any, far: socket.socket) -> None:
    def pass_on(source: Any, target: Any) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)

    thread = threading.Thread(target=pass_on, args=(far, near), daemon=True)
    thread.start()
    pass_on(near, far)
    thread.join(10)
