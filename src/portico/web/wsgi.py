"""WSGI applications (PEP 3333) as a gateway.

The body is complete when the application is called (in memory, or in a temporary file), unless the
gateway was made with ``stream=True`` or the client waits to be asked for it (``Expect``); either way
``wsgi.input`` ends where the body ends (``wsgi.input_terminated``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any

from portico.address import Address
from portico.compiled import mypyc_attr
from portico.errors import LocalProtocolError
from portico.http.exchange import Exchange
from portico.http.messages import Fields, RequestHead
from portico.http.outgoing import encode_fields
from portico.limits import Limits
from portico.web.headers import HOP_BY_HOP
from portico.web.wsgi_environ import base_environ, port_of
from portico.web.wsgi_files import ErrorStream, FileWrapper

__all__ = ["WSGI", "FileWrapper"]

Environ = dict[str, Any]
Application = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]
_Checked = tuple[list[tuple[str, ...]], list[tuple[str, str]]]
ExcInfo = tuple[type[BaseException], BaseException, TracebackType]

_STATUS = re.compile(r"([2-9][0-9][0-9])(?: ([\t\x20-\x7e\x80-\xff]*))?")
# The body has been taken out of its chunks; and HTTP_PROXY must never be a client's choice (httpoxy).
_NOT_PASSED = frozenset({"transfer-encoding", "proxy"})


@mypyc_attr(native_class=False)
class WSGI:
    """Serves ``app(environ, start_response)``.

    ``stream``: call it before the body has arrived. ``environ``: more entries for the environment.
    ``early_hints``: there is ``wsgi.early_hints(headers)``, as gunicorn has it, which sends a 103 at once.
    """

    def __init__(
        self,
        app: Application,
        *,
        name: str = "",
        stream: bool = False,
        environ: Mapping[str, Any] | None = None,
        early_hints: bool = False,
    ) -> None:
        self.app = _with_hints(app) if early_hints else app
        self.name = f"wsgi:{name or getattr(app, '__name__', type(app).__name__)}"
        self._stream = stream
        self._extra = dict(environ or {})
        self._last_base: tuple[Address | None, bool, Limits, Environ] | None = None
        self.checked: _Checked = [], []
        """The headers of the last answer, and those of them that are passed on."""

    def streams(self, request: RequestHead) -> bool:
        return self._stream

    def __call__(self, exchange: Exchange) -> None:
        answer = _Answer(exchange, self)
        result = self.app(self._environ(exchange), answer.start_response)
        if type(result) is list and len(result) == 1 and not answer.begun:
            answer.whole(result[0])
            return
        try:
            if isinstance(result, FileWrapper) and answer.file(result):
                return
            head = exchange.method == "HEAD"
            for data in answer.blocks(result):
                answer.block(data)
                if head and answer.begun:
                    break  # nobody gets the rest, which may have no end
            answer.end()
        finally:
            close = getattr(result, "close", None)
            if close is not None:
                close()

    def _environ(self, exchange: Exchange) -> Environ:
        request, connection = exchange.request, exchange.connection
        # What answers in another's place has a head of its own.
        if request.changed is None or connection.exchange is not exchange:
            environ = self._template(exchange)
            _describe(environ, exchange)
            return environ
        derived = connection.derived
        if derived is None:
            derived = connection.derived = {}
        kept: _Kept | None = derived.get(self)
        if kept is None:
            kept = derived[self] = _Kept(self._template(exchange))
        if kept.head is not request:
            return self._fill(kept, exchange)
        environ = kept.template.copy()
        environ["wsgi.input"] = exchange.body
        return environ

    def _fill(self, kept: _Kept, exchange: Exchange) -> Environ:
        """The environment of a head that differs a little from one before, or has come a second time."""
        request = exchange.request
        environ = kept.template.copy()
        for name, value in request.changed or ():
            key = _KEYS[name]
            if key and key not in self._extra:
                environ[key] = value
        _describe(environ, exchange)
        again, kept.seen = kept.seen is request, request
        kept.head = None
        if again and request.facts.body_length == 0 and exchange.target[0] == "/":
            # Nothing in it that another head of the shape would not replace: it is a template as well.
            kept.head, kept.template = request, environ.copy()
            kept.template["wsgi.input"] = None
        return environ

    def _template(self, exchange: Exchange) -> Environ:
        """What follows from who is connected and from the header fields."""
        base = self._base(exchange)
        environ = base.copy()
        fields = exchange.request.fields
        size = len(environ) + len(fields)
        for name, value in fields:
            environ[_KEYS[name]] = value
        if len(environ) != size or "" in environ:
            environ = base.copy()
            _add_fields(environ, fields)
        peer = exchange.peer
        if peer is not None:
            environ["REMOTE_ADDR"], environ["REMOTE_PORT"] = peer.host, port_of(peer)
        environ["wsgi.errors"] = ErrorStream()
        if self._extra:
            environ.update(self._extra)
        return environ

    def _base(self, exchange: Exchange) -> Environ:
        """What the connections of a listener have in common."""
        where, secure, limits = exchange.local, exchange.tls is not None, exchange.limits
        last = self._last_base
        if last is not None and last[0] is where and last[1] is secure and last[2] is limits:
            return last[3]
        environ = base_environ(where, secure)
        environ["wsgi.multithread"], environ["wsgi.multiprocess"] = exchange.side_by_side
        environ["portico.limits"] = limits
        self._last_base = where, secure, limits, environ
        return environ


def _with_hints(app: Application) -> Application:
    """``app`` with a way to send early hints; one that has none costs nothing."""

    def hinting(environ: Environ, start_response: Any) -> Iterable[bytes]:
        environ["wsgi.early_hints"] = start_response.__self__.hint
        return app(environ, start_response)

    return hinting


class _Kept:
    """What a connection keeps between heads of one shape: the environment but for what changes.

    Of ``head``, where there is one, ``template`` is all; ``seen`` came last.
    """

    __slots__ = ("head", "seen", "template")

    def __init__(self, template: Environ) -> None:
        self.template = template
        self.head: RequestHead | None = None
        self.seen: RequestHead | None = None


def _describe(environ: Environ, exchange: Exchange) -> None:
    """Add what every request has of its own."""
    line, mount, length = exchange.request.line, exchange.mount, exchange.body_length
    path = line.path
    environ["REQUEST_METHOD"] = line.method
    environ["SERVER_PROTOCOL"] = line.version
    environ["REQUEST_URI"] = target = line.target
    environ["SCRIPT_NAME"] = mount
    environ["PATH_INFO"] = path[len(mount) :] if mount else path
    environ["QUERY_STRING"] = line.query
    environ["wsgi.input"] = exchange.body
    if exchange.user:
        environ["AUTH_TYPE"], environ["REMOTE_USER"] = "Basic", exchange.user.encode().decode("latin-1")
    if exchange.notes is not None:
        _tell(environ, exchange)
    if length:
        environ["CONTENT_LENGTH"] = str(length)
    elif length is None:
        environ.pop("CONTENT_LENGTH", None)
    if target[0] != "/":
        # RFC 9112, 3.2.2: the authority of an absolute-form target counts, not Host; "*" is no path.
        environ["HTTP_HOST"] = exchange.host
        if path == "*":
            environ["PATH_INFO"] = ""


def _tell(environ: Environ, exchange: Exchange) -> None:
    """Who asks, and for what, may differ from one request of a connection to the next."""
    peer, scheme = exchange.peer, exchange.scheme
    if peer is not None:
        environ["REMOTE_ADDR"], environ["REMOTE_PORT"] = peer.host, port_of(peer)
    environ["wsgi.url_scheme"] = scheme
    environ.pop("HTTPS", None)
    if scheme == "https":
        environ["HTTPS"] = "on"
    if exchange.host:
        environ["HTTP_HOST"] = exchange.host


class _Keys(dict[str, str]):
    """Header name to environment key, ``""`` for those not passed; remembers names, within bounds."""

    def __missing__(self, name: str) -> str:
        if name in ("content-type", "content-length"):
            key = name.upper().replace("-", "_")
        elif name in _NOT_PASSED or "_" in name:  # "_" and "-" become the same: one could pose as the other
            key = ""
        else:
            key = "HTTP_" + name.upper().replace("-", "_")
        if len(self) < 1024 and len(name) <= 64:
            self[name] = key
        return key


_KEYS = _Keys()


def _add_fields(environ: Environ, fields: Fields) -> None:
    """Add header fields of which some are not passed, or come twice."""
    for name, value in fields:
        key = _KEYS[name]
        if key not in environ:
            environ[key] = value
        elif key:
            environ[key] += ("; " if name == "cookie" else ",") + value
    environ.pop("", None)


class _Statuses(dict[str, tuple[int, str]]):
    """Status lines as number and reason; remembers them, within bounds."""

    def __missing__(self, status: Any) -> tuple[int, str]:
        match = _STATUS.fullmatch(status) if isinstance(status, str) else None
        if match is None:
            raise LocalProtocolError(f"start_response(): {status!r} is not a status such as '200 OK'")
        read = int(match[1]), match[2] or ""
        if len(self) < 256:
            self[status] = read
        return read


class _Passed(dict[str, bool]):
    """Whether a header of the application's is passed on, by its name; remembers them, within bounds."""

    def __missing__(self, name: str) -> bool:
        passed = name.lower() not in HOP_BY_HOP
        if len(self) < 1024:
            self[name] = passed
        return passed


_STATUSES = _Statuses()
_PASSED = _Passed()


class _Answer:
    """The application's side of one answer: ``start_response`` and ``write``."""

    __slots__ = ("_exchange", "_gateway", "_headers", "_reason", "_status", "begun")

    def __init__(self, exchange: Exchange, gateway: WSGI) -> None:
        self._exchange = exchange
        self._gateway = gateway
        self._status = 0
        self._reason = ""
        self._headers: list[tuple[str, str]] = []
        self.begun = False

    def start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: ExcInfo | None = None
    ) -> Callable[[bytes], None]:
        if exc_info is not None:
            try:
                if self.begun:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None  # a traceback holds frames, and they hold it
        elif self._status:
            raise LocalProtocolError("start_response() was called twice; a second call needs exc_info")
        given, passed = self._gateway.checked
        if headers != given:
            # Tuples, because a list that is changed later would still be equal to itself.
            given = [tuple(field) for field in headers]
            passed = [field for field in map(_checked, given) if _PASSED[field[0]]]
            encode_fields("\r\n", passed)  # raises now, while the application can still make it good
            self._gateway.checked = given, passed
        self._status, self._reason = _STATUSES[status]
        self._headers = passed
        return self.write

    def hint(self, headers: list[tuple[str, str]]) -> None:
        """``wsgi.early_hints``: a 103 (RFC 8297), to clients that know it. Raises ``LocalProtocolError``
        once the answer has begun."""
        self._exchange.inform(103, list(map(_checked, headers)))

    def write(self, data: bytes) -> None:
        """PEP 3333's imperative way to send; also without a byte, it lets the head go."""
        if not isinstance(data, bytes):
            raise _not_bytes(data)
        self._begin()
        self._exchange.write(data)

    def block(self, data: bytes) -> None:
        """One item of the application's iterable."""
        if not isinstance(data, bytes):
            raise _not_bytes(data)
        if data:
            self._begin()
            self._exchange.write(data)

    def whole(self, data: bytes) -> None:
        """The only item of a list: its length is known, so head and body leave together."""
        if not isinstance(data, bytes):
            raise _not_bytes(data)
        if not self._status:
            self._check()
        if not data:  # to HEAD, and where there is no content, this says nothing about a length
            self.end()
            return
        self.begun = True
        self._exchange.respond(self._status, self._headers, data, self._reason, hold=True)

    def file(self, wrapper: FileWrapper) -> bool:
        """Send what a ``FileWrapper`` holds without copying. ``False``: it is no regular file."""
        span = wrapper.span()
        if span is None:
            return False
        file, offset, count = span
        self._check()
        length = self._length()
        if length.isdigit():
            count = min(count, int(length))
        elif not length and self._status != 204:  # which never has one (RFC 9110, 8.6)
            self._headers = [*self._headers, ("Content-Length", str(count))]
        try:
            self._begin()
        except BaseException:
            file.close()
            raise
        self._exchange.send_file(file, offset, count)
        self._exchange.finish()
        return True

    def blocks(self, result: Iterable[bytes]) -> Iterable[bytes]:
        """What an application returned; of a ``FileWrapper`` only what ``Content-Length`` covers."""
        if isinstance(result, FileWrapper) and (length := self._length()).isdigit():
            return result.first(int(length))
        return result

    def _length(self) -> str:
        """The application's ``Content-Length``, or nothing."""
        return next((value for name, value in self._headers if name.lower() == "content-length"), "")

    def end(self) -> None:
        """The iterable is exhausted."""
        if self.begun:
            self._exchange.finish()
            return
        self._check()
        self.begun = True
        self._exchange.respond(self._status, self._headers, b"", self._reason)

    def _begin(self) -> None:
        self._check()
        if not self.begun:
            self.begun = True
            self._exchange.start(self._status, self._headers, self._reason)

    def _check(self) -> None:
        if not self._status:
            raise LocalProtocolError("the application sent a body before it called start_response()")


def _checked(field: tuple[Any, ...]) -> tuple[str, str]:
    name, value = field
    if not isinstance(name, str) or not isinstance(value, str):
        raise LocalProtocolError(f"start_response(): a header is two str, not {name!r} and {value!r}")
    return name, value


def _not_bytes(data: object) -> LocalProtocolError:
    return LocalProtocolError(f"the application must send bytes, not {type(data).__name__}")
