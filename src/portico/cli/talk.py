"""A conversation by hand: what the options make of the two ends, and how one goes."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from io import FileIO
from math import inf
from time import monotonic
from types import TracebackType
from typing import Any, Self

from portico.cli.talk_datagrams import DatagramPeer
from portico.cli.talk_ends import PATIENCE, Peer, Program, Standard
from portico.cli.talk_notes import Facts, Notes
from portico.cli.talk_options import Talk
from portico.cli.talk_program import kill_now, read_command, start_program
from portico.cli.talk_record import HexRecord, RawRecord, Record, crlf
from portico.cli.talk_relay import Relay, Rules
from portico.cli.talk_telnet import TelnetPeer, TerminalInput
from portico.cli.talk_terminal import Terminal
from portico.cli.telnet import Telnet
from portico.cli.telnet_options import BINARY, ECHO, NAWS, SUPPRESS_GO_AHEAD, TERMINAL_TYPE
from portico.errors import ConfigError, PorticoError
from portico.sockets.datagram import Datagrams
from portico.sockets.datagram_port import Datagram
from portico.sockets.standard import input_stream, output_stream
from portico.sockets.stream import Stream
from portico.web.cgi_process import Process

__all__ = ["OOB_INLINE", "Talker"]

OOB_INLINE: Mapping[Any, Any] = {("SOL_SOCKET", "SO_OOBINLINE"): 1}
"""A telnet server sends the DM of a synch as urgent data (RFC 854); out of line, its IAC would be alone."""

_FINISHING = 10.0
"""Seconds that a program gets to exit once both directions have ended."""

_WE = (TERMINAL_TYPE, SUPPRESS_GO_AHEAD, BINARY)
_THEY = (ECHO, SUPPRESS_GO_AHEAD, BINARY)


class Talker:
    """Holds conversations as the options say, one after the other or, with a program, several at once.

    ``server``: we were called, so we are asked to, and do not ask for, an echo. ``keep``: there may be more
    conversations after one. A context manager that gives stdin, stdout and the record's file back.
    """

    def __init__(self, asked: Talk, *, server: bool = False, keep: bool = False) -> None:
        self.command = read_command(asked.exec, asked.shell)
        self.notes = Notes(asked.verbose, asked.json)
        self._asked = asked
        self._server = server
        self.keep = keep
        self._ending = ExitStack()
        self._rules = Rules(
            half_close=asked.half_close and not asked.recv_only,
            send=not asked.recv_only,
            quit_after=0.0 if asked.send_only and asked.quit_after is None else asked.quit_after,
            idle=asked.idle,
        )
        self._programs: set[Process] = set()
        self._source: Stream | None = None
        self._sink: Stream | None = None
        self._standard: Standard | None = None
        self.record: Record | None = None

    def __enter__(self) -> Self:
        try:
            self._open()
        except BaseException:
            self._ending.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.close()
        for process in tuple(self._programs):  # of tasks that will not come to do it
            kill_now(process)

    def _open(self) -> None:
        if self._asked.output is not None:
            self.record = self._recording(self._open_file(self._asked.output))
        if self.command is None and not self._asked.recv_only and sys.stdin is not None:
            self._source = self._ending.enter_context(input_stream())
        wanted = self._asked.hex if self.command is not None else not self._asked.send_only or self._asked.hex
        if wanted and sys.stdout is not None:
            self._sink = self._ending.enter_context(output_stream())
        if self._asked.hex and self.record is None:
            self.record = self._recording(Standard(None, self._sink).write)
            self._sink = None  # the dump takes its place
        if self.command is None:
            self._standard = Standard(self._source, self._sink, patience=self._patience, keep=self.keep)

    def _recording(self, write: Callable[[bytes], object]) -> Record:
        return HexRecord(write) if self._asked.hex else RawRecord(write)

    def _open_file(self, path: str) -> Callable[[bytes], None]:
        try:
            # Unbuffered: what flowed is in the file, whatever ends us.
            file = open(path, "ab" if self._asked.append else "wb", 0)  # noqa: SIM115  (the exit stack has it)
        except OSError as error:
            raise ConfigError(f"--output {path}: {error.strerror}") from error
        self._ending.enter_context(file)
        return partial(_write_out, file, path)

    @property
    def standard(self) -> Standard:
        """stdin and stdout as an end. Only without a program."""
        assert self._standard is not None
        return self._standard

    @property
    def _patience(self) -> float:
        if self._asked.send_only:
            return inf
        return 0.0 if self._typed else PATIENCE

    @property
    def _typed(self) -> bool:
        return self._source is not None and sys.stdin.isatty()

    def converse(self, stream: Stream) -> int:
        """One conversation, to its end; the exit code: the program's, where there is one.

        The stream is the caller's to close. Raises what ended it early.
        """
        facts = Facts.of(stream)
        if self.command is not None or self._server or not (self._asked.telnet and self._typed):
            return self.exchange(self._peer(stream), facts)
        self.notes.connected(facts)
        with self._at_terminal(stream) as relay:
            self._run(relay)
        return 0

    def exchange(self, far: Peer | DatagramPeer, facts: Facts) -> int:
        """As ``converse``, with a peer that is an end already."""
        self.notes.connected(facts)
        if self.command is None:
            self._run(Relay(self.standard, far, self._rules))
            return 0
        process = start_program(self.command, facts)
        self._programs.add(process)
        try:
            with process:
                self._run(Relay(Program(process), far, self._rules))
                return _exit_status(process)
        finally:
            self._programs.discard(process)

    def _run(self, relay: Relay) -> None:
        begun = monotonic()
        try:
            relay.run()
        finally:
            self.notes.closed(relay.sent, relay.received, begun)

    def _peer(self, stream: Stream) -> Peer:
        if self._asked.telnet:
            telnet = Telnet(_WE, () if self._server else _THEY, terminal=_terminal_name())
            return TelnetPeer(stream, telnet, self.record, typed=self._typed)
        return Peer(stream, self.record, crlf() if self._asked.crlf else None)

    def datagram_peer(
        self,
        socket: Datagrams,
        first: Datagram | None = None,
        welcome: Callable[[Datagram], bool] | None = None,
    ) -> DatagramPeer:
        """The peer of a datagram socket, or whoever sent ``first``; later ones are heard if ``welcome``."""
        convert = crlf() if self._asked.crlf else None
        others = welcome if self.keep else None
        return DatagramPeer(socket, first, others=others, record=self.record, convert=convert)

    @contextmanager
    def _at_terminal(self, stream: Stream) -> Iterator[Relay]:
        """A telnet client on a terminal: raw while the server echoes, and the server knows its size."""
        assert self._source is not None
        telnet = Telnet((*_WE, NAWS), _THEY, terminal=_terminal_name())
        resized: list[Callable[[], None]] = []
        with Terminal(sys.stdin.fileno(), lambda: [call() for call in resized]) as terminal:
            peer = TelnetPeer(stream, telnet, self.record, changed=terminal.set_raw, typed=True)
            telnet.resize(*terminal.size)
            near = TerminalInput(self._source, self._sink, terminal, lambda: relay.inbox.post(lambda: True))
            relay = Relay(near, peer, self._rules)
            resized.append(lambda: relay.inbox.post(lambda: peer.resize(*terminal.size)))
            self.notes.always("escape", "Ctrl-] ends the connection while the server echoes")
            yield relay


def _exit_status(process: Process) -> int:
    process.wait(_FINISHING)
    if not process.exited:
        process.kill()
    status = process.reap()
    return status if status >= 0 else 128 - status


def _terminal_name() -> str:
    return os.environ.get("TERM") or "dumb"


def _write_out(file: FileIO, path: str, data: bytes) -> None:
    rest = memoryview(data)
    try:
        while rest:
            rest = rest[file.write(rest) :]
    except OSError as error:
        raise PorticoError(f"cannot write to {path}: {error.strerror}") from error
