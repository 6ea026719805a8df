"""A peer that speaks telnet, and the terminal in front of it."""

from __future__ import annotations

from collections.abc import Callable

from portico.cli.talk_ends import Peer, Standard
from portico.cli.talk_record import Record
from portico.cli.talk_terminal import Terminal
from portico.cli.telnet import Telnet
from portico.sockets.stream import Stream
from portico.sync import Lock

__all__ = ["ESCAPE", "TelnetPeer", "TerminalInput"]

ESCAPE = b"\x1d"
"""``Ctrl-]``: the way out where every other key belongs to the peer; telnet's own."""


class TelnetPeer(Peer):
    """Text goes in and out, negotiations are answered on the way.

    ``changed`` is called when the peer begins or ceases to echo. ``typed``: each write is a key stroke, so
    that nothing is held back.
    """

    def __init__(
        self,
        stream: Stream,
        telnet: Telnet,
        record: Record | None = None,
        *,
        changed: Callable[[bool], None] | None = None,
        typed: bool = False,
    ) -> None:
        super().__init__(stream, record)
        self._telnet = telnet
        self._changed = changed
        self._typed = typed
        self._echoing = False
        self._turn = Lock()  # text and answers come from different tasks

    def read(self) -> bytes:
        """The next text; ``b""`` when the peer has ended."""
        while data := super().read():
            text = self._telnet.receive(data)
            self.answer()
            if self._telnet.echoing != self._echoing and self._changed is not None:
                self._echoing = self._telnet.echoing
                self._changed(self._echoing)
            if text:
                return text
        return b""

    def write(self, data: bytes) -> None:
        """Send text."""
        with self._turn:
            coded = self._telnet.send(data, hold=not self._typed)
            if coded:
                self.put(coded)

    def answer(self) -> None:
        """Send what the negotiation has to say."""
        with self._turn:
            if output := self._telnet.output():
                self.put(output)

    def resize(self, columns: int, rows: int) -> None:
        """Tell the peer the window's size, if it wants to know."""
        self._telnet.resize(columns, rows)
        self.answer()

    def finish(self) -> None:
        with self._turn:
            if rest := self._telnet.end():
                self.put(rest)
        super().finish()


class TerminalInput(Standard):
    """A terminal's keys; ``escape`` is called when the way out is taken while the terminal is raw."""

    def __init__(
        self, source: Stream, sink: Stream | None, terminal: Terminal, escape: Callable[[], None]
    ) -> None:
        super().__init__(source, sink, patience=0.0)
        self._terminal = terminal
        self._escape = escape

    def read(self) -> bytes:
        """What was typed."""
        data = super().read()
        if self._terminal.raw and ESCAPE in data:
            data = data[: data.index(ESCAPE)]
            self._escape()
        return data
