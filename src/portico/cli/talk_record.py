"""What flowed, written down: raw, or as a hex dump with the offsets of both directions."""

from __future__ import annotations

from collections.abc import Callable

from portico.sync import Lock

__all__ = ["RECEIVED", "SENT", "HexRecord", "RawRecord", "Record", "crlf"]

SENT, RECEIVED = ">", "<"
_WIDTH = 16
_GAP = _WIDTH // 2 * 3
_PRINTABLE = bytes(code if 32 <= code < 127 else 46 for code in range(256))


class RawRecord:
    """Both directions as they flowed, in the order in which they did."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write = write
        self._lock = Lock()

    def note(self, direction: str, data: bytes) -> None:
        """Take down what was sent (``>``) or received (``<``)."""
        with self._lock:
            self._put(direction, data)

    def _put(self, direction: str, data: bytes) -> None:
        self._write(data)


class HexRecord(RawRecord):
    """``> 00000000  48 65 6c 6c 6f 0a                                 |Hello.|``, each direction counted."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        super().__init__(write)
        self._offsets = {SENT: 0, RECEIVED: 0}

    def _put(self, direction: str, data: bytes) -> None:
        offset = self._offsets[direction]
        self._offsets[direction] = offset + len(data)
        lines = [_line(direction, offset + at, data[at : at + _WIDTH]) for at in range(0, len(data), _WIDTH)]
        self._write("".join(lines).encode())


Record = RawRecord | HexRecord


def _line(direction: str, offset: int, row: bytes) -> str:
    text = row.hex(" ")
    halves = f"{text[: _GAP - 1]}  {text[_GAP:]}" if len(row) > _WIDTH // 2 else text
    return f"{direction} {offset:08x}  {halves:<{_WIDTH * 3}}  |{row.translate(_PRINTABLE).decode()}|\n"


def crlf() -> Callable[[bytes], bytes]:
    r"""A function that makes each ``\n`` of a stream ``\r\n``, but for those that are so already."""
    after_cr = False

    def convert(data: bytes) -> bytes:
        nonlocal after_cr
        if after_cr and data.startswith(b"\n"):
            data, first = data[1:], b"\n"
        else:
            first = b""
        after_cr = data.endswith(b"\r")
        return first + data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")

    return convert
