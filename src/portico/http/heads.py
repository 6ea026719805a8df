"""Reading the heads of messages: where they end, what they say (RFC 9112, 2 to 5).

A head is validated in one scan by one pattern, then split. Two memos save work where input repeats;
neither may change a verdict (the tests compare both ways):

* ``HeadParser`` keeps the last header block of its connection, where the same again costs one comparison,
  and the framing fields among it, upon which, with method and version, alone its facts depend.
* a table per process keeps single lines of the fields in ``STABLE_FIELDS``, whose values repeat and
  carry no secret: what a lookup's time could tell about other clients must be worth nothing.
"""

from __future__ import annotations

import re
from typing import Final, NoReturn, TypeAlias

from portico.errors import LimitExceeded, ProtocolError
from portico.http.framing import (
    FRAMING_FIELDS,
    FramingFields,
    body_framing,
    framing_fields,
    keeps_alive,
    wants_continue,
    wants_upgrade,
)
from portico.http.inbox import Inbox
from portico.http.messages import UNTIL_CLOSE, Headers, RequestHead, ResponseHead
from portico.http.states import Role
from portico.http.targets import check_host, check_target
from portico.limits import Limits

__all__ = ["STABLE_FIELDS", "TOKEN", "HeadFinder", "HeadParser", "parse_fields"]

TOKEN: Final = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
_TOKEN: Final = TOKEN.encode()
_TEXT: Final = rb"[\t\x20-\x7e\x80-\xff]"

# Possessive quantifiers: no backtracking, so linear whatever comes.
_FIELDS: Final = re.compile(rb"(?:%b++:%b*+\r\n)*+\r\n" % (_TOKEN, _TEXT))
_REQUEST_LINE: Final = re.compile(rf"({TOKEN}++) ([\x21\x22\x24-\x7e]++) HTTP/([0-9])\.([0-9])")
_STATUS_LINE: Final = re.compile(r"HTTP/([0-9])\.([0-9]) ([1-9][0-9]{2})(?: ([\t\x20-\x7e\x80-\xff]*+))?")
_VERSION: Final = re.compile(r"HTTP/[0-9]\.[0-9]")
_METHOD: Final = re.compile(rf"{TOKEN}++")
_FOLD: Final = re.compile(rb"\r\n[ \t]++")

# What no head may hold anywhere: found early, a client that will never send CRLF CRLF need not time out.
_HOPELESS: Final = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|(?<!\r)\n|\r[^\n]")

_LINE_END: Final = b"\r\n"
_BLANK_LINE: Final = b"\r\n\r\n"

STABLE_FIELDS: Final = frozenset(
    (
        "accept",
        "accept-charset",
        "accept-encoding",
        "accept-language",
        "cache-control",
        "connection",
        "content-type",
        "date",
        "dnt",
        "expect",
        "host",
        "origin",
        "pragma",
        "priority",
        "sec-ch-ua",
        "sec-ch-ua-mobile",
        "sec-ch-ua-platform",
        "sec-fetch-dest",
        "sec-fetch-mode",
        "sec-fetch-site",
        "sec-fetch-user",
        "sec-gpc",
        "server",
        "te",
        "upgrade-insecure-requests",
        "user-agent",
        "vary",
        "via",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-requested-with",
    )
)
_Facts: TypeAlias = tuple[int | None, bool, bool, str | None]

_LINE_LENGTH: Final = 256
_LINES: Final = 1024
_NAMES: Final = 1024
_PLAIN_HEADS: Final = 15
_NAME_LENGTH: Final = 64


class _Names(dict[str, str]):
    """Field names as sent, in lower case; bounded."""

    def __missing__(self, name: str) -> str:
        low = name.lower()
        if len(name) <= _NAME_LENGTH and len(self) < _NAMES:
            self[name] = low
        return low


_names: Final = _Names()


class _Lines(dict[str, tuple[str, str]]):
    """Valid header lines, split; a lookup of a missing one splits it, and keeps it if it may."""

    def __missing__(self, line: str) -> tuple[str, str]:
        name, _, value = line.partition(":")
        field = (_names[name], value.strip(" \t"))
        if field[0] in STABLE_FIELDS and len(line) <= _LINE_LENGTH:
            if len(self) >= _LINES:
                self.clear()
            self[line] = field
        return field


_lines: Final = _Lines()


def parse_fields(block: bytes, limit: int, memo: bool = True) -> Headers:
    """Split a block of field lines that ends with an empty line.

    Raises ``ProtocolError`` (400), and ``LimitExceeded`` (431) for more than ``limit`` fields.
    """
    if not _FIELDS.fullmatch(block):
        _refuse_fields(block)
    lines = block.decode("latin-1").split("\r\n")
    del lines[-2:]
    if len(lines) > limit:
        raise LimitExceeded(f"more than {limit} header fields", "headers", 431)
    if memo:
        return [*map(_lines.__getitem__, lines)]
    return [(_names[name], value.strip(" \t")) for name, _, value in [line.partition(":") for line in lines]]


def _refuse_fields(block: bytes) -> NoReturn:
    """Say what is wrong with a block of field lines that is not valid."""
    for line in block[:-4].split(_LINE_END):
        name, colon, value = line.partition(b":")
        if line[:1] in (b" ", b"\t"):
            raise ProtocolError("a header line begins with a blank (obsolete folding)")
        if not colon:
            raise ProtocolError("a header line has no colon")
        if name.endswith((b" ", b"\t")):
            raise ProtocolError("a blank stands between a field's name and its colon")
        if not re.fullmatch(b"%b+" % _TOKEN, name):
            raise ProtocolError("a field's name is not a token")
        if not re.fullmatch(b"%b*" % _TEXT, value):
            raise ProtocolError(f"the value of {name[:60].decode()} holds a control character")
    raise ProtocolError("the header section is malformed")


class HeadFinder:
    """Finds where a head ends, without ever looking at the same bytes twice; ``searched`` are so many."""

    __slots__ = ("_first", "_limits", "_line_end", "searched")

    def __init__(self, limits: Limits, *, trailers: bool = False) -> None:
        self._limits = limits
        # Trailers have no first line with a bound of its own: as if its end had been found.
        self._first = 0 if trailers else -1
        self.reset()

    def reset(self) -> None:
        """Begin with another head."""
        self.searched = 0
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
            if _HOPELESS.search(data, begin):
                raise ProtocolError("a bare CR, a bare LF or a control character in a head")
        return length

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


class HeadParser:
    """Parses complete heads of one connection; remembers its last header block."""

    __slots__ = (
        "_block",
        "_facts",
        "_framing",
        "_headers",
        "_http11",
        "_limits",
        "_line",
        "_memo",
        "_plain",
        "_whole",
    )

    def __init__(self, limits: Limits, memo: bool = True) -> None:
        self._limits = limits
        self._memo = memo
        self._plain = 0
        self._block = b""
        self._headers: Headers = []
        self._framing: Headers = []
        # The last head as a whole, which keeps its block company.
        self._whole: bytes | None = None
        self._line = ("", "", "")
        self._http11 = True
        self._facts: _Facts = (0, True, False, None)

    def repeated(self, inbox: Inbox) -> RequestHead | None:
        """Take the head that waits, if its header block is that of the request before.

        A block ends with its blank line, so that finding it again finds the end of the head. Whatever
        is unusual is left to ``request``, which gives the same answer more slowly.
        """
        data, start = inbox.data, inbox.at
        if not start and data == self._whole and type(data) is bytes:
            inbox.clear()
            method, target, version = self._line
            return RequestHead(method, target, version, self._headers.copy(), data, *self._facts, True)
        end = data.find(_LINE_END, start, start + self._limits.request_line + 2)
        block = self._block
        if end < 0 or not block or not data.startswith(block, end + 2):
            return None
        found = _REQUEST_LINE.fullmatch(str(data[start:end], "latin-1"))
        if found is None:
            return None
        method, target, major, minor = found.groups()
        http11 = minor != "0"
        if major != "1" or http11 is not self._http11 or method == "CONNECT":
            return None
        if target[0] != "/":
            check_target(method, target)
        length = end + 2 + len(block) - start
        if length > self._limits.header_bytes:
            return None
        version = "HTTP/1.1" if http11 else "HTTP/1.0"
        self._line = method, target, version
        self._whole = raw = inbox.take(length)
        return RequestHead(method, target, version, self._headers.copy(), raw, *self._facts, True)

    def request(self, raw: bytes) -> RequestHead:
        """Parse a request's head. Raises ``ProtocolError`` and ``LimitExceeded``."""
        end = raw.find(_LINE_END)
        method, target, http11 = _request_line(raw[:end].decode("latin-1"))
        check_target(method, target)
        block = raw[end + 2 :]
        headers = self._fields(block)
        framing = [field for field in headers if field[0] in FRAMING_FIELDS]
        # CONNECT is framed by rules of its own: its facts are no other request's.
        keep = self._memo and method != "CONNECT"
        if keep and framing == self._framing and http11 is self._http11 and self._block:
            facts = self._facts
        else:
            facts = _request_facts(framing_fields(framing), method, http11)
        version = "HTTP/1.1" if http11 else "HTTP/1.0"
        if keep:
            self._block, self._headers, self._framing = block, headers.copy(), framing
            self._http11, self._facts = http11, facts
            self._whole, self._line = raw, (method, target, version)
        return RequestHead(method, target, version, headers, raw, *facts)

    def _fields(self, block: bytes) -> Headers:
        """The fields of a block, by way of the lines seen before while that pays."""
        if not self._memo or self._plain > 0:
            self._plain -= 1
            return parse_fields(block, self._limits.headers, False)
        known = len(_lines)
        headers = parse_fields(block, self._limits.headers)
        # A peer whose lines are mostly new would only cool the table, at more than the price of splitting.
        if len(_lines) - known > len(headers) // 2:
            self._plain = _PLAIN_HEADS
        return headers

    def response(self, raw: bytes, method: str) -> ResponseHead:
        """Parse the head of the response to a ``method`` request. Raises as ``request`` does."""
        end = raw.find(_LINE_END)
        http11, status, reason = _status_line(raw[:end].decode("latin-1"))
        # RFC 9112, 5.2: a user agent must read obsolete folding, as a blank. Servers may refuse it.
        block = _FOLD.sub(b" ", raw[end + 2 :])
        headers = self._fields(block)
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
        return ResponseHead(status, reason, "HTTP/1.1" if http11 else "HTTP/1.0", headers, raw, length, alive)


def _request_line(line: str) -> tuple[str, str, bool]:
    """Method, target, and whether the version is at least 1.1."""
    found = _REQUEST_LINE.fullmatch(line)
    if found is None:
        _refuse_request_line(line)
    method, target, major, minor = found.groups()
    return method, target, _is_http11(major, minor)


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


def _request_facts(fields: FramingFields, method: str, http11: bool) -> _Facts:
    """Body length, keep-alive, expects-continue, upgrade."""
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
    return (
        length,
        keeps_alive(fields.connection, http11),
        wants_continue(fields.expect, http11) and length != 0,
        wants_upgrade(fields.upgrade, fields.connection, http11),
    )
