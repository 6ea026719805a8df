"""What is fuzzed: each parser that reads what a stranger sends, as a function of some bytes.

A target raises for what must not be: an error that is none of the documented ones, a verdict that depends
on how the bytes are cut or on what is remembered, more than the limits allow. ``SEEDS`` are what it begins
with; whoever adds a target adds both.
"""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Callable, Iterable

import pytest

from portico.errors import EndOfStream, FormError
from portico.http.codec import Codec
from portico.http.messages import End, ResponseHead, Signal
from portico.http.states import Role
from portico.limits import Limits
from portico.web.cgi_output import Head, HeadReader, ProgramError
from portico.web.forms import read_form
from tests.fuzz.data_targets import DATA_SEEDS, DATA_TARGETS
from tests.fuzz.pieces import cut
from tests.http.dialogue import REFUSALS, converse
from tests.http.rules import rules
from tests.peers import corpus

__all__ = ["SEEDS", "TARGETS"]

LIMITS = Limits(
    request_line=300,
    headers=12,
    header_bytes=1500,
    body=2000,
    chunk_extension_bytes=60,
    form_fields=8,
    form_memory=1000,
)

_TEXT = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9a-z]+")


def requests(data: bytes) -> None:
    """The codec as a server: the first byte says how the rest is cut."""
    step, raw = data[0] if data else 0, data[1:]
    whole = converse([raw], LIMITS)
    parted = converse(cut(raw, step), LIMITS)
    assert parted.accepted == whole.accepted
    assert (parted.closed, parted.cut) == (whole.closed, whole.cut)
    assert converse([raw], LIMITS, memo=False) == whole
    again = converse([raw, raw], LIMITS)
    assert again.accepted[: len(whole.accepted)] == whole.accepted
    for request in whole.accepted:
        assert len(request.headers) <= LIMITS.headers
        assert len(request.body) <= (LIMITS.body or 0)
        assert len(request.target) <= LIMITS.request_line
        _check_fields(request.headers)
        _check_fields(request.trailers)
        assert sum(name == "host" for name, _ in request.headers) <= 1


def responses(data: bytes) -> None:
    """The codec as a client: the first byte says what was asked, and how the rest is cut."""
    kind, raw = data[0] if data else 0, data[1:]
    method = ("GET", "HEAD", "CONNECT", "POST")[kind % 4]
    assert _answer(method, [raw]) == _answer(method, cut(raw, kind // 4))


def _answer(method: str, fed: Iterable[bytes]) -> list[object]:
    codec = Codec(Role.CLIENT, LIMITS)
    target = "a:1" if method == "CONNECT" else "/"
    headers = [("Host", "a"), ("Connection", "upgrade"), ("Upgrade", "x")]
    codec.send_request(method, target, headers, body_length=0)
    said: list[object] = []
    body = b""
    try:
        for piece in [*fed, b""]:
            codec.feed(piece)
            while not isinstance(event := codec.next_event(), Signal):
                if isinstance(event, bytes):
                    body += event
                elif isinstance(event, ResponseHead):
                    _check_fields(event.headers)
                    said.append((event.status, event.reason, event.headers, event.body_length))
                elif isinstance(event, End):
                    _check_fields(event.trailers)
                    said.append(("end", event.trailers))
    except REFUSALS as error:
        said.append("cut" if isinstance(error, EndOfStream) else "refused")
    return [*said, body]


def cgi_output(data: bytes) -> None:
    """The head of a CGI program's answer: the first byte says of which kind, and how the rest is cut."""
    kind, raw = data[0] if data else 0, data[1:]
    nph = bool(kind & 1)
    whole = _head([raw], nph)
    assert whole == _head(cut(raw, kind >> 1), nph)
    if isinstance(whole, Head):
        assert 200 <= whole.status <= 599
        _check_fields([(name.lower(), value) for name, value in whole.headers])
        assert all(name.lower() not in ("transfer-encoding", "connection") for name, _ in whole.headers)


def _head(fed: Iterable[bytes], nph: bool) -> Head | str:
    reader = HeadReader(1000, nph=nph)
    try:
        for piece in fed:
            head = reader.feed(piece)
            if head is not None:
                return head
        return "incomplete"
    except ProgramError as error:
        return f"refused ({error.status})"


def forms(data: bytes) -> None:
    """A form: the first byte says of which kind, and by how much it is read at a time."""
    kind, raw = data[0] if data else 0, data[1:]
    content_type = (
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=b",
        'multipart/form-data; boundary="b b"; charset=latin-1',
        raw.partition(b"\n")[0].decode("latin-1"),
    )[kind % 4]
    body = raw.partition(b"\n")[2] if kind % 4 == 3 else raw
    assert _fields(content_type, io.BytesIO(body), len(body)) == _fields(
        content_type, _Slow(body, kind // 4 + 1), len(body)
    )


class _Slow(io.BytesIO):
    """Gives no more than so many bytes at a time."""

    def __init__(self, data: bytes, most: int) -> None:
        super().__init__(data)
        self._most = most

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(self._most if size is None or size < 0 else min(size, self._most))


def _fields(content_type: str, body: io.BytesIO, length: int) -> object:
    environ = {
        "REQUEST_METHOD": "POST",
        "CONTENT_TYPE": content_type,
        "CONTENT_LENGTH": str(length),
        "QUERY_STRING": "",
        "wsgi.input": body,
    }
    try:
        with read_form(environ, limits=LIMITS) as form:
            assert len(form.fields) <= LIMITS.form_fields
            return [
                (name, value if isinstance(value, str) else (value.filename, value.file.read()))
                for name, value in form.fields
            ]
    except FormError as error:
        return error.status


# What they have in common


def _check_fields(fields: Iterable[tuple[str, str]]) -> None:
    for name, value in fields:
        assert _NAME.fullmatch(name), name
        assert _TEXT.fullmatch(value), value
        assert value == value.strip(" \t")


TARGETS: dict[str, Callable[[bytes], None]] = {
    "requests": requests,
    "responses": responses,
    "cgi-output": cgi_output,
    "forms": forms,
    **DATA_TARGETS,
}


def _raw_requests() -> list[bytes]:
    found = [rule.raw for rule in rules()]
    try:
        cases = json.loads((corpus("http1") / "requests.json").read_text())["cases"]
    except pytest.skip.Exception:
        return found
    return found + [base64.b64decode(case["raw_base64"]) for case in cases]


def _responses() -> list[bytes]:
    heads = [b"200 OK", b"101 Switching Protocols", b"103 ", b"204 No Content", b"304", b"999 x"]
    fields = [b"Content-Length: 5", b"Transfer-Encoding: chunked", b"Connection: close", b"A: b\r\n c"]
    bodies = [b"hello", b"5\r\nhello\r\n0\r\nX: y\r\n\r\n"]
    return [
        b"HTTP/1.%d %b\r\n%b\r\n\r\n%b" % (number % 2, head, field, body)
        for number, head in enumerate(heads)
        for field in fields
        for body in bodies
    ]


_FIELD = b"--b\r\nContent-Disposition: form-data; name=c\r\n\r\n\xc3\xa9\r\n"
_FILE = (
    b"--b\r\nContent-Disposition: form-data; name=\"a\"; filename*=UTF-8''%e2%82%ac\r\n"
    b"Content-Type: a/b\r\n\r\nhello\r\n"
)

SEEDS: dict[str, Callable[[], list[bytes]]] = {
    "requests": lambda: [b"\x05" + raw for raw in _raw_requests() if len(raw) < 4000],
    "responses": lambda: [bytes([number]) + raw for number, raw in enumerate(_responses())],
    "cgi-output": lambda: [
        b"\0Content-Type: text/html\n\nhello",
        b"\0Status: 404 Not Found\r\nContent-Length: 5\r\nX: y\r\n\r\nhello",
        b"\0Location: /a\n\n",
        b"\0Location: http://a/\nSet-Cookie: a=b\nSet-Cookie: c=d\n\n",
        b"\1HTTP/1.1 200 OK\r\nConnection: x\r\nX: y\r\n\r\n",
    ],
    "forms": lambda: [
        b"\0a=b&c=%20d+e&&f&=g&a=%zz;h=i",
        b"\1" + _FILE + _FIELD + b"--b--\r\n",
        b'\2--b b\r\nContent-Disposition: form-data; name="_charset_"\r\n\r\nutf-8\r\n--b b--',
        b"\3multipart/form-data; boundary=x; charset=y\n--x\r\n\r\n--x--",
    ],
    **DATA_SEEDS,
}
