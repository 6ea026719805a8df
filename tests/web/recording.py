"""An exchange that a gateway can be tried on without a server: strict, and it remembers.

``RecordingExchange("GET", "/a?b=c").run(gateway)`` calls the gateway and returns the exchange with the
answer in ``status``, ``reason``, ``sent_headers`` and ``sent``. Whatever the contract of an exchange
forbids raises ``LocalProtocolError``, so that a gateway which passes here does not depend on a server's
patience.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO, NoReturn
from urllib.parse import unquote_to_bytes

from portico.errors import ConnectionLost, EndOfStream, LocalProtocolError
from portico.limits import Limits

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_BAD_IN_VALUE = re.compile(r"[\x00\r\n]")
_OF_THE_SERVER = {"connection", "date", "keep-alive", "server", "transfer-encoding", "upgrade"}
_PIECE = 65536


@dataclass(slots=True)
class RecordedHead:
    """The head of a request, shaped as ``portico.http.messages.RequestHead``."""

    method: str
    target: str
    version: str = "HTTP/1.1"
    headers: list[tuple[str, str]] = field(default_factory=list)

    def get(self, name: str) -> str | None:
        """All values of a header joined by a comma, or ``None``."""
        values = [value for known, value in self.headers if known == name.lower()]
        return ", ".join(values) if values else None


@dataclass(frozen=True, slots=True)
class RecordedAddress:
    """As much of an ``Address`` as a gateway may ask for."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"tcp://{self.host}:{self.port}"


class RecordingExchange:
    """One request with its answer kept in memory.

    ``headers`` of the request may be spelt in any case. ``chunked=True`` hides the body's length, as a
    chunked request that is still arriving would. ``file_reads`` lists each ``send_file`` as
    ``(offset, count)``; ``writes`` each ``write``; ``error_detail`` what ``respond_error`` was told.
    """

    def __init__(
        self,
        method: str = "GET",
        target: str = "/",
        headers: Iterable[tuple[str, str]] = (),
        *,
        body: bytes = b"",
        chunked: bool = False,
        mount: str = "",
        version: str = "HTTP/1.1",
        scheme: str = "http",
        limits: Limits | None = None,
    ) -> None:
        lowered = [(name.lower(), value) for name, value in headers]
        self.request = RecordedHead(method, target, version, lowered)
        self.method, self.target = method, target
        self.headers = self.request.headers
        self.raw_path, _, self.query = target.partition("?")
        self.path = unquote_to_bytes(self.raw_path.encode("latin-1")).decode("latin-1")
        if not self.raw_path.startswith(mount):
            raise ValueError(f"{target!r} is not below the mount {mount!r}")
        self.mount = mount
        self.path_info = self.path[len(mount) :]
        self.raw_path_info = self.raw_path[len(mount) :]
        self.scheme = scheme
        self.host = self.request.get("host") or ""
        self.peer = RecordedAddress("127.0.0.1", 50000)
        self.local = RecordedAddress("127.0.0.1", 8000)
        self.tls: Any = None
        self.user = ""
        self.body = io.BytesIO(body)
        self.body_length = None if chunked else len(body)
        self.limits = limits or Limits()
        self.client_ended = False
        self.started = self.finished = self.aborted = False
        self.status = 0
        self.reason = ""
        self.sent_headers: list[tuple[str, str]] = []
        self.sent = b""
        self.writes: list[bytes] = []
        self.file_reads: list[tuple[int, int]] = []
        self.error_detail: str | None = None
        self.before_file: Callable[[], None] | None = None
        self._left: int | None = None

    def header(self, name: str) -> str | None:
        """A header of the request, several joined by a comma."""
        return self.request.get(name)

    # The answer

    def respond(
        self,
        status: int,
        headers: Sequence[tuple[str, str]],
        body: bytes = b"",
        reason: str = "",
        *,
        hold: bool = False,
    ) -> None:
        """A whole answer; sets Content-Length, unless it is there already, the status forbids it, or nothing
        to HEAD says nothing about it."""
        given = [value for name, value in headers if name.lower() == "content-length"]
        if given and given != [str(len(body))]:
            raise LocalProtocolError(f"Content-Length is {given}, but the body has {len(body)} bytes")
        told = given or status in (204, 304) or (self.method == "HEAD" and not body)
        length = [] if told else [("Content-Length", str(len(body)))]
        self.start(status, [*headers, *length], reason)
        self.write(body)
        self.finish()

    def respond_file(
        self,
        status: int,
        headers: Sequence[tuple[str, str]],
        file: BinaryIO,
        offset: int,
        count: int,
        reason: str = "",
    ) -> None:
        """A whole answer with a piece of a file; the file is closed."""
        try:
            self.start(status, [*headers, ("Content-Length", str(count))], reason)
        except BaseException:
            file.close()
            raise
        self.send_file(file, offset, count)
        self.finish()

    def start(self, status: int, headers: Sequence[tuple[str, str]], reason: str = "") -> None:
        """The head of the answer, once."""
        if self.started:
            raise LocalProtocolError("the answer was started already")
        if not 200 <= status <= 599:
            raise LocalProtocolError(f"{status} is not the status of a final answer")
        if _BAD_IN_VALUE.search(reason):
            raise LocalProtocolError(f"line end or NUL in reason {reason!r}")
        for name, value in headers:
            _check_header(name, value)
        self._left = _content_length(status, headers)
        self.started = True
        self.status, self.reason, self.sent_headers = status, reason, list(headers)

    def write(self, data: bytes) -> None:
        """A piece of the body; dropped for HEAD, 204, 304, but counted."""
        self._must_be_open("write")
        self.writes.append(bytes(data))
        self._take(bytes(data))

    def send_file(self, file: BinaryIO, offset: int, count: int) -> None:
        """A piece of a file; the file is closed. Raises ``EndOfStream`` when it ends too early."""
        with file:
            self._must_be_open("send_file")
            if offset < 0 or count < 0:
                raise LocalProtocolError(f"offset {offset}, count {count}: neither may be negative")
            self.file_reads.append((offset, count))
            if self.before_file:
                self.before_file()
            if not self._dropping():
                self._take_file(file, offset, count)

    def finish(self, trailers: Sequence[tuple[str, str]] = ()) -> None:
        """The end. Raises ``LocalProtocolError`` when bytes of the Content-Length are missing."""
        self._must_be_open("finish")
        if self._left and not self._dropping():
            self.aborted = True
            raise LocalProtocolError(f"{self._left} bytes of the Content-Length are missing")
        self.finished = True

    def respond_error(self, status: int, detail: str = "", headers: Sequence[tuple[str, str]] = ()) -> None:
        """The standard error page."""
        if not 400 <= status <= 599:
            raise LocalProtocolError(f"{status} is not an error")
        self.error_detail = detail
        page = f"{status} {detail}\n".encode()
        self.respond(status, [("Content-Type", "text/plain; charset=utf-8"), *headers], page)

    def refuse_method(self, allowed: Sequence[str], detail: str = "") -> None:
        """This method is not allowed here."""
        self.respond_error(405, detail, [("Allow", ", ".join(allowed))])

    # For tests

    def give_up(self, why: str) -> NoReturn:
        """The client has left."""
        raise ConnectionLost(f"{self.peer} {why}")

    def run(self, gateway: Callable[[Any], None]) -> RecordingExchange:
        """Call the gateway; it must leave a finished answer."""
        gateway(self)
        if not self.finished:
            raise LocalProtocolError("the gateway returned without an answer that is finished")
        return self

    def sent_header(self, name: str) -> str | None:
        """A header of the answer. Raises ``LocalProtocolError`` if it was sent twice."""
        values = [value for known, value in self.sent_headers if known.lower() == name.lower()]
        if len(values) > 1:
            raise LocalProtocolError(f"{name} was sent {len(values)} times")
        return values[0] if values else None

    def _dropping(self) -> bool:
        return self.method == "HEAD" or self.status in (204, 304)

    def _must_be_open(self, doing: str) -> None:
        if not self.started or self.finished:
            raise LocalProtocolError(f"{doing}() {'after finish' if self.finished else 'before start'}()")

    def _take(self, data: bytes) -> None:
        if self._left is not None:
            if len(data) > self._left and self.status not in (204, 304):
                self.aborted = True
                raise LocalProtocolError("more bytes than the Content-Length says")
            self._left -= len(data)
        if not self._dropping():
            self.sent += data

    def _take_file(self, file: BinaryIO, offset: int, count: int) -> None:
        while count:
            piece = os.pread(file.fileno(), min(count, _PIECE), offset)  # others may read it, too
            if not piece:
                self.aborted = True
                raise EndOfStream(f"the file ended {count} bytes early")
            self._take(piece)
            offset, count = offset + len(piece), count - len(piece)


def _check_header(name: str, value: str) -> None:
    if not _TOKEN.fullmatch(name):
        raise LocalProtocolError(f"{name!r} is not the name of a header")
    if _BAD_IN_VALUE.search(value):
        raise LocalProtocolError(f"line end or NUL in header {name}: {value!r}")
    if name.lower() in _OF_THE_SERVER:
        raise LocalProtocolError(f"{name} is the server's to send")
    try:
        value.encode("latin-1")
    except UnicodeEncodeError as error:
        raise LocalProtocolError(f"header {name}: {value!r} is not latin-1") from error


def _content_length(status: int, headers: Sequence[tuple[str, str]]) -> int | None:
    lengths = [value for name, value in headers if name.lower() == "content-length"]
    if not lengths:
        return None
    if len(lengths) > 1 or not re.fullmatch("[0-9]+", lengths[0]):
        raise LocalProtocolError(f"Content-Length: {lengths!r}")
    if status == 204:
        raise LocalProtocolError("204 carries no Content-Length (RFC 9110, 8.6)")
    return int(lengths[0])
