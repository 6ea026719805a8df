"""A WSGI application (PEP 3333) as a CGI program (RFC 3875), behind any web server.

::

    #!/usr/bin/env python3
    from portico.web import run_cgi

    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"Hello"]

    run_cgi(app)

A process starts for each request, so nothing is imported here that a request can do without: what is
checked in an application's answer is checked here anew, because the server's code for it takes ten times
as long to import.
"""

from __future__ import annotations

import io
import os
import sys

TYPE_CHECKING = False  # as type checkers know it: the module of that name takes milliseconds
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, BinaryIO

    Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

__all__ = ["run_cgi"]

_HOP_BY_HOP = frozenset(
    ("connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade")
)
_BODILESS = ("204", "304")
_TOKEN = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")


def run_cgi(app: Application) -> None:
    """Answer the request that this process was started for.

    An error of the application is written to the standard error output. Before the answer has begun the
    client gets a page with status 500 (a ``FormError``: with its own); after that the process ends itself by
    a signal, which is how a CGI program tells its server that the answer lacks its end. Whatever else is
    printed goes to the standard error output too, lest it mix with the answer.
    """
    source, target = _take_streams()
    answer = _Answer(target, head_only=os.environ.get("REQUEST_METHOD") == "HEAD")
    try:
        _answer(app, _environ(source), answer)
    except _ClientLeftError:
        pass
    except BaseException as error:  # noqa: BLE001  (whatever is raised: an exit would seem to be its end)
        _report(answer, error)
    finally:
        source.close()
        target.close()


class _ClientLeftError(BrokenPipeError):
    """The client has gone, and the server with it."""


def _take_streams() -> tuple[BinaryIO, io.FileIO]:
    """The program's input and output. Others take their places: nothing that the application prints, and
    no program that it starts, can add to the one or take from the other."""
    source, target = os.fdopen(os.dup(0), "rb"), io.FileIO(os.dup(1), "wb")
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    return source, target


def _answer(app: Application, environ: dict[str, Any], answer: _Answer) -> None:
    result = app(environ, answer.start_response)
    try:
        if type(result) is list and len(result) == 1:
            answer.whole(result[0])
        else:
            for data in _blocks(result, answer.left):
                answer.block(data)
                if answer.begun and answer.head_only:
                    break  # nobody gets the rest, which may have no end
        answer.end()
    finally:
        close = getattr(result, "close", None)
        if close is not None:
            close()


def _blocks(result: Iterable[bytes], length: int | None) -> Iterable[bytes]:
    """``result``; a file only as far as its ``Content-Length`` goes."""
    files = sys.modules.get("portico.web.wsgi_files")
    if length is None or files is None or not isinstance(result, files.FileWrapper):
        return result
    part: Iterable[bytes] = result.first(length)
    return part


def _report(answer: _Answer, error: BaseException) -> None:
    known = sys.modules.get("portico.errors")
    if not answer.begun and known is not None and isinstance(error, known.FormError):
        answer.refuse(error)
        return
    import traceback

    traceback.print_exc()
    sys.stderr.flush()
    if not answer.begun:
        answer.fail()
    elif not answer.complete:
        import signal

        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.raise_signal(signal.SIGTERM)


def _environ(source: BinaryIO) -> dict[str, Any]:
    # HTTP_PROXY would be the client's choice, and what the application starts obeys it (httpoxy).
    os.environ.pop("HTTP_PROXY", None)
    environ: dict[str, Any] = {
        name: os.fsencode(value).decode("latin-1") for name, value in os.environ.items()
    }
    for name in ("SCRIPT_NAME", "PATH_INFO", "QUERY_STRING"):
        environ.setdefault(name, "")
    environ.setdefault("REQUEST_METHOD", "GET")
    environ.setdefault("SERVER_PROTOCOL", "HTTP/1.0")
    environ.setdefault("SERVER_NAME", "localhost")
    secure = environ.get("HTTPS", "").lower() in ("on", "1") or environ.get("REQUEST_SCHEME") == "https"
    environ.setdefault("SERVER_PORT", "443" if secure else "80")
    environ |= {
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "https" if secure else "http",
        "wsgi.input": _input(source, environ),
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        "wsgi.file_wrapper": _file_wrapper,
        "wsgi.multithread": False,
        "wsgi.multiprocess": True,
        "wsgi.run_once": True,
    }
    return environ


def _file_wrapper(file: Any, block_size: int = 65536) -> Iterable[bytes]:
    from portico.web.wsgi_files import FileWrapper

    return FileWrapper(file, block_size)


def _input(source: BinaryIO, environ: dict[str, Any]) -> BinaryIO:
    """The body, and not a byte more: a server need not end it (RFC 3875, 4.2)."""
    length = environ.get("CONTENT_LENGTH", "")
    if length.isascii() and length.isdigit():
        return io.BufferedReader(_Body(source, int(length)))
    # A body that came in chunks has no length; servers that pass it on nevertheless do end it.
    return source if environ.get("HTTP_TRANSFER_ENCODING") else io.BytesIO()


class _Body(io.RawIOBase):
    def __init__(self, source: BinaryIO, left: int) -> None:
        self._source = source
        self._left = left

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = os.read(self._source.fileno(), min(len(buffer), self._left))
        buffer[: len(data)] = data
        self._left -= len(data)
        return len(data)


class _Answer:
    """The application's side of the answer, and what has been written of it."""

    def __init__(self, target: io.FileIO, *, head_only: bool) -> None:
        self._target = target
        self.head_only = self._bodiless = head_only
        self._head = b""
        self.left: int | None = None
        self.begun = self.complete = False

    def start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None
    ) -> Callable[[bytes], None]:
        if exc_info is not None:
            try:
                if self.begun:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None
        elif self._head:
            raise RuntimeError("start_response() was called twice; a second call needs exc_info")
        self._head, self.left = _head(status, headers)
        self._bodiless = self.head_only or status[:3] in _BODILESS
        return self.write

    def write(self, data: bytes) -> None:
        """PEP 3333's imperative way to send."""
        _check(data)
        self._send(data)

    def block(self, data: bytes) -> None:
        """One item of the application's iterable."""
        _check(data)
        if data:
            self._send(data)

    def whole(self, data: bytes) -> None:
        """The only item of a list: its length is known."""
        _check(data)
        self._check_end(len(data))
        if data and not self.begun and self._head and self.left is None and not self._bodiless:
            self._head = b"%bContent-Length: %d\r\n" % (self._head, len(data))
        self.block(data)

    def end(self) -> None:
        """The iterable is exhausted."""
        self._check_end(0)
        self._begin()
        self.complete = True

    def refuse(self, error: Any) -> None:
        """The answer to a form that cannot be read, as the server gives it: see ``FormError``."""
        from portico.http.pages import REASONS, error_page

        sys.stderr.write(f"{error}\n")
        sys.stderr.flush()
        fields, page = error_page(error.status, str(error))
        self.start_response(f"{error.status} {REASONS[error.status]}", fields, sys.exc_info())
        try:
            self.whole(page)
            self.end()
        except _ClientLeftError:
            pass

    def fail(self) -> None:
        """A page instead of an answer."""
        page = b"<!doctype html><title>500</title><h1>500 Internal Server Error</h1>\n"
        head = b"Status: 500 Internal Server Error\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n"
        try:
            self._write(head % len(page) + page)
        except _ClientLeftError:
            pass

    def _begin(self) -> None:
        if not self._head:
            raise RuntimeError("the application sent a body before it called start_response()")
        if not self.begun:
            self.begun = True
            self._write(self._head + b"\r\n")

    def _check_end(self, last: int) -> None:
        """Raises ``RuntimeError`` if more is missing than the ``last`` bytes that come."""
        if self.left is not None and self.left > last and not self._bodiless:
            raise RuntimeError(f"the body is shorter than its Content-Length, by {self.left - last}")

    def _send(self, data: bytes) -> None:
        if self.left is not None and not self._bodiless:
            self.left -= len(data)
            if self.left < 0:
                raise RuntimeError(f"the body is longer than its Content-Length, by {-self.left}")
        self._begin()
        if not self._bodiless:
            self._write(data)

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        try:
            while view:
                view = view[self._target.write(view) :]
        except BrokenPipeError:
            raise _ClientLeftError from None


def _check(data: object) -> None:
    if not isinstance(data, bytes):
        raise TypeError(f"the application must send bytes, not {type(data).__name__}")


def _head(status: str, headers: list[tuple[str, str]]) -> tuple[bytes, int | None]:
    """The header part without its blank line, and the body's length where it is told."""
    code, reason = status[:3], status[3:]
    if not (code.isascii() and code.isdigit() and code >= "200" and reason[:1] in ("", " ")):
        raise ValueError(f"start_response(): {status!r} is not a status such as '200 OK'")
    lines, length = [_line("Status", status)], None
    for name, value in headers:
        if not name or not _TOKEN.issuperset(name) or name.lower() == "status":
            raise ValueError(f"start_response(): {name!r} is no header of an application's")
        if name.lower() == "content-length":
            if length is not None:
                raise ValueError("start_response(): there are two Content-Length")
            length = _length(value)
        if name.lower() not in _HOP_BY_HOP:
            lines.append(_line(name, value))
    return b"".join(lines), length


def _line(name: str, value: str) -> bytes:
    if not isinstance(value, str) or any(each in value for each in "\r\n\0"):  # type: ignore[redundant-expr]
        raise ValueError(f"start_response(): {value!r} cannot be the value of {name}")
    return f"{name}: {value}\r\n".encode("latin-1")


def _length(value: str) -> int:
    if not (value.isascii() and value.isdigit()):
        raise ValueError(f"start_response(): {value!r} is not a Content-Length")
    return int(value)
