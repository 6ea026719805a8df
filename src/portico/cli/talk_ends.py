"""The ends that talk: the peer of a stream, standard input and output, a program."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from portico.cli.talk_record import RECEIVED, SENT, Record
from portico.cli.talk_relay import CHUNK
from portico.errors import Cancelled, ConnectionLost
from portico.sockets.stream import Stream
from portico.sync import Task, spawn
from portico.web.cgi_process import Process

__all__ = ["PATIENCE", "Peer", "Program", "Standard"]

PATIENCE = 0.5
"""Seconds that stdin may be silent once the peer has ended: socat's ``-t``. What a pipe still holds gets out,
and a pipe that nobody writes to does not keep us."""

Convert = Callable[[bytes], bytes]


class Peer:
    """The far end: a stream, what is made of what we send, and a record of what flows."""

    patience = inf

    def __init__(self, stream: Stream, record: Record | None = None, convert: Convert | None = None) -> None:
        self.stream = stream
        self._record = record
        self._convert = convert

    def read(self) -> bytes:
        """What comes; ``b""`` when the peer has ended."""
        data = self.stream.read(CHUNK)
        if data and self._record is not None:
            self._record.note(RECEIVED, data)
        return data

    def write(self, data: bytes) -> None:
        """Send it all."""
        if self._convert is not None:
            data = self._convert(data)
        self.put(data)

    def put(self, data: bytes) -> None:
        """Send it as it is."""
        self.stream.write(data)
        if self._record is not None:
            self._record.note(SENT, data)

    def finish(self) -> None:
        """Half-close: the peer sees the end, and may go on."""
        self.stream.shutdown_write()


class Standard:
    """stdin and stdout; either may be missing: nothing comes, or what comes is dropped.

    ``patience``: none where somebody sits at a terminal, who has nothing to say to a peer that has ended.
    ``keep``: there will be another conversation, so ``finish`` leaves stdout open.
    """

    def __init__(
        self, source: Stream | None, sink: Stream | None, *, patience: float = PATIENCE, keep: bool = False
    ) -> None:
        self.patience = patience
        self._source, self._sink, self._keep = source, sink, keep

    def read(self) -> bytes:
        """What was typed or piped; ``b""`` at its end."""
        return b"" if self._source is None else self._source.read(CHUNK)

    def write(self, data: bytes) -> None:
        """Show it. Raises ``BrokenPipeError`` when the reader of stdout has gone."""
        if self._sink is None:
            return
        try:
            self._sink.write(data)
        except ConnectionLost as error:
            raise BrokenPipeError(str(error)) from None  # ends the command as it ends any filter

    def finish(self) -> None:
        """The peer has ended: so does stdout."""
        if self._sink is not None and not self._keep:
            self._sink.close()
            self._sink = None

    def watch(self, gone: Callable[[], None]) -> None:
        """stdin and stdout do not go away."""

    def stop(self) -> None:
        """Nothing was begun."""

    def close(self) -> None:
        """Give both back."""
        for stream in (self._source, self._sink):
            if stream is not None:
                stream.close()


class Program:
    """A program that was started, by its standard input and output. Whoever started it ends it."""

    patience = inf

    def __init__(self, process: Process) -> None:
        self.process = process
        self._watching: Task[None] | None = None

    def read(self) -> bytes:
        """Its output."""
        return self.process.output.read(CHUNK)

    def write(self, data: bytes) -> None:
        """Its input. One that reads no further is not at fault: the rest is dropped."""
        assert self.process.input is not None
        if self.process.input.closed:
            return
        try:
            self.process.input.write(data)
        except ConnectionLost:
            self.finish()

    def finish(self) -> None:
        """The end of its input."""
        assert self.process.input is not None
        self.process.input.close()

    def watch(self, gone: Callable[[], None]) -> None:
        """Call ``gone`` when the program exits."""
        self._watching = spawn(self._await_exit, gone, name="watching a program")

    def stop(self) -> None:
        """Watch no longer."""
        watching, self._watching = self._watching, None
        if watching is not None:
            watching.cancel()
            try:
                watching.join()
            except Cancelled:
                pass  # as it was told

    def _await_exit(self, gone: Callable[[], None]) -> None:
        while not self.process.wait(3600):
            pass
        gone()
