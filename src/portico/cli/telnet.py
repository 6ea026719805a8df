r"""The telnet protocol without I/O: bytes from the peer to text, text to bytes, answers on the side.

::

    IAC (255) command                    such as NOP, GA: taken out, no answer
    IAC WILL|WONT|DO|DONT option         negotiation: ``telnet_options``
    IAC SB option … IAC SE               subnegotiation, 255 in it doubled
    IAC IAC                              the byte 255
    CR LF, CR NUL                        a new line, a bare CR (RFC 854); as they are in BINARY (RFC 856)

A new line is ``\n`` or ``\r\n`` on our side and ``\r\n`` on the wire; what arrives keeps its ``\r\n``, since
a terminal wants it so.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection

from portico.cli.telnet_options import BINARY, ECHO, NAWS, TERMINAL_TYPE, Side
from portico.errors import LimitExceeded, ProtocolError
from portico.limits import Limits

__all__ = ["Telnet"]

IAC, DONT, DO, WONT, WILL, SB, SE = b"\xff", 254, 253, 252, 251, 250, 240
_IAC = 255
_TERMINAL_IS, _TERMINAL_SEND = b"\0", b"\1"
_LONGEST_NAME = 40
"""RFC 1091 leans on the names of RFC 1700, which have forty characters at most."""


class Telnet:
    """One end of a telnet connection.

    ``we``: options that we take on when asked; ``they``: those the peer may. ``terminal``: the name for
    RFC 1091. ``limits`` bounds a subnegotiation (``telnet_subnegotiation``, bytes) and the negotiations of
    the whole connection (``telnet_negotiations``).

    ``receive`` raises ``ProtocolError`` and ``LimitExceeded``; after one, the connection is of no use.
    """

    def __init__(
        self,
        we: Collection[int],
        they: Collection[int],
        *,
        terminal: str = "dumb",
        limits: Limits | None = None,
    ) -> None:
        self.we = Side(we)
        self.they = Side(they)
        self.size: tuple[int, int] | None = None
        self._terminal = _name(terminal)
        self._limits = limits or Limits()
        self._negotiations = 0
        self._part = b""  # of a command whose rest has not come yet
        self._after_cr = False
        self._held_cr = False
        self._output: deque[bytes] = deque()

    @property
    def echoing(self) -> bool:
        """Whether the peer shows what we send, so that a terminal should not."""
        return self.they.on(ECHO)

    def receive(self, data: bytes) -> bytes:
        """What came from the peer: the text in it. Fetch ``output()`` afterwards."""
        data, self._part = self._part + data, b""
        text: list[bytes] = []
        at = 0
        while (found := data.find(IAC, at)) >= 0:
            text.append(self._text(data[at:found]))
            size = self._command(data, found, text)
            if not size:
                self._part = data[found:]
                return b"".join(text)
            at = found + size
        text.append(self._text(data[at:]))
        return b"".join(text)

    def send(self, text: bytes, *, hold: bool = False) -> bytes:
        r"""Text as the peer should get it.

        ``hold``: more will follow, so a ``\r`` at the end waits for what may be its ``\n``.
        """
        if self.we.on(BINARY):
            return self.end() + text.replace(IAC, IAC + IAC)
        if self._held_cr:
            text = b"\r" + text
        self._held_cr = hold and text.endswith(b"\r")
        if self._held_cr:
            text = text[:-1]
        lines = text.replace(b"\r\n", b"\n").replace(b"\r", b"\r\0").replace(b"\n", b"\r\n")
        return lines.replace(IAC, IAC + IAC)

    def end(self) -> bytes:
        """No more text will follow: what ``send`` held back."""
        held, self._held_cr = self._held_cr, False
        return b"\r\0" if held else b""

    def output(self) -> bytes:
        """The answers that are to be sent, once."""
        parts = []
        while self._output:  # another thread may add to it meanwhile
            parts.append(self._output.popleft())
        return b"".join(parts)

    def resize(self, columns: int, rows: int) -> None:
        """The window's size, told now and whenever the peer wants to know it (RFC 1073)."""
        changed, self.size = self.size != (columns, rows), (columns, rows)
        if changed and self.we.on(NAWS):
            self._tell_size()

    # -- receiving

    def _text(self, data: bytes) -> bytes:
        if not data:
            return data
        if self.they.on(BINARY):
            self._after_cr = False
            return data
        if self._after_cr and data.startswith(b"\0"):
            data = data[1:]
            self._after_cr = False
        if data:
            self._after_cr = data.endswith(b"\r")
        return data.replace(b"\r\0", b"\r")

    def _command(self, data: bytes, at: int, text: list[bytes]) -> int:
        """Deal with the command that begins at ``at``: its length; 0: the rest has not come."""
        if len(data) < at + 2:
            return 0
        command = data[at + 1]
        if command == _IAC:
            self._after_cr = False
            text.append(IAC)
            return 2
        if command == SB:
            return self._subnegotiation(data, at)
        if command not in _SAID:
            return 2
        if len(data) < at + 3:
            return 0
        self._negotiate(command, data[at + 2])
        return 3

    def _negotiate(self, command: int, option: int) -> None:
        self._count()
        ours, on = _SAID[command]
        side = self.we if ours else self.they
        before = side.on(option)
        answer = side.received(option, on)
        if answer is not None:
            self._output.append(bytes((_IAC, _ANSWERS[ours, answer], option)))
        if ours and option == NAWS and side.on(option) and not before:
            self._tell_size()

    def _count(self) -> None:
        self._negotiations += 1
        if self._negotiations > self._limits.telnet_negotiations:
            raise LimitExceeded(
                f"more than {self._limits.telnet_negotiations} telnet negotiations on one connection",
                "telnet_negotiations",
            )

    def _subnegotiation(self, data: bytes, at: int) -> int:
        start = look = at + 2
        while True:
            found = data.find(IAC, look)
            if (len(data) if found < 0 else found) - start > self._limits.telnet_subnegotiation:
                raise LimitExceeded(
                    f"a telnet subnegotiation of more than {self._limits.telnet_subnegotiation} bytes",
                    "telnet_subnegotiation",
                )
            if found < 0 or found + 1 == len(data):
                return 0
            if data[found + 1] == SE:
                self._told(data[start:found].replace(IAC + IAC, IAC))
                return found + 2 - at
            if data[found + 1] != _IAC:
                raise ProtocolError(f"a telnet subnegotiation with the command {data[found + 1]} inside")
            look = found + 2

    def _told(self, content: bytes) -> None:
        self._count()
        teller = _TELLERS.get(content)
        if teller is not None and self.we.on(content[0]):
            teller(self)

    # -- telling

    def _tell_terminal(self) -> None:
        self._tell(TERMINAL_TYPE, _TERMINAL_IS + self._terminal)

    def _tell_size(self) -> None:
        if self.size is not None:
            sides = (min(max(side, 0), 65535) for side in self.size)
            self._tell(NAWS, b"".join(side.to_bytes(2, "big") for side in sides))

    def _tell(self, option: int, content: bytes) -> None:
        self._output.append(bytes((_IAC, SB, option)) + content.replace(IAC, IAC + IAC) + bytes((_IAC, SE)))


_SAID = {WILL: (False, True), WONT: (False, False), DO: (True, True), DONT: (True, False)}
"""A command: whether it is about our side, and whether it says on."""
_ANSWERS = {(True, True): WILL, (True, False): WONT, (False, True): DO, (False, False): DONT}
_TELLERS: dict[bytes, Callable[[Telnet], None]] = {
    bytes((TERMINAL_TYPE,)) + _TERMINAL_SEND: Telnet._tell_terminal,
}
"""What a subnegotiation may ask for."""


def _name(terminal: str) -> bytes:
    """A terminal's name as RFC 1091 wants it; whatever is none becomes ``UNKNOWN``."""
    fits = terminal.isascii() and terminal.isprintable() and 0 < len(terminal) <= _LONGEST_NAME
    return terminal.upper().encode() if fits else b"UNKNOWN"
