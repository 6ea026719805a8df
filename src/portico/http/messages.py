"""What an HTTP/1.1 codec hands out: heads, ends and signals. A piece of a body is plain ``bytes``.

The classes are slotted and plain, because one of each is made for every message.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum
from typing import Final, NamedTuple, Protocol, TypeAlias
from urllib.parse import unquote_to_bytes

__all__ = [
    "CLOSED",
    "END",
    "NEED_DATA",
    "PAUSED",
    "PLAIN",
    "UNTIL_CLOSE",
    "BytesLike",
    "End",
    "Event",
    "Facts",
    "Fields",
    "Headers",
    "RequestHead",
    "RequestLine",
    "ResponseHead",
    "Signal",
]

Headers: TypeAlias = list[tuple[str, str]]
"""Names in lower case, values as latin-1 text without surrounding blanks, in the order received."""

Fields: TypeAlias = tuple[tuple[str, str], ...]
"""The same, for what is shared and must not change."""

BytesLike: TypeAlias = bytes | bytearray | memoryview
"""A piece of a body that is sent; a memoryview must be one of bytes."""

UNTIL_CLOSE: Final = -1
"""As a body length: the body ends where the connection ends (RFC 9112, 6.3, step 8)."""


class Signal(Enum):
    """What ``next_event`` returns when there is no event."""

    NEED_DATA = "need data"
    PAUSED = "paused"
    CLOSED = "closed"

    def __repr__(self) -> str:
        return self.name


NEED_DATA: Final = Signal.NEED_DATA
"""Feed more bytes."""
PAUSED: Final = Signal.PAUSED
"""Their message is complete; nothing is read on until the next cycle, or never after a switch."""
CLOSED: Final = Signal.CLOSED
"""They ended their direction at a place where that is allowed."""


def _joined(headers: Sequence[tuple[str, str]], name: str) -> str | None:
    """All values of a field, joined as RFC 9110, 5.3 says; ``None`` when there is none."""
    values = [value for key, value in headers if key == name]
    return ", ".join(values) if values else None


class RequestLine:
    """A request's first line, and what its target says.

    ``raw_path`` and ``query`` are the target's, whatever form it came in (``"*"`` stays, CONNECT has
    none), as sent; ``path`` is the decoded path, one latin-1 character a byte.
    """

    __slots__ = ("http11", "method", "path", "query", "raw_path", "target", "version")

    def __init__(self, method: str, target: str, http11: bool = True) -> None:
        self.method = method
        self.target = target
        self.http11 = http11
        self.version = "HTTP/1.1" if http11 else "HTTP/1.0"
        whole = target if target[0] == "/" else self.origin_form
        self.raw_path, _, self.query = whole.partition("?")
        raw = self.raw_path
        self.path = unquote_to_bytes(raw).decode("latin-1") if "%" in raw else raw

    @property
    def origin_form(self) -> str:
        """Path and query of the target, whatever form it came in; ``"*"`` stays, CONNECT has none."""
        target = self.target
        if target.startswith(("/", "*")):
            return target
        if self.method == "CONNECT":
            return ""
        return _split_absolute(target)[1]


class Facts(NamedTuple):
    """What framing decided about a request.

    ``body_length`` is 0 without a body, a number of bytes, or ``None`` when the body is chunked.
    ``expects_continue`` says that the client wants a 100 before it sends its body; ``upgrade`` is the
    ``Upgrade`` field where the connection may really be upgraded.
    """

    body_length: int | None = 0
    keep_alive: bool = True
    expects_continue: bool = False
    upgrade: str | None = None


PLAIN: Final = Facts()
"""What holds for most requests."""


class Common(Protocol):
    """What heads have in common, with gaps (``shapes.py``)."""

    def fill(self, changed: Fields) -> Fields:
        """All fields of a head that has these in the gaps."""
        ...


class RequestHead:
    """The head of a request. Never changed: a request that repeats gets the same object again.

    ``fields``: names in lower case, values as latin-1 text without surrounding blanks, in the order
    received. ``raw`` is the head as received, blank line included. ``changed``: ``None``, or the fields
    in which the heads of this connection have differed since it was last ``None``, as this head has
    them: what was derived from one of those heads holds again, but for these. ``()``: all of it holds.
    """

    __slots__ = ("_fields", "changed", "facts", "line", "raw")

    def __init__(
        self,
        line: RequestLine,
        fields: Fields | Common,
        facts: Facts = PLAIN,
        raw: bytes = b"",
        changed: Fields | None = None,
    ) -> None:
        self.line = line
        self._fields = fields
        self.facts = facts
        self.raw = raw
        self.changed = changed

    @classmethod
    def of(
        cls, method: str, target: str, headers: Iterable[tuple[str, str]] = (), *, http11: bool = True
    ) -> RequestHead:
        """A request without a body that nobody sent. Names in lower case."""
        return cls(RequestLine(method, target, http11), tuple(headers))

    @property
    def fields(self) -> Fields:
        fields = self._fields
        if not isinstance(fields, tuple):
            self._fields = fields = fields.fill(self.changed or ())
        return fields

    @property
    def method(self) -> str:
        return self.line.method

    @property
    def target(self) -> str:
        return self.line.target

    @property
    def version(self) -> str:
        return self.line.version

    @property
    def headers(self) -> Headers:
        """The fields in a list of the caller's own."""
        return list(self.fields)

    @property
    def body_length(self) -> int | None:
        return self.facts.body_length

    @property
    def keep_alive(self) -> bool:
        return self.facts.keep_alive

    @property
    def expects_continue(self) -> bool:
        return self.facts.expects_continue

    @property
    def upgrade(self) -> str | None:
        return self.facts.upgrade

    @property
    def origin_form(self) -> str:
        """Path and query of the target, whatever form it came in; ``"*"`` stays, CONNECT has none."""
        return self.line.origin_form

    def get(self, name: str) -> str | None:
        """The value of a field (name in lower case), several joined by ``", "``; ``None`` without."""
        return _joined(self.fields, name)

    @property
    def authority(self) -> str:
        """Host and port that the request is for: the target's where it names one, else ``Host``.

        RFC 9112, 3.2.2: with an absolute-form target, the ``Host`` field must be ignored.
        """
        target = self.target
        if target.startswith(("/", "*")):
            return self.get("host") or ""
        if self.method == "CONNECT":
            return target
        return _split_absolute(target)[0]

    def __repr__(self) -> str:
        return f"<RequestHead {self.method} {self.target} {self.version} body={self.body_length}>"


def _split_absolute(target: str) -> tuple[str, str]:
    """``http://host:80?q`` as ``("host:80", "/?q")``."""
    rest = target.partition("://")[2]
    ends = [at for at in (rest.find("/"), rest.find("?")) if at >= 0]
    cut = min(ends, default=len(rest))
    path = rest[cut:]
    return rest[:cut], path if path.startswith("/") else "/" + path


class ResponseHead:
    """The head of a response. A status below 200 is informational: another head follows.

    ``body_length`` is as for requests, or ``UNTIL_CLOSE`` (-1).
    """

    __slots__ = ("body_length", "headers", "keep_alive", "raw", "reason", "status", "version")

    def __init__(
        self,
        status: int,
        reason: str,
        version: str,
        headers: Headers,
        raw: bytes = b"",
        body_length: int | None = 0,
        keep_alive: bool = True,
    ) -> None:
        self.status = status
        self.reason = reason
        self.version = version
        self.headers = headers
        self.raw = raw
        self.body_length = body_length
        self.keep_alive = keep_alive

    def get(self, name: str) -> str | None:
        """The value of a field (name in lower case), several joined by ``", "``; ``None`` without."""
        return _joined(self.headers, name)

    def __repr__(self) -> str:
        return f"<ResponseHead {self.status} {self.reason} {self.version} body={self.body_length}>"


class End:
    """A message is complete. ``trailers`` came after a chunked body; never merge them into the headers."""

    __slots__ = ("trailers",)

    def __init__(self, trailers: tuple[tuple[str, str], ...] = ()) -> None:
        self.trailers = trailers

    def __repr__(self) -> str:
        return f"<End {self.trailers}>" if self.trailers else "<End>"


END: Final = End()
"""The end without trailers: immutable, so one serves all."""

Event: TypeAlias = RequestHead | ResponseHead | bytes | End | Signal
