"""An upstream that reads what a proxy sends as strictly as can be, by a reader of its own.

It is asked whether what reached it has one meaning only; the project's codec is not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from tests.web.proxy.upstreams import Upside

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_START = re.compile(rb"(" + _TOKEN + rb") ([\x21\x22\x24-\x7e]+) HTTP/1\.1")
_FIELD = re.compile(rb"(" + _TOKEN + rb"): ([\t\x20-\x7e\x80-\xff]*)")
_OF_A_HOP = {b"keep-alive", b"proxy-connection", b"trailer"}
_NO_TRAILERS = {b"content-length", b"host", b"transfer-encoding", b"connection", b"expect"}


@dataclass
class StrictUpstream:
    """``requests``: methods and bodies of those that were complete; ``doubts``: what was not clear."""

    requests: list[tuple[str, bytes]] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)

    def __call__(self, up: Upside) -> None:
        """Answer the requests of a connection, until one cannot be trusted."""
        while True:
            head = up.request()
            method, framing = self._read_head(head)
            if framing is None:
                return
            if b"\r\nexpect: 100-continue\r\n" in head.lower():
                up.say(b"HTTP/1.1 100 Continue\r\n\r\n")
            body = self._read_body(up, framing)
            if body is None:
                return
            self.requests.append((method, body))
            if up.buffer:
                self.doubts.append(f"bytes behind a request: {up.buffer[:80]!r}")
            up.say(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n" + (b"" if method == "HEAD" else b"ok"))

    def _read_head(self, head: bytes) -> tuple[str, bytes | None]:
        """The method, and the body's length, ``b"chunked"``, or ``None`` for what cannot be read."""
        start, *lines = head[:-4].split(b"\r\n")
        line, found = _START.fullmatch(start), [_FIELD.fullmatch(each) for each in lines]
        fields = [(each[1].lower(), each[2] or b"") for each in found if each is not None]
        if line is None or len(fields) < len(found):
            self.doubts.append(f"malformed: {head!r}")
            return "", None
        lengths = [value for name, value in fields if name == b"content-length"]
        codings = [value for name, value in fields if name == b"transfer-encoding"]
        names = [name for name, _ in fields]
        if names.count(b"host") != 1 or len(lengths) + len(codings) > 1 or codings not in ([], [b"chunked"]):
            self.doubts.append(f"of two meanings: {head!r}")
            return "", None
        if lengths and not re.fullmatch(rb"0|[1-9][0-9]*", lengths[0]):
            self.doubts.append(f"an odd length: {lengths[0]!r}")
            return "", None
        if any(b"_" in name or name in _OF_A_HOP for name in names):
            self.doubts.append(f"fields that are not to be passed on: {names}")
        return line[1].decode(), (codings or lengths or [b"0"])[0]

    def _read_body(self, up: Upside, framing: bytes) -> bytes | None:
        if framing != b"chunked":
            return up.exactly(int(framing))
        body = b""
        while True:
            size = up.until(b"\r\n")
            if not re.fullmatch(rb"[0-9a-f]+", size):
                self.doubts.append(f"a size: {size!r}")
                return None
            if int(size, 16) == 0:
                break
            body += up.exactly(int(size, 16))
            if up.exactly(2) != b"\r\n":
                self.doubts.append("a chunk's end")
                return None
        while line := up.until(b"\r\n"):
            found = _FIELD.fullmatch(line)
            if found is None or found[1].lower() in _NO_TRAILERS:
                self.doubts.append(f"a trailer: {line!r}")
        return body
