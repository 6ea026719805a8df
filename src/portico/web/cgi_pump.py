"""Both directions of a CGI exchange at once: the body to the program, its output to the client.

Neither direction can block the other: the body is fed by a task of its own, the output (and the error
output) is read by the caller. Memory is bounded by one chunk for each, whatever the sizes.
"""

from __future__ import annotations

import logging
import signal
from time import monotonic
from typing import BinaryIO

from portico.deadline import check, timeout
from portico.engines import door
from portico.errors import Cancelled, ConnectionLost, StreamClosed, Timeout
from portico.http.exchange import Exchange
from portico.sockets.stream import Stream, wait_any
from portico.web.cgi_output import Chunks, Head, HeadReader, ProgramError
from portico.web.cgi_process import ErrorLog, Process

__all__ = ["CHUNK", "Feeder", "Relay"]

log = logging.getLogger("portico.cgi")

CHUNK = 65536
HOLD = 2.0
"""Seconds without output after which a program that has ended is over, though what it started still
holds its output open."""
_SLICE = 1.0  # so often is looked whether the program is being waited for, or the client, and who is there
GONE = 2.0
"""Seconds of silence that a program is given when its client has ended its side of the connection: most
clients have left then. Those that have only no more to say get what comes within so long.
"""
_SETTLE = 0.5  # between the end of the output and the end of the program
_TASK_END = 5.0
_BODILESS = (204, 304)


class Feeder:
    """Hands the request's body to a program, beside whoever reads its output.

    ``waiting`` tells that the client is being waited for; ``error`` is what ended the body early. A
    program that does not want (all of) the body may close its input: that is no error.
    """

    def __init__(self, body: BinaryIO, size: int, process: Process) -> None:
        # As the bytes arrive, where the file can: read() would wait for a whole chunk of them.
        self._read = getattr(body, "read1", body.read)
        self._left = size
        self._process = process
        self._task: door.Task[None] | None = None
        self.waiting = False
        self.error: Exception | None = None

    def start(self, first: bytes = b"") -> None:
        """Begin with ``first``, which was read already; a task goes on where that is not all."""
        target = self._process.input
        if target is None:
            return
        self._left -= len(first)
        try:
            first = first[target.try_write(first) :]
        except ConnectionLost:  # the program is faster than we are, and has no use for it
            self._left, first = 0, b""
        if first or self._left:
            self._task = door.spawn(self._run, target, first, name="cgi body")
        else:
            target.close()

    def stop(self) -> None:
        """Stop feeding, wherever it is. Safe to call twice."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with timeout(_TASK_END, shield=True):
                task.join()

    def raise_error(self) -> None:
        """Raise what ended the body early, if something did."""
        error, self.error = self.error, None
        if error is not None:
            try:
                raise error
            finally:
                del error  # else it and this frame would keep each other alive, and descriptors with them

    def _run(self, target: Stream, first: bytes) -> None:
        try:
            target.write(first)
            while data := self._next():
                target.write(data)
        except (ConnectionLost, StreamClosed, Timeout, Cancelled):
            pass  # the program closed its input, or it is over; _next() keeps the client's errors apart
        finally:
            target.close()

    def _next(self) -> bytes:
        self.waiting = True
        try:
            data: bytes = self._read(min(self._left, CHUNK)) if self._left else b""
        except Exception as error:  # noqa: BLE001  (raised again by whoever reads the output)
            self.error = error
            self._process.output.close()  # wakes them
            return b""
        finally:
            self.waiting = False
        self._left -= len(data)
        return data


class Relay:
    """One program's answer on its way to the client.

    ``seconds``: how long the program may be waited for; time in which a slow client is waited for does
    not count, the server has limits for it. ``output``: how many bytes it may write. ``run`` returns the
    path of a local redirect where the program asks for one, else ``None`` after a finished answer. Raises
    ``ProgramError``; whatever the client does wrong goes through.
    """

    def __init__(
        self,
        exchange: Exchange,
        process: Process,
        feeder: Feeder,
        errors: ErrorLog,
        reader: HeadReader,
        *,
        seconds: float,
        output: int,
    ) -> None:
        self._exchange = exchange
        self._process = process
        self._feeder = feeder
        self._errors = errors
        self._reader = reader
        self._seconds = self._seconds_left = seconds
        self._output = self._output_left = output
        self._head: Head | None = None
        self._body_left: int | None = None
        self._chunks: Chunks | None = None
        self._dropping = False
        self._look_at = self._sent_at = monotonic()
        self._client_ended_at: float | None = None
        self._output_ended = self._errors_ended = self._ended = False
        self.answered = False
        """Whether the client has its whole answer."""

    def run(self) -> str | None:
        try:
            self._read_output()
            path = self._conclude()
            self._await_end()
            return path
        except StreamClosed:
            self._feeder.raise_error()
            raise
        finally:
            self._feeder.stop()
            self._read_last_errors()

    # -- reading

    def _read_output(self) -> None:
        ended_at: float | None = None
        while not self._output_ended:
            ready = self._wait()
            if self._process.output in ready:
                self._take_output()
                ended_at = None
            elif self._process.exited:
                self._ended = True
                ended_at = ended_at or monotonic()
                if monotonic() - ended_at >= HOLD:
                    self._cut_loose()

    def _wait(self) -> list[Stream]:
        """Wait until something can be read; errors are taken here. Raises ``ProgramError`` (504)."""
        began = monotonic()
        ready: list[Stream] = []
        try:
            with timeout(min(max(self._seconds_left, 0.01), _SLICE)):
                ready, _ = wait_any(self._watched(), doing="waiting for a CGI program")
        except Timeout:
            check("waiting for a CGI program")  # a deadline of our caller goes on up
        if not self._feeder.waiting:
            self._seconds_left -= monotonic() - began
        if self._seconds_left <= 0:
            raise ProgramError(f"it took longer than {self._seconds:g} s", 504)
        if self._process.errors in ready:
            self._take_errors()
        if not self.answered and (self._dropping or self._process.output not in ready):
            self._look_after_client()
        return ready

    def _look_after_client(self) -> None:
        """Raise ``ConnectionLost`` for a client that has left, which a write would tell if there were one."""
        now = monotonic()
        if now < self._look_at:
            return
        self._look_at = now + _SLICE / 2
        if not self._exchange.client_ended:
            return
        self._client_ended_at = self._client_ended_at or now
        if now - max(self._client_ended_at, self._sent_at) >= GONE:
            self._exchange.give_up("left while its program was running")

    def _watched(self) -> list[Stream]:
        watched = [] if self._output_ended else [self._process.output]
        if not self._errors_ended:
            watched.append(self._process.errors)
        if self._process.exit is not None and not self._ended:
            watched.append(self._process.exit)
        return watched

    def _take_errors(self) -> bool:
        data = self._process.errors.try_read(CHUNK)
        if data:
            self._errors.feed(data)
        self._errors_ended = self._errors_ended or data == b""
        return bool(data)

    def _read_last_errors(self) -> None:
        """What is there by now; bounded, as something left behind may go on writing."""
        with timeout(None, shield=True):
            for _ in range(16):
                if self._errors_ended or not self._take_errors():
                    break
        self._errors.end()

    def _cut_loose(self) -> None:
        log.warning("%s: it ended, and what it started held its output open: killed", self._errors.name)
        self._process.kill()
        self._output_ended = True

    # -- answering

    def _take_output(self) -> None:
        data = self._process.output.try_read(CHUNK)
        if not data:
            self._output_ended = data == b""
            return
        self._output_left -= len(data)
        if self._output_left < 0:
            raise ProgramError(f"it wrote more than {self._output} bytes")
        if self._head is None:
            self._head = self._reader.feed(data)
            if self._head is None:
                return
            self._start(self._head)
            data = self._reader.rest
        # Also without a byte of the body: it lets the head go, which a slow program's client waits for.
        self._send(data)

    def _start(self, head: Head) -> None:
        redirected = head.redispatch is not None
        if not redirected:
            self._exchange.start(head.status, head.headers, head.reason)
        self._dropping = redirected or self._exchange.method == "HEAD" or head.status in _BODILESS
        self._body_left = None if self._dropping else head.length
        self._chunks = Chunks(self._exchange.limits) if head.chunked and not self._dropping else None
        if self._dropping and not redirected:
            self._exchange.write(b"")  # lets the head go: it is all that comes

    def _send(self, data: bytes) -> None:
        if self._dropping:
            return
        if self._chunks is not None:
            data = self._chunks.feed(data)
        if self._body_left is not None:
            if len(data) > self._body_left:
                log.warning("%s: it wrote more than its Content-Length: cut", self._errors.name)
                data, self._dropping = data[: self._body_left], True
            self._body_left -= len(data)
        self._exchange.write(data)
        self._sent_at = monotonic()

    def _conclude(self) -> str | None:
        """The output is over: finish the answer, if it is whole."""
        over = self._process.wait(min(_SETTLE, self._seconds_left))
        status = self._process.reap() if over else 0
        if self._head is None:
            raise ProgramError(f"{self._reader.ended()}{_how(status)}")
        if self._body_left:
            raise ProgramError(f"{self._body_left} bytes of its Content-Length are missing{_how(status)}")
        if self._chunks is not None:
            if not self._chunks.ended:
                raise ProgramError(f"its last chunk is missing{_how(status)}")
        elif status < 0 and self._head.length is None:
            # The answer may lack its end: let the client see that, rather than a whole one.
            raise ProgramError(f"its answer was cut short{_how(status)}")
        if over:
            self._feeder.stop()
        if self._head.redispatch is not None:
            return self._head.redispatch
        self._exchange.finish()
        self.answered = True
        if status:
            log.info("%s: it ended after a whole answer%s", self._errors.name, _how(status))
        return None

    def _await_end(self) -> None:
        """A program may go on after closing its output, within its time."""
        while not self._process.exited:
            self._wait()


def _how(status: int) -> str:
    """How a program ended, to be said after what is wrong."""
    if status < 0:
        return f" (ended by signal {-status}: {signal.strsignal(-status)})"
    return f" (exit status {status})" if status else ""
