"""A server of one file: answers are cut, and the file changes. What downloads have to live with."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

__all__ = ["FileServer"]

LAST_MODIFIED = "Sat, 01 Jan 2022 00:00:00 GMT"
DATE = "Sat, 28 Nov 2026 00:00:00 GMT"


@dataclass
class FileServer:
    """Serves ``content`` under every path. ``cut``: bytes of a body after which connections are closed, one
    for each answer; ``heed``: whether ``If-Range`` is heeded; ``change``: called with the number of each
    request before it is answered. ``asked``: heads that came."""

    content: bytes
    etag: str | None = '"v1"'
    modified: str | None = LAST_MODIFIED
    ranges: bool = True
    heed: bool = True
    length: bool = True
    cut: list[int | None] = field(default_factory=list)
    status: list[int] = field(default_factory=list)
    more: dict[str, str] = field(default_factory=dict)
    change: Callable[[int], None] = lambda number: None
    lie: Callable[[dict[str, str], int], None] = lambda headers, number: None
    asked: list[str] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/file.bin"
        self._guard = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._main = threading.Thread(target=self._accept)
        self._main.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._main.join()
        for thread in self._threads:
            thread.join()

    def headers(self, name: str) -> list[str | None]:
        """The values of a field in all requests."""
        found = [re.search(rf"^{name}: (.*?)\r?$", head, re.IGNORECASE | re.MULTILINE) for head in self.asked]
        return [None if each is None else each[1] for each in found]

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            connection.settimeout(20)
            try:
                while head := self._head(connection):
                    if not self._answer(connection, head):
                        return
            except OSError:
                return

    def _head(self, connection: socket.socket) -> str:
        data = b""
        while b"\r\n\r\n" not in data:
            piece = connection.recv(65536)
            if not piece:
                return ""
            data += piece
        return data.decode("latin-1")

    def _answer(self, connection: socket.socket, head: str) -> bool:
        with self._guard:
            number = len(self.asked)
            self.asked.append(head)
            self.change(number)
            cut = self.cut.pop(0) if self.cut else None
            status = self.status.pop(0) if self.status else 200
            headers, body = self._made(head, status)
            status = int(headers.pop(":status"))
            self.lie(headers, number)
        lines = [f"HTTP/1.1 {status} X", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
        connection.sendall("\r\n".join(lines).encode())
        if head.startswith("HEAD"):
            return True
        connection.sendall(body if cut is None else body[:cut])
        return cut is None and self.length

    def _made(self, head: str, status: int) -> tuple[dict[str, str], bytes]:
        headers = {"Date": DATE, **self.more}
        if status != 200:
            return {":status": str(status), "Content-Length": "2", **headers}, b"no"
        body = self.content
        if self.ranges:
            headers["Accept-Ranges"] = "bytes"
        if self.etag:
            headers["ETag"] = self.etag
        if self.modified:
            headers["Last-Modified"] = self.modified
        wanted = re.search(r"^Range: bytes=(\d+)-(\d*)\r?$", head, re.MULTILINE)
        condition = re.search(r"^If-Range: (.*?)\r?$", head, re.MULTILINE)
        current = condition is None or condition[1] in (self.etag, self.modified) or not self.heed
        if wanted and self.ranges and current:
            start = int(wanted[1])
            end = min(int(wanted[2] or len(body) - 1), len(body) - 1)
            if start >= len(body):
                return {
                    ":status": "416",
                    "Content-Range": f"bytes */{len(body)}",
                    "Content-Length": "0",
                    **headers,
                }, b""
            headers["Content-Range"] = f"bytes {start}-{end}/{len(body)}"
            body, status = body[start : end + 1], 206
        if self.length:
            headers["Content-Length"] = str(len(body))
        else:
            headers["Connection"] = "close"
        return {":status": str(status), **headers}, body
