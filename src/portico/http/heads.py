"""Reading the heads of messages: where they end, what they say (RFC 9112, 2 to 5).

``HeadParser`` remembers the last head of its connection: the same bytes again cost one comparison, and so
does all but the values of a few fields where only these change (``shapes.py``). That may not change a
verdict (the tests compare both ways).
"""

from __future__ import annotations

import re
from typing import Final, NoReturn

from portico.errors import LimitExceeded, ProtocolError
from portico.http.fields import STABLE_FIELDS, TOKEN, check_lines, known_lines, parse_fields
from portico.http.framing import (
    FRAMING_FIELDS,
    body_framing,
    framing_fields,
    keeps_alive,
    wants_continue,
    wants_upgrade,
)
from portico.http.inbox import Inbox
from portico.http.messages import PLAIN, UNTIL_CLOSE, Facts, Fields, RequestHead, RequestLine, ResponseHead
from portico.http.shapes import Shape
from portico.http.states import Role
from portico.http.targets import check_host, check_target
from portico.limits import Limits

__all__ = ["Answered", "HeadFinder", "HeadParser"]

_REQUEST_LINE: Final = re.compile(rf"({TOKEN}++) ([\x21\x22\x24-\x7e]++) HTTP/([0-9])\.([0-9])")
_STATUS_LINE: Final = re.compile(r"HTTP/([0-9])\.([0-9]) ([1-9][0-9]{2})(?: ([\t\x20-\x7e\x80-\xff]*+))?")
_VERSION: Final = re.compile(r"HTTP/[0-9]\.[0-9]")
_METHOD: Final = re.compile(rf"{TOKEN}++")
_FOLD: Final = re.compile(rb"\r\n[ \t]++")

# What no head may hold anywhere: found early, a client that will never send CRLF CRLF need not time out.
_HOPELESS: Final = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|(?<!\r)\n|\r[^\n]")

_LINE_END: Final = b"\r\n"
_BLANK_LINE: Final = b"\r\n\r\n"

_PLAIN_HEADS: Final = 15
"""So many heads are split without the table of lines, or kept by nobody, after those before were new."""
_JUDGED: Final = 512
_JUDGED_LENGTH: Final = 128
_PATIENCE: Final = 4
"""Heads in a row that have nothing in common with the one before, until none is kept for a while."""


class HeadFinder:
    """Finds where a head ends, without ever looking at the same bytes twice; ``searched`` are so many.

    ``judges``: the lines that have come of a head that is not complete are judged at once. The answer to a
    bad line need not wait for the rest, which may never come: HTTP/0.9 sends one line.
    """

    __slots__ = ("_first", "_judged", "_judges", "_limits", "_line_end", "searched")

    def __init__(self, limits: Limits, *, trailers: bool = False, judges: bool = True) -> None:
        self._limits = limits
        # Trailers have no first line with a bound of its own: as if its end had been found.
        self._first = 0 if trailers else -1
        self._judges = judges
        self.reset()

    def reset(self) -> None:
        """Begin with another head."""
        self.searched = self._judged = 0
        self._line_end = self._first

    def find(self, inbox: Inbox) -> int:
        """The length of the head that waits at the front, 0 when it is not complete.

        Raises ``LimitExceeded`` (414, 431) as soon as a limit is passed, and ``ProtocolError`` for
        bytes that no head can hold.
        """
        data, start = inbox.data, inbox.at
        waiting = len(data) - start
        begin = start + self.searched - 3 if self.searched > 3 else start
        end = data.find(_BLANK_LINE, begin)
        length = end + 4 - start if end >= 0 else 0
        self._check_line(data, start, begin, waiting)
        # An incomplete head of the full size can only become too long.
        if length > self._limits.header_bytes or (not length and waiting >= self._limits.header_bytes):
            raise LimitExceeded(f"a head of more than {self._limits.header_bytes} bytes", "header_bytes", 431)
        if not length:
            self.searched = waiting
            # A CR just before the head is not part of it, though the pattern sees it.
            if data.startswith(b"\n", start) or _HOPELESS.search(data, begin):
                raise ProtocolError("a bare CR, a bare LF or a control character in a head")
            if self._judges:
                self._judge_lines(data, start, begin)
        return length

    def _judge_lines(self, data: bytes | bytearray, start: int, begin: int) -> None:
        """Refuse what is wrong already in the lines that have ended since ``begin``."""
        at = start + self._judged
        found = data.rfind(_LINE_END, max(at, begin))
        if found < 0:
            return
        end = found + 2
        if not self._judged and self._first < 0:
            first = start + self._line_end
            _request_line(data[start:first].decode("latin-1"))
            at = first + 2
        check_lines(bytes(data[at:end]))
        self._judged = end - start

    def _check_line(self, data: bytes | bytearray, start: int, begin: int, waiting: int) -> None:
        """Bound the first line, also while its end has not come."""
        if self._line_end < 0:
            found = data.find(_LINE_END, begin)
            if found >= 0:
                self._line_end = found - start
        limit = self._limits.request_line
        # Without its end, the last byte may be the CR that ends it.
        length = self._line_end if self._line_end >= 0 else waiting - 1
        if length > limit:
            raise LimitExceeded(f"a first line of more than {limit} bytes", "request_line", 414)


class Answered:
    """The head of a response, and the method of the request that it answered.

    ``whole``: the bytes of head and body together, where that is all there is to know of the answer and the
    connection can go on; -1 otherwise.
    """

    __slots__ = ("head", "method", "whole")

    def __init__(self, method: str, head: ResponseHead) -> None:
        self.method = method
        self.head = head
        length = head.body_length
        plain = head.status >= 200 and head.keep_alive and method != "CONNECT"
        self.whole = len(head.raw) + length if plain and length is not None and length >= 0 else -1

    def again(self) -> ResponseHead:
        """The same head, with a list of fields of its own."""
        head = self.head
        fields = list(head.headers)
        return ResponseHead(
            head.status, head.reason, head.version, fields, head.raw, head.body_length, head.keep_alive
        )


class HeadParser:
    """Parses complete heads of one connection; remembers the last."""

    __slots__ = (
        "_forgetful",
        "_limits",
        "_line",
        "_memo",
        "_misses",
        "_plain",
        "_shape",
        "_start",
        "answered",
        "last",
        "whole",
    )

    def __init__(self, limits: Limits, memo: bool = True) -> None:
        self._limits = limits
        self._memo = memo
        self._plain = 0  # heads to be split without the table of lines
        self._forgetful = 0  # heads of which nothing is to be kept
        self._misses = 0
        self._shape: Shape | None = None
        self._start = b""  # the last request line, as it came
        self._line: RequestLine | None = None
        self.answered: Answered | None = None
        """The last response's head, and what it answered."""
        self.whole: bytes | None = None
        """The last head. Should it come again, ``last`` is what it means."""
        self.last: RequestHead | None = None

    def repeated(self, data: bytes | bytearray, start: int) -> RequestHead | None:
        """The head that begins at ``start``, if it has the shape of the one before.

        Whatever is unusual is left to ``request``, which gives the same answer more slowly.
        """
        shape = self._shape
        if shape is None:
            return None
        line = self._line
        if line is not None and data.startswith(self._start, start):
            block = start + len(self._start)
        else:
            line, block = None, data.find(_LINE_END, start, start + self._limits.request_line + 2) + 2
        found = shape.match(data, block) if block > 1 else None
        if found is None or found[0] - start > self._limits.header_bytes:
            return None
        if line is None:
            line = self._usual_line(bytes(data[start:block]))
        if line is None or line.http11 is not shape.http11:
            return None
        self._misses = 0
        end, changed = found
        self.whole = raw = bytes(data[start:end])
        self.last = head = RequestHead(line, shape, shape.facts, raw, changed)
        return head

    def _usual_line(self, start: bytes) -> RequestLine | None:
        """A request line that is valid and common; ``None``: it is not, or takes a closer look to say."""
        found = _REQUEST_LINE.fullmatch(start[:-2].decode("latin-1"))
        if found is None:
            return None
        method, target, major, minor = found.groups()
        if target[0] != "/" or major != "1" or method == "CONNECT":
            return None
        self._start = start
        self._line = line = RequestLine(method, target, minor != "0")
        return line

    def request(self, raw: bytes) -> RequestHead:
        """Parse a request's head. Raises ``ProtocolError`` and ``LimitExceeded``."""
        end = raw.find(_LINE_END)
        line = _request_line(raw[:end].decode("latin-1"))
        block = raw[end + 2 :]
        fields = self._fields(block)
        facts = self._judged(line, fields)
        # What ends its connection is never followed by another.
        if not self._memo or line.method == "CONNECT" or not facts.keep_alive:
            return RequestHead(line, fields, facts, raw)
        if self._forgetful:
            self._forgetful -= 1
            return RequestHead(line, fields, facts, raw)
        return self._kept(raw, end + 2, RequestHead(line, fields, facts, raw))

    def _judged(self, line: RequestLine, fields: Fields) -> Facts:
        framing = tuple([field for field in fields if field[0] in FRAMING_FIELDS])
        if not self._memo:
            return _request_facts(line, framing)
        # Of HTTP/1.1; and not of a CONNECT, which has rules of its own.
        usual = line.http11 and line.method != "CONNECT"
        facts = _judged.get(framing) if usual else None
        if facts is None:
            facts = _request_facts(line, framing)
            if usual and _STABLE_FRAMING.issuperset([name for name, _ in framing]):
                _remember(framing, facts)
        return facts

    def _kept(self, raw: bytes, block: int, head: RequestHead) -> RequestHead:
        """Remember a head, by the shape of the last if it can be widened so."""
        line, fields, old = head.line, head.fields, self._shape
        shape = None if old is None else old.widened(raw[block:], fields, line.http11)
        if shape is None:
            if old is not None:
                self._misses += 1
            if self._misses > _PATIENCE:
                self.forget()
                self._forgetful = _PLAIN_HEADS
                return head
            self._shape = Shape(raw[block:], fields, head.facts, line.http11)
            self.last = RequestHead(line, fields, head.facts, raw, ())
        else:
            self._shape = shape
            self.last = head = RequestHead(line, fields, head.facts, raw, shape.gaps_of(fields))
        self._line, self._start, self.whole = line, raw[:block], raw
        return head

    def forget(self) -> None:
        """Keep nothing of the heads so far."""
        self._shape = self.last = self.whole = self._line = None
        self._misses = 0

    def _fields(self, block: bytes) -> Fields:
        """The fields of a block, by way of the lines seen before while that pays."""
        if not self._memo or self._plain > 0:
            self._plain -= 1
            return parse_fields(block, self._limits.headers, False)
        known = known_lines()
        fields = parse_fields(block, self._limits.headers)
        # A peer whose lines are mostly new would only cool the table, at more than the price of splitting.
        if known_lines() - known > len(fields) // 2:
            self._plain = _PLAIN_HEADS
        return fields

    def response(self, raw: bytes, method: str) -> ResponseHead:
        """Parse the head of the response to a ``method`` request. Raises as ``request`` does."""
        end = raw.find(_LINE_END)
        http11, status, reason = _status_line(raw[:end].decode("latin-1"))
        # RFC 9112, 5.2: a user agent must read obsolete folding, as a blank. Servers may refuse it.
        block = _FOLD.sub(b" ", raw[end + 2 :])
        headers = list(self._fields(block))
        fields = framing_fields([field for field in headers if field[0] in FRAMING_FIELDS])
        length = body_framing(
            Role.SERVER,
            method=method,
            lengths=fields.content_length,
            codings=fields.transfer_encoding,
            http11=http11,
            status=status,
        )
        alive = keeps_alive(fields.connection, http11) and length != UNTIL_CLOSE
        version = "HTTP/1.1" if http11 else "HTTP/1.0"
        head = ResponseHead(status, reason, version, headers, raw, length, alive)
        if self._memo:
            self.answered = Answered(method, head)
        return head

    def same_response(self, data: bytes | bytearray, start: int, method: str) -> ResponseHead | None:
        """The head that begins at ``start``, if it is that of the last response, byte for byte, and the
        answer to the same method. Its list of fields is the caller's own."""
        last = self.answered
        if last is None or last.method != method or not data.startswith(last.head.raw, start):
            return None
        return last.again()


def _request_line(line: str) -> RequestLine:
    found = _REQUEST_LINE.fullmatch(line)
    if found is None:
        _refuse_request_line(line)
    method, target, major, minor = found.groups()
    http11 = _is_http11(major, minor)
    if target[0] != "/" or method == "CONNECT":
        check_target(method, target)
    return RequestLine(method, target, http11)


def _is_http11(major: str, minor: str) -> bool:
    if major != "1":
        raise ProtocolError(f"HTTP version {major}.{minor} is not spoken here", 505)
    return minor != "0"


def _refuse_request_line(line: str) -> NoReturn:
    parts = line.split(" ")
    if len(parts) != 3:
        raise ProtocolError("the request line is not: method, space, target, space, version")
    if not _METHOD.fullmatch(parts[0]):
        raise ProtocolError("the method is not a token")
    if not _VERSION.fullmatch(parts[2]):
        raise ProtocolError("the HTTP version is malformed")
    raise ProtocolError("the request target is empty or holds a character that it must not")


def _status_line(line: str) -> tuple[bool, int, str]:
    """Whether the version is at least 1.1, the status, the reason."""
    found = _STATUS_LINE.fullmatch(line)
    if found is None:
        raise ProtocolError(f"not a status line: {line[:80]!r}", 502)
    major, minor, status, reason = found.groups()
    return _is_http11(major, minor), int(status), reason or ""


_STABLE_FRAMING: Final = FRAMING_FIELDS & STABLE_FIELDS
_judged: Final[dict[Fields, Facts]] = {}


def _remember(framing: Fields, facts: Facts) -> None:
    """Keep a verdict about fields that carry no secret, for all connections, within bounds."""
    if sum([len(value) for _, value in framing]) <= _JUDGED_LENGTH:
        if len(_judged) >= _JUDGED:
            _judged.clear()
        _judged[framing] = facts


def _request_facts(line: RequestLine, framing: Fields) -> Facts:
    method, http11 = line.method, line.http11
    fields = framing_fields(framing)
    hosts = fields.host
    # RFC 9112, 3.2: exactly one in HTTP/1.1; in HTTP/1.0 it may be missing.
    if len(hosts) != 1 and (http11 or hosts):
        raise ProtocolError("Host must be given exactly once")
    if hosts:
        check_host(hosts[0])
    length = body_framing(
        Role.CLIENT,
        method=method,
        lengths=fields.content_length,
        codings=fields.transfer_encoding,
        http11=http11,
    )
    facts = Facts(
        length,
        keeps_alive(fields.connection, http11),
        wants_continue(fields.expect, http11) and length != 0,
        wants_upgrade(fields.upgrade, fields.connection, http11),
    )
    return PLAIN if facts == PLAIN else facts
