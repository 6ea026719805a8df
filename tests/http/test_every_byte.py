"""Every byte there is, at every place of a request where bytes decide: few are allowed, the rest is refused.

The tables say which are; the server's patterns are not asked.
"""

from __future__ import annotations

from string import ascii_letters, digits, hexdigits
from typing import NamedTuple

import pytest

from tests.http.dialogue import converse, pieces

TCHAR = frozenset((ascii_letters + digits + "!#$%&'*+-.^_`|~").encode())
TEXT = frozenset([0x09, *range(0x20, 0x7F), *range(0x80, 0x100)])
VISIBLE = frozenset(range(0x21, 0x7F))
HOST = frozenset((ascii_letters + digits + "-._~!$&'()*+,;=").encode())
DIGIT = frozenset(digits.encode())
HEX = frozenset(hexdigits.encode())
BLANK = frozenset(b" \t")

HEAD = b"GET / HTTP/1.1\r\nHost: a\r\n"
CODED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding"
CHUNKED = CODED + b": chunked\r\n\r\n"
COUNTED = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length:"


class Place(NamedTuple):
    """The byte stands in place of ``<>``; with one of ``more``, the message is longer, and incomplete."""

    request: bytes
    allowed: frozenset[int]
    more: frozenset[int] = frozenset()


PLACES = {
    "before a request": Place(b"<>GET / HTTP/1.1\r\nHost: a\r\n\r\n", TCHAR),
    "in a method": Place(b"G<>T / HTTP/1.1\r\nHost: a\r\n\r\n", TCHAR),
    "before a target": Place(b"GET <>/ HTTP/1.1\r\nHost: a\r\n\r\n", frozenset(b"/")),
    "in a target": Place(b"GET /a<>b HTTP/1.1\r\nHost: a\r\n\r\n", VISIBLE - set(b"#")),
    "before a version": Place(b"GET / <>HTTP/1.1\r\nHost: a\r\n\r\n", frozenset()),
    "in a version": Place(b"GET / HTTP/1<>1\r\nHost: a\r\n\r\n", frozenset(b".")),
    "behind a version": Place(b"GET / HTTP/1.1<>\r\nHost: a\r\n\r\n", frozenset()),
    "before a name": Place(HEAD + b"<>X: y\r\n\r\n", TCHAR),
    "in a name": Place(HEAD + b"X<>Y: z\r\n\r\n", TCHAR | set(b":")),
    "behind a name": Place(HEAD + b"X<>: y\r\n\r\n", TCHAR | set(b":")),
    "in a value": Place(HEAD + b"X: y<>z\r\n\r\n", TEXT),
    "in a host": Place(b"GET / HTTP/1.1\r\nHost: a<>b\r\n\r\n", HOST),
    "before a port": Place(b"GET / HTTP/1.1\r\nHost: a:<>8\r\n\r\n", DIGIT),
    "in an authority": Place(b"GET http://a<>b HTTP/1.1\r\nHost: a\r\n\r\n", HOST | set(b"/?")),
    "before the length": Place(COUNTED + b"<>0\r\n\r\n", BLANK | set(b"0"), DIGIT - set(b"0")),
    "behind the length": Place(COUNTED + b"0<>\r\n\r\n", BLANK | set(b"0"), DIGIT - set(b"0")),
    "behind the length's name": Place(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length<>: 0\r\n\r\n", TCHAR),
    "before the coding": Place(CODED + b":<>chunked\r\n\r\n0\r\n\r\n", BLANK),
    "behind the coding": Place(CODED + b": chunked<>\r\n\r\n0\r\n\r\n", BLANK),
    "before the coding's name": Place(
        b"POST / HTTP/1.1\r\nHost: a\r\n<>Transfer-Encoding: chunked\r\n\r\n", TCHAR
    ),
    "behind the coding's name": Place(CODED + b"<>: chunked\r\n\r\n", TCHAR),
    "before a size": Place(CHUNKED + b"<>0\r\n\r\n", frozenset(b"0"), HEX - set(b"0")),
    "behind a size": Place(CHUNKED + b"0<>\r\n\r\n", frozenset(b"0"), HEX - set(b"01")),
    "in an extension": Place(CHUNKED + b"1;a<>b\r\nx\r\n0\r\n\r\n", TCHAR | set(b"=;")),
    "in a quoted extension": Place(CHUNKED + b'1;a="<>"\r\nx\r\n0\r\n\r\n', TEXT - set(b'"\\')),
    "behind a backslash": Place(CHUNKED + b'1;a="\\<>"\r\nx\r\n0\r\n\r\n', TEXT),
    "behind a chunk": Place(CHUNKED + b"1\r\nx<>\n0\r\n\r\n", frozenset(b"\r")),
    "behind the CR of a chunk": Place(CHUNKED + b"1\r\nx\r<>0\r\n\r\n", frozenset(b"\n")),
    "in a trailer's name": Place(CHUNKED + b"0\r\nX<>Y: z\r\n\r\n", TCHAR | set(b":")),
    "in a trailer's value": Place(CHUNKED + b"0\r\nX: y<>z\r\n\r\n", TEXT),
    "in the data": Place(CHUNKED + b"1\r\n<>\r\n0\r\n\r\n", frozenset(range(0x100))),
}


@pytest.mark.parametrize("place", PLACES)
def test_each_byte_is_taken_where_it_may_stand_and_nowhere_else(place):
    request, allowed, more = PLACES[place]
    wrong = []
    for byte in range(0x100):
        raw = request.replace(b"<>", bytes([byte]))
        expected = "taken" if byte in allowed else "incomplete" if byte in more else "refused"
        for way in ("whole", "bytes") if byte % 4 == 2 else ("whole",):  # a sample, LF in it
            found = converse(pieces(raw, way))
            said = "refused" if found.status else "incomplete" if found.cut else "taken"
            if said != expected or len(found.accepted) != (said == "taken"):
                wrong.append((hex(byte), way, said, found.status))
    assert not wrong
