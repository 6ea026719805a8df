"""Heads that go out: nothing leaves that the peer could read as more lines than were meant."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import Final, TypeAlias

from portico.errors import LocalProtocolError, ProtocolError
from portico.http.framing import body_framing, list_tokens
from portico.http.states import Role
from portico.http.targets import check_host, check_target

__all__ = [
    "KINDS",
    "NO_DEFAULTS",
    "Defaults",
    "Field",
    "Outgoing",
    "encode_fields",
    "encode_text",
    "frame_request",
    "frame_response",
    "informational_head",
    "is_origin_form",
    "with_defaults",
]

_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_TARGET: Final = re.compile(r"[\x21\x22\x24-\x7e]+")
_LENGTH: Final = re.compile(r"[0-9]{1,18}")

# Deleting these from a head must leave its line ends and nothing else.
_TEXT: Final = bytes(byte for byte in range(256) if byte == 0x09 or 0x20 <= byte != 0x7F)
_REMEMBERED: Final = 1024

# RFC 9110, 8.6: for these, the absence of content is worth saying.
_EXPECTING_CONTENT: Final = frozenset({"POST", "PUT", "PATCH"})

_INTERIM: Final = {100: "Continue", 101: "Switching Protocols", 102: "Processing", 103: "Early Hints"}


class Field(IntEnum):
    """What an outgoing field means to framing."""

    PLAIN = 0
    LENGTH = 1
    CONNECTION = 2
    CODING = 3
    HOST = 4
    EXPECT = 5
    UPGRADE = 6
    DATE = 7
    """These two mean nothing to it, and something to a server that sends its own."""
    SERVER = 8


_SPECIAL: Final = {
    "content-length": Field.LENGTH,
    "connection": Field.CONNECTION,
    "transfer-encoding": Field.CODING,
    "host": Field.HOST,
    "expect": Field.EXPECT,
    "upgrade": Field.UPGRADE,
    "date": Field.DATE,
    "server": Field.SERVER,
}

Defaults: TypeAlias = tuple[tuple[Field, str], ...]
"""Fields for where a head has none of its own: what it would be, and the line with its end."""

NO_DEFAULTS: Final[Defaults] = ()


class _Kinds(dict[str, Field]):
    """Valid field names, as given, and what they mean; bounded."""

    def __missing__(self, name: str) -> Field:
        if not _TOKEN.fullmatch(name):
            raise LocalProtocolError(f"not a field name: {name[:80]!r}")
        kind = _SPECIAL.get(name.lower(), Field.PLAIN)
        if len(self) < _REMEMBERED:
            self[name] = kind
        return kind


KINDS: Final = _Kinds()
"""Field name to ``Field``. Raises ``LocalProtocolError`` for a name that is not a token."""


def encode_text(text: str, lines: int) -> bytes:
    """A head of so many lines as bytes.

    Raises ``LocalProtocolError`` when it holds another number of line ends, any control character, or
    what latin-1 cannot say.
    """
    try:
        head = text.encode("latin-1")
    except UnicodeEncodeError as error:
        wrong = text[error.start : error.end][:20]
        raise LocalProtocolError(f"a head can hold latin-1 only, not {wrong!r}") from None
    if head.translate(None, _TEXT) != b"\r\n" * lines:
        raise LocalProtocolError("a control character (maybe a line end) in a start line or a field's value")
    return head


def encode_fields(start: str, fields: Sequence[tuple[str, str]]) -> bytes:
    """A start line (with its line end), fields and the empty line. Raises ``LocalProtocolError``."""
    for name, _ in fields:
        KINDS[name]
    lines = "".join([f"{name}: {value}\r\n" for name, value in fields])
    return encode_text(f"{start}{lines}\r\n", len(fields) + 2)


def with_defaults(headers: Sequence[tuple[str, str]], defaults: Defaults) -> list[tuple[str, str]]:
    """The fields of a head, with those defaults before them that they do not replace."""
    own = {KINDS[name] for name, _ in headers}
    lines = [line.removesuffix("\r\n").partition(": ") for kind, line in defaults if kind not in own]
    return [*((name, value) for name, _, value in lines), *headers]


class Outgoing:
    """A head that is about to go out: its fields, framing included, and what they amount to.

    ``length`` is as ``body_framing`` says it: the peer will come to the same.
    """

    __slots__ = ("closes", "fields", "found", "length", "upgrades")

    def __init__(self, headers: Iterable[tuple[str, str]]) -> None:
        self.fields: list[tuple[str, str]] = []
        self.found: dict[Field, list[str]] = {}
        self.length: int | None = 0
        for name, value in headers:
            kind = KINDS[name]
            # Content-Length is written anew, once, by whoever frames the message.
            if kind is not Field.LENGTH:
                self.fields.append((name, value))
            if kind:
                self.found.setdefault(kind, []).append(value)
        if Field.CODING in self.found:
            raise LocalProtocolError("Transfer-Encoding is decided by body_length; leave the field out")
        connection = self.found.get(Field.CONNECTION, ())
        self.closes = "close" in list_tokens(connection)
        self.upgrades = Field.UPGRADE in self.found and "upgrade" in list_tokens(connection)

    def given_length(self) -> int | None:
        """What ``Content-Length`` says. Raises ``LocalProtocolError`` unless it is one number."""
        values = self.found.get(Field.LENGTH)
        if values is None:
            return None
        if len(values) > 1 or not _LENGTH.fullmatch(values[0]):
            raise LocalProtocolError(f"not one valid Content-Length: {', '.join(values)[:80]!r}")
        return int(values[0])

    def agreed_length(self, body_length: int | None) -> int | None:
        """What ``Content-Length`` and the caller say. Raises ``LocalProtocolError`` when they differ."""
        given = self.given_length()
        if given is None:
            return body_length
        if body_length is not None and body_length != given:
            raise LocalProtocolError(f"Content-Length is {given}, but the body has {body_length} bytes")
        return given

    def add_length(self, length: int) -> None:
        """Announce so many bytes."""
        if length < 0:
            raise LocalProtocolError(f"a body cannot have {length} bytes")
        self.fields.append(("Content-Length", str(length)))

    def add_chunked(self) -> None:
        """Announce chunks."""
        self.fields.append(("Transfer-Encoding", "chunked"))

    def add_persistence(self, keep: bool, http11: bool) -> None:
        """Say whether the connection lives on, where the version's default is the other."""
        if keep and not http11:
            self._add_option("keep-alive")
        elif not keep:
            self._add_option("close")

    def _add_option(self, option: str) -> None:
        if option not in list_tokens(self.found.get(Field.CONNECTION, ())):
            self.fields.append(("Connection", option))

    def settle(self, sender: Role, method: str, status: int = 0, http11: bool = True) -> None:
        """Decide ``length`` from the fields, exactly as the peer will."""
        kinds = [(KINDS[name], value) for name, value in self.fields]
        self.length = body_framing(
            sender,
            method=method,
            lengths=[value for kind, value in kinds if kind is Field.LENGTH],
            codings=[value for kind, value in kinds if kind is Field.CODING],
            status=status,
            http11=http11,
        )


def frame_request(
    method: str, target: str, headers: Iterable[tuple[str, str]], body_length: int | None
) -> Outgoing:
    """Frame a request. Raises ``LocalProtocolError``."""
    plan = Outgoing(headers)
    _check_request(method, target, plan.found.get(Field.HOST, []))
    length = plan.agreed_length(body_length)
    if method == "CONNECT" and length != 0:
        raise LocalProtocolError("a CONNECT request has no content")
    if length is None:
        plan.add_chunked()
    elif length or method in _EXPECTING_CONTENT or (Field.LENGTH in plan.found and method != "CONNECT"):
        plan.add_length(length)
    plan.settle(Role.CLIENT, method)
    return plan


def is_origin_form(target: str) -> bool:
    """Whether a target is a path (and query) that any method but CONNECT can have."""
    return target[:1] == "/" and _TARGET.fullmatch(target) is not None


def _check_request(method: str, target: str, hosts: list[str]) -> None:
    if not _TOKEN.fullmatch(method):
        raise LocalProtocolError(f"not a method: {method[:80]!r}")
    if not _TARGET.fullmatch(target):
        raise LocalProtocolError(f"a target cannot be empty or hold such characters: {target[:80]!r}")
    if len(hosts) != 1:
        raise LocalProtocolError("a request needs exactly one Host")
    try:
        check_target(method, target)
        check_host(hosts[0])
    except ProtocolError as error:
        raise LocalProtocolError(str(error)) from None


def frame_response(
    status: int, headers: Iterable[tuple[str, str]], body_length: int | None, method: str, http11: bool
) -> Outgoing:
    """Frame a final response to a ``method`` request. Raises ``LocalProtocolError``."""
    if not 200 <= status <= 999:
        raise LocalProtocolError(f"not the status of a final response: {status}")
    plan = Outgoing(headers)
    if status == 204 or (method == "CONNECT" and status < 300):
        # RFC 9110, 8.6 and 9.3.6: not even a length of 0 may be said here.
        if plan.given_length() or body_length:
            raise LocalProtocolError(f"a response {status} to {method or 'this'} has no body")
    elif status == 304:
        _add_given(plan, plan.given_length())
    elif method == "HEAD":
        given = plan.given_length()
        _add_given(plan, body_length if given is None else given)
    else:
        _add_framing(plan, plan.agreed_length(body_length), http11)
    plan.settle(Role.SERVER, method, status, http11)
    return plan


def _add_given(plan: Outgoing, length: int | None) -> None:
    """The length that the body would have had, where it is known."""
    if length is not None:
        plan.add_length(length)


def _add_framing(plan: Outgoing, length: int | None, http11: bool) -> None:
    if length is not None:
        plan.add_length(length)
    elif http11:
        plan.add_chunked()


def informational_head(status: int, headers: Iterable[tuple[str, str]]) -> bytes:
    """An interim response. Raises ``LocalProtocolError``; a 101 needs an ``Upgrade`` field."""
    if not 100 <= status <= 199:
        raise LocalProtocolError(f"not the status of an informational response: {status}")
    plan = Outgoing(headers)
    if Field.LENGTH in plan.found:
        raise LocalProtocolError("an informational response has no body")
    if status == 101:
        if Field.UPGRADE not in plan.found:
            raise LocalProtocolError("101 needs an Upgrade field that names the protocol")
        if not plan.upgrades:
            plan.fields.append(("Connection", "Upgrade"))
    return encode_fields(f"HTTP/1.1 {status} {_INTERIM.get(status, '')}\r\n", plan.fields)
