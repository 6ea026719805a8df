"""How long a message is, and whether the connection outlives it: RFC 9112, 6 and 9.3.

Every decision by which a message could be smuggled past another parser is made in this module.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from portico.errors import ProtocolError
from portico.http.messages import UNTIL_CLOSE
from portico.http.states import Role

__all__ = [
    "FRAMING_FIELDS",
    "FramingFields",
    "body_framing",
    "framing_fields",
    "is_bodiless",
    "keeps_alive",
    "list_tokens",
    "wants_continue",
    "wants_upgrade",
]

FRAMING_FIELDS: Final = frozenset(
    {"connection", "content-length", "expect", "host", "transfer-encoding", "upgrade"}
)

# Eighteen digits fit into 64 bits in every language a peer may be written in; zeros before them are valid.
_LENGTH: Final = re.compile(r"0{0,32}[0-9]{1,18}")
_CODING: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9a-z]+")
_KNOWN_CODINGS: Final = frozenset({"chunked", "compress", "deflate", "gzip", "identity", "x-gzip"})


class FramingFields(NamedTuple):
    """The values of the fields that say how a message is framed, each in the order received."""

    connection: Sequence[str]
    content_length: Sequence[str]
    expect: Sequence[str]
    host: Sequence[str]
    transfer_encoding: Sequence[str]
    upgrade: Sequence[str]


def framing_fields(headers: Sequence[tuple[str, str]]) -> FramingFields:
    """Sort the framing fields among ``headers`` by their names."""
    found: dict[str, list[str]] = {}
    for name, value in headers:
        found.setdefault(name, []).append(value)
    pick = found.get
    return FramingFields(
        pick("connection", ()),
        pick("content-length", ()),
        pick("expect", ()),
        pick("host", ()),
        pick("transfer-encoding", ()),
        pick("upgrade", ()),
    )


def is_bodiless(method: str, status: int) -> bool:
    """Whether a response has no body whatever its fields say (RFC 9112, 6.3, steps 1 and 2)."""
    if method == "HEAD" or status < 200 or status in (204, 304):
        return True
    return method == "CONNECT" and status < 300


def body_framing(
    sender: Role,
    *,
    method: str,
    lengths: Sequence[str],
    codings: Sequence[str],
    http11: bool = True,
    status: int = 0,
) -> int | None:
    """The length of a body: bytes, ``None`` for chunked, ``UNTIL_CLOSE`` (-1). RFC 9112, 6.3.

    ``lengths`` and ``codings`` are the values of every ``Content-Length`` and ``Transfer-Encoding``
    field; ``status`` is for responses, ``method`` that of the request in both directions. Raises
    ``ProtocolError`` (400, or 501 for a transfer coding that is not known here).
    """
    # Steps 1 and 2: responses that never have a body, and the tunnel that a CONNECT opens.
    if sender is Role.SERVER and is_bodiless(method, status):
        return 0
    # Step 3: both fields at once is how smuggling begins. The RFC lets a server refuse; we do.
    if codings and lengths:
        raise ProtocolError("both Content-Length and Transfer-Encoding are given")
    # RFC 9110, 9.3.6: a CONNECT has no content; parsers differ about what follows one that claims any.
    if sender is Role.CLIENT and method == "CONNECT" and (codings or any(n.strip("0") for n in lengths)):
        raise ProtocolError("a CONNECT request has no content")
    # Step 4: a transfer coding.
    if codings:
        _check_chunked(codings, http11)
        return None
    # Steps 5 and 6: a length.
    if lengths:
        return _length(sender, lengths)
    # Step 7: a request without either has no body. Step 8: a response then goes on until the close.
    return 0 if sender is Role.CLIENT else UNTIL_CLOSE


def _check_chunked(values: Sequence[str], http11: bool) -> None:
    """Refuse every transfer coding but a single ``chunked``."""
    codings = [coding.strip(" \t").lower() for coding in ",".join(values).split(",")]
    # RFC 9112, 6.1: in HTTP/1.0 the framing is to be regarded as faulty.
    if not http11:
        raise ProtocolError("Transfer-Encoding in an HTTP/1.0 message")
    if not all(map(_CODING.fullmatch, codings)):
        raise ProtocolError("Transfer-Encoding is malformed")
    if codings == ["chunked"]:
        return
    if codings.count("chunked") > 1:
        raise ProtocolError("the chunked transfer coding is applied more than once")
    if codings[-1] != "chunked" and _KNOWN_CODINGS.issuperset(codings):
        raise ProtocolError("chunked is not the final transfer coding")
    raise ProtocolError(f"transfer coding not implemented: {', '.join(codings)[:80]}", 501)


def _length(sender: Role, values: Sequence[str]) -> int:
    first = values[0]
    # A request says it once. In a response, equal repeats are allowed (step 5), and servers send them.
    if len(values) > 1 and (sender is Role.CLIENT or any(value != first for value in values)):
        raise ProtocolError("Content-Length is given more than once")
    if not _LENGTH.fullmatch(first):
        raise ProtocolError("Content-Length is not a number of bytes")
    return int(first)


def list_tokens(values: Iterable[str]) -> list[str]:
    """The members of a list field (RFC 9110, 5.6.1), in lower case."""
    return [token.strip(" \t") for token in ",".join(values).lower().split(",")]


def keeps_alive(connection: Sequence[str], http11: bool) -> bool:
    """Whether a message lets its connection live on (RFC 9112, 9.3)."""
    if not connection:
        return http11
    tokens = list_tokens(connection)
    return "close" not in tokens and (http11 or "keep-alive" in tokens)


def wants_continue(expect: Sequence[str], http11: bool) -> bool:
    """Whether the client waits for a 100 (RFC 9110, 10.1.1). Raises ``ProtocolError`` (417)."""
    # To HTTP/1.0 clients no 100 may be sent: there, the field is ignored.
    if not expect or not http11:
        return False
    expected = {token for token in list_tokens(expect) if token}
    if not expected <= {"100-continue"}:
        raise ProtocolError("an expectation that is not 100-continue", 417)
    return bool(expected)


def wants_upgrade(upgrade: Sequence[str], connection: Sequence[str], http11: bool) -> str | None:
    """The protocols offered by an ``Upgrade`` field that counts (RFC 9110, 7.8), or ``None``."""
    if not upgrade or not http11 or "upgrade" not in list_tokens(connection):
        return None
    return ", ".join(upgrade) or None
