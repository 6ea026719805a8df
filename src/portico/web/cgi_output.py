"""The header part of a CGI program's answer (RFC 3875, 6): bytes in, one ``Head`` out.

Strict where a lenient reading could be turned against a client: one field a line, no folding (6.3), a
colon right after the name, no control characters, each CGI field once. Lenient where programs differ
harmlessly: lines end with LF or CRLF, and a ``Status`` may lack its reason.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from portico.errors import LimitExceeded, ProtocolError
from portico.http.chunks import ChunkReader
from portico.http.inbox import Inbox
from portico.http.messages import NEED_DATA, End
from portico.limits import Limits

__all__ = ["Chunks", "Head", "HeadReader", "ProgramError", "parse_head"]

Field = tuple[str, str]

_FIELD = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*)")
_STATUS = re.compile(r"([2-5][0-9][0-9])(?: ([^\x00-\x08\x0a-\x1f\x7f]*))?")
_NPH_STATUS = re.compile(r"HTTP/[0-9]\.[0-9] ([2-5][0-9][0-9])(?: ([^\x00-\x08\x0a-\x1f\x7f]*))?")
_LOCAL_PATH = re.compile(r"/(?!/)[!-~]*")
_CGI_FIELDS = ("content-type", "location", "status")
_ONCE = (*_CGI_FIELDS, "content-length")
_OF_THE_SERVER = frozenset((
    "connection", "date", "keep-alive", "proxy-connection", "server", "te", "trailer", "transfer-encoding",
    "upgrade",
))  # fmt: skip


class ProgramError(ProtocolError):
    """A program did not do what CGI asks of it; ``status`` is the answer that the client gets."""

    def __init__(self, message: str, status: int = 502) -> None:
        super().__init__(message, status)


@dataclass(frozen=True, slots=True)
class Head:
    """What a program said before its body.

    ``headers`` are what goes out, without ``Status`` and what is the server's own. ``length`` is the
    body's promised size, or ``None``; ``chunked``: the body comes in chunks, which only an nph- program may
    write. ``redispatch`` is the local path whose answer the program asks for in place of its own (6.2.2), or
    ``None``.
    """

    status: int
    reason: str
    headers: list[Field] = field(default_factory=list)
    length: int | None = None
    redispatch: str | None = None
    chunked: bool = False


class HeadReader:
    """Gathers the header part as it comes, up to ``limit`` bytes.

    ``feed(data)`` returns the ``Head`` once it is complete; ``rest`` then holds what came after it.
    Raises ``ProgramError``. ``nph``: the program speaks for itself, see ``parse_head``.
    """

    def __init__(self, limit: int, *, nph: bool = False) -> None:
        self._limit = limit
        self._nph = nph
        self._buffer = bytearray()
        self.rest = b""

    def feed(self, data: bytes) -> Head | None:
        searched = max(0, len(self._buffer) - 2)  # a blank line is at most LF CR LF
        self._buffer += data
        end, after = _blank_line(self._buffer, searched)
        if (len(self._buffer) if end < 0 else end) > self._limit:
            raise ProgramError(f"its header part is larger than {self._limit} bytes")
        if end < 0:
            return None
        self.rest = bytes(self._buffer[after:])
        return parse_head(bytes(self._buffer[:end]), nph=self._nph)

    def ended(self) -> ProgramError:
        """The error for a program that ended before its header part did."""
        got = f"{len(self._buffer)} bytes" if self._buffer else "nothing"
        return ProgramError(f"it ended before the blank line after its header fields; it wrote {got}")


class Chunks:
    """Takes a body out of the chunks (RFC 9112, 7.1) that an nph- program writes: the server makes its own.

    ``ended``: the last one has come; what follows it is ignored.
    """

    def __init__(self, limits: Limits) -> None:
        self._reader = ChunkReader(limits, None)
        self._inbox = Inbox()
        self.ended = False

    def feed(self, data: bytes) -> bytes:
        """What is in them. Raises ``ProgramError``."""
        pieces: list[bytes] = []
        if data:
            self._inbox.feed(data)
        try:
            while not self.ended and (event := self._reader.read(self._inbox)) is not NEED_DATA:
                if isinstance(event, End):
                    self.ended = True
                elif isinstance(event, bytes):
                    pieces.append(event)
        except (ProtocolError, LimitExceeded) as error:
            raise ProgramError(f"its chunks cannot be read: {error}") from error
        if self.ended:
            self._inbox.clear()
        return b"".join(pieces)


def _blank_line(buffer: bytearray, start: int) -> tuple[int, int]:
    """Where the last field's LF ends and where the body begins; (-1, -1) if that is still to come."""
    for blank in (b"\n", b"\r\n"):  # nothing but a body: a head without any field
        if start == 0 and buffer.startswith(blank):
            return 0, len(blank)
    bare, crlf = buffer.find(b"\n\n", start), buffer.find(b"\n\r\n", start)
    if bare < 0 and crlf < 0:
        return -1, -1
    if crlf < 0 or 0 <= bare < crlf:
        return bare + 1, bare + 2
    return crlf + 1, crlf + 3


def parse_head(block: bytes, *, nph: bool = False) -> Head:
    """Parse the lines of a header part, each with its end, without the blank one.

    ``nph``: the first line is an HTTP status line instead (RFC 3875, 5). Such a program means to answer
    the client itself; as framing belongs to the server, its head is read and written anew, with all that
    is not framing. Raises ``ProgramError``.
    """
    lines = [line.removesuffix("\r") for line in block.decode("latin-1").removesuffix("\n").split("\n")]
    status = _nph_status(lines.pop(0)) if nph else None
    fields = [_field(line) for line in lines if line]
    known = _known(fields)
    if status is None and not any(name in known for name in _CGI_FIELDS):
        raise ProgramError("none of Content-Type, Location and Status is among its header fields")
    chunked = nph and _chunked(fields)
    if status is None:
        status = _status(known)
    length = None if chunked else _length(known)
    if status[0] == 204:  # never has one (RFC 9110, 8.6)
        fields, length = [pair for pair in fields if pair[0].lower() != "content-length"], None
    redispatch = None if nph else _redispatch(fields)
    return Head(*status, _outgoing(fields, nph=nph), length, redispatch, chunked)


def _nph_status(line: str) -> tuple[int, str]:
    match = _NPH_STATUS.fullmatch(line)
    if not match:
        raise ProgramError(f"the status line of an nph- program was expected, not {line[:80]!r}")
    return int(match[1]), match[2] or ""


def _field(line: str) -> Field:
    match = _FIELD.fullmatch(line)
    if not match:
        raise ProgramError(f"not a header field: {line[:80]!r}")
    return match[1], match[2].rstrip(" \t")


def _known(fields: Sequence[Field]) -> dict[str, str]:
    """The fields that mean something to the server, each of which may come once (6.3)."""
    known: dict[str, str] = {}
    for name, value in fields:
        lower = name.lower()
        if lower in known:
            raise ProgramError(f"header field {name} came twice")
        if lower in _ONCE:
            known[lower] = value
    return known


def _status(known: dict[str, str]) -> tuple[int, str]:
    if "status" not in known:
        return (302, "") if "location" in known else (200, "")
    match = _STATUS.fullmatch(known["status"])
    if not match:
        raise ProgramError(f"not a status between 200 and 599: {known['status'][:80]!r}")
    return int(match[1]), match[2] or ""


def _length(known: dict[str, str]) -> int | None:
    value = known.get("content-length")
    if value is None:
        return None
    if not (value.isascii() and value.isdigit() and len(value) < 19):
        raise ProgramError(f"not a Content-Length: {value[:80]!r}")
    return int(value)


def _chunked(fields: Sequence[Field]) -> bool:
    codings = [value.lower() for name, value in fields if name.lower() == "transfer-encoding"]
    if codings and (codings != ["chunked"] or any(name.lower() == "content-length" for name, _ in fields)):
        raise ProgramError("of transfer codings an nph- program may use chunked, without a Content-Length")
    return bool(codings)


def _outgoing(fields: Sequence[Field], *, nph: bool) -> list[Field]:
    """What the client gets to see: no ``Status``, nothing hop-by-hop, nothing that the server sets, but for
    what an nph- program says of itself."""
    dropped = _OF_THE_SERVER - {"date", "server"} if nph else _OF_THE_SERVER | {"status"}
    for name, value in fields:
        if name.lower() == "connection":
            dropped |= {option.strip().lower() for option in value.split(",")}
    return [(name, value) for name, value in fields if name.lower() not in dropped]


def _redispatch(fields: Sequence[Field]) -> str | None:
    """The path of a local redirect: a ``Location`` that is one, and nothing beside it (6.2.2).

    With other fields it goes to the client, which would otherwise never see them. So does ``//host``,
    which browsers take for another server.
    """
    if len(fields) != 1 or fields[0][0].lower() != "location":
        return None
    value = fields[0][1]
    return value if _LOCAL_PATH.fullmatch(value) and "#" not in value else None
