"""CGI programs behind the HTTP server (RFC 3875): any executable, in any language.

``CGI("scripts")`` serves a folder of programs, ``CGI("/usr/lib/git-core/git-http-backend")`` one program
that gets every path below its mount. Programs run with an environment built from nothing, in a session
of their own, with bounds on time, output and number; what they write to their standard error goes to the
logger ``portico.cgi``.

Not done, on purpose: the search words of RFC 3875, 4.4, which make a query without ``=`` the program's
arguments. Interpreters take arguments for options; ``?-s`` gave away PHP sources (CVE-2012-1823).
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from os import PathLike
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import BinaryIO, cast

from portico.errors import ConfigError, ProtocolError
from portico.http.exchange import CutAnswer, Exchange
from portico.http.messages import RequestHead
from portico.http.redispatch import redispatch
from portico.limits import Limits
from portico.web.cgi_environ import PASSED, base_environ, content_length, request_environ
from portico.web.cgi_lookup import NotServed, Script, find_script, is_runnable
from portico.web.cgi_output import HeadReader, ProgramError
from portico.web.cgi_places import NoPlace, Places
from portico.web.cgi_process import ErrorLog, Process, start
from portico.web.cgi_pump import CHUNK, Feeder, Relay

__all__ = ["CGI"]

log = logging.getLogger("portico.cgi")
log.addHandler(logging.NullHandler())

_REDIRECTS = 10
_BUSY = (errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOMEM)
_depth: ContextVar[int] = ContextVar("portico_cgi_redirects", default=0)


class CGI:
    """A gateway to the program ``target``, or to the programs in the folder ``target``.

    ``environ``: variables that every program gets; they win over all others. ``pass_environ``: names
    passed on from this process. ``seconds`` and ``output`` (bytes) bound a run; by default they are the
    server's ``cgi_seconds`` and ``cgi_output``. ``concurrent``: programs that run at once, of each server
    process; so many requests as ``limits.cgi_queue`` wait for their turn, others get 503.
    ``interpreters``: command by suffix, ``{".py": sys.executable}``, for files that need not be executable.
    ``documents``: the folder onto which ``PATH_TRANSLATED`` maps (default: the programs'). ``credentials``:
    let programs see ``Authorization``.

    Raises ``ConfigError`` for a target that is missing or cannot be run, and for impossible settings.
    """

    stream_above = Limits().body_memory
    """A body with a Content-Length above this many bytes reaches the program while it arrives."""

    def __init__(
        self,
        target: str | PathLike[str],
        *,
        environ: Mapping[str, str] | None = None,
        pass_environ: Sequence[str] = PASSED,
        seconds: float | None = None,
        output: int | None = None,
        concurrent: int = 32,
        interpreters: Mapping[str, str | Sequence[str]] | None = None,
        documents: str | PathLike[str] | None = None,
        credentials: bool = False,
    ) -> None:
        self.target = Path(target).absolute()
        self.name = f"cgi:{target}"
        self._environ = base_environ(environ or {}, pass_environ)
        self._seconds = seconds
        self._output = output
        self._interpreters = {
            suffix: [command] if isinstance(command, str) else list(command)
            for suffix, command in (interpreters or {}).items()
        }
        folder = self.target if self.target.is_dir() else self.target.parent
        self._documents = folder if documents is None else Path(documents).absolute()
        self._credentials = credentials
        self._check(concurrent)
        self._places = Places(concurrent)

    def streams(self, request: RequestHead) -> bool:
        """Whether the body is passed on as it arrives. A chunked one is not: it has to be complete
        before its length can be told, as RFC 3875, 4.1.2 demands."""
        length = request.get("content-length")
        if length is None or request.get("transfer-encoding") is not None:
            return False
        return length.isdecimal() and int(length) > self.stream_above

    def __call__(self, exchange: Exchange) -> None:
        """Answer one request."""
        try:
            script = find_script(self.target, exchange.raw_path_info, self._interpreters)
        except NotServed as refusal:
            log.info("%s: %s: %s", self.name, exchange.raw_path, refusal)
            exchange.respond_error(refusal.status)
            return
        path = self._answer(exchange, script)
        if path is not None:
            self._redirect(exchange, script, path)

    def __repr__(self) -> str:
        return f"<CGI {self.target}, {self._places!r}>"

    def _check(self, concurrent: int) -> None:
        if not self.target.exists():
            raise ConfigError(f"cgi: there is no {self.target}")
        if not self.target.is_dir() and not is_runnable(self.target, self._interpreters):
            raise ConfigError(f"cgi: {self.target} is not executable; chmod +x it, or name its interpreter")
        for name, value in (("seconds", self._seconds), ("output", self._output), ("concurrent", concurrent)):
            if value is not None and not value > 0:
                raise ConfigError(f"cgi: {name}={value!r}: expected a number above zero")

    def _answer(self, exchange: Exchange, script: Script) -> str | None:
        """Answer by the program; the path instead, when it asks for a local redirect."""
        with _body(exchange) as (body, size, first):
            try:
                environ = self._environ_of(exchange, script, size)
            except ProtocolError as error:
                exchange.respond_error(error.status, str(error))
                return None
            try:
                with self._places.take(exchange.limits):
                    return self._run(exchange, script, environ, (body, size, first))
            except NoPlace as error:
                log.warning("%s: %s; %s refused", self.name, str(error), script.file.name)
                exchange.respond_error(503, "too many programs are running", [("Retry-After", "2")])
                return None

    def _run(
        self,
        exchange: Exchange,
        script: Script,
        environ: dict[bytes, bytes],
        given: tuple[BinaryIO, int, bytes],
    ) -> str | None:
        body, size, first = given
        command = [*self._interpreters.get(script.file.suffix, ()), str(script.file)]
        try:
            process = start(command, environ, script.file.parent, feed=size > 0)
        except OSError as error:
            log.error("%s cannot be started: %s", script.file, _reason(error))
            exchange.respond_error(503 if error.errno in _BUSY else 500)
            return None
        with process:
            feeder = Feeder(body, size, process)
            feeder.start(first)
            return self._relay(exchange, script, process, feeder)

    def _environ_of(self, exchange: Exchange, script: Script, size: int) -> dict[bytes, bytes]:
        named = request_environ(
            exchange,
            script,
            documents=self._documents,
            credentials=self._credentials,
            length=content_length(exchange, size),
        )
        return named | self._environ

    def _relay(self, exchange: Exchange, script: Script, process: Process, feeder: Feeder) -> str | None:
        limits = exchange.limits
        relay = Relay(
            exchange,
            process,
            feeder,
            ErrorLog(str(script.file)),
            HeadReader(limits.cgi_header_bytes, nph=script.nph),
            seconds=self._seconds or limits.cgi_seconds,
            output=self._output or limits.cgi_output,
        )
        try:
            return relay.run()
        except ProgramError as error:
            log.error("%s: %s", script.file, error)
            if relay.answered:
                return None
            if exchange.started:
                raise CutAnswer(f"{script.file}: {error}") from error
            exchange.respond_error(error.status)
            return None

    def _redirect(self, exchange: Exchange, script: Script, path: str) -> None:
        depth = _depth.get()
        if depth >= _REDIRECTS:
            log.error("%s: more than %d local redirects, the last to %s", script.file, _REDIRECTS, path)
            exchange.respond_error(500)
            return
        token = _depth.set(depth + 1)
        try:
            redispatch(exchange, path)
        finally:
            _depth.reset(token)


@contextmanager
def _body(exchange: Exchange) -> Iterator[tuple[BinaryIO, int, bytes]]:
    """The body, its size, and its first bytes, which have been read already."""
    size = exchange.body_length
    if size is None:
        # Still arriving in chunks (the request asked for 100 Continue): its length is known at its end.
        with SpooledTemporaryFile(exchange.limits.body_memory) as whole:
            while data := exchange.body.read(CHUNK):
                whole.write(data)
            size = whole.tell()
            whole.seek(0)
            yield cast(BinaryIO, whole), size, b""
    else:
        # Read here, for a client may have to be asked for its body, and that before the answer begins.
        yield exchange.body, size, exchange.body.read(min(size, CHUNK))


def _reason(error: OSError) -> str:
    if error.errno == errno.ENOEXEC:
        return "it is neither a binary for this machine nor does it begin with #! and an interpreter"
    if error.errno == errno.ENOENT:
        return "its interpreter does not exist"
    return error.strerror or str(error)
