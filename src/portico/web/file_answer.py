"""A representation as the answer to one request: conditions, ranges, and the way out.

What is known about a file comes from ``fstat`` of the descriptor that is sent, so that the entity tag
belongs to the bytes. A file that shrinks while a large answer is under way cuts the connection, since the
promised Content-Length cannot be kept (RFC 9112, 8); a small one is noticed before the head has left.
"""

from __future__ import annotations

import io
import os
import secrets
import time
from typing import TYPE_CHECKING, Protocol

from portico.errors import EndOfStream
from portico.web.conditions import FIELDS, evaluate, range_applies
from portico.web.ranges import Multipart, Span, content_range, parse_ranges, unsatisfied
from portico.web.representation import Headers, Representation, read_span

if TYPE_CHECKING:
    from portico.http.exchange import Exchange

__all__ = [
    "SMALL",
    "Refuse",
    "answer_file",
    "answer_representation",
    "bare",
    "conditional_fields",
    "send_span",
]

SMALL = 65536
"""Up to here reading and one write together with the head beat a ``sendfile`` of its own."""


class Refuse(Protocol):
    """How an error is answered."""

    def __call__(self, exchange: Exchange, status: int, detail: str, headers: Headers = ..., /) -> None: ...


def conditional_fields(exchange: Exchange) -> dict[str, str]:
    """The fields that decide about conditions and ranges; in one pass, as most requests have none."""
    fields: dict[str, str] = {}
    for name, value in exchange.headers:
        if name in FIELDS:
            fields[name] = f"{fields[name]}, {value}" if name in fields else value
    return fields


def answer_file(exchange: Exchange, fd: int, facts: os.stat_result, kind: str, extra: Headers) -> None:
    """Answer GET or HEAD with the file open as ``fd``, or with what conditions and ranges leave of it.

    ``facts`` is its ``fstat``, ``kind`` its media type; ``extra`` headers go with every answer but an
    error. The caller closes ``fd``.
    """
    form = Representation(facts, kind, extra, fd=fd, now=time.time())
    answer_representation(exchange, form, conditional_fields(exchange), _refuse)


def answer_representation(
    exchange: Exchange, form: Representation, fields: dict[str, str], refuse: Refuse
) -> None:
    """Answer GET or HEAD with one form of a file, or with what conditions and ranges leave of it.

    ``fields`` are the ``conditional_fields``.
    """
    if not fields:
        _send_whole(exchange, form)
        return
    now = time.time()
    verdict = evaluate(fields, exchange.method, form.etag, form.modified, now=now)
    if verdict == 304:
        bare(exchange, 304, form.about)
    elif verdict == 412:
        refuse(exchange, 412, "A condition of the request does not hold.")
    elif form.ranges and range_applies(fields, exchange.method, form.etag, form.modified, now=now):
        _send_ranges(exchange, form, fields["range"], refuse)
    else:
        _send_whole(exchange, form)


def _refuse(exchange: Exchange, status: int, detail: str, headers: Headers | None = None) -> None:
    exchange.respond_error(status, detail, headers or [])


def bare(exchange: Exchange, status: int, headers: Headers) -> None:
    """An answer that can have no body, nor a length (204, 304)."""
    exchange.respond(status, headers, hold=True)


def send_span(exchange: Exchange, status: int, headers: Headers, form: Representation, span: Span) -> None:
    """Part of a representation as the whole body of an answer."""
    if exchange.method == "HEAD" and not form.data:
        exchange.start(status, [*headers, ("Content-Length", str(span.length))])
        exchange.finish()
        return
    if form.data is not None:
        whole = span.length == form.size
        data = form.data if whole else form.data[span.offset : span.end]
    elif span.length > SMALL:
        exchange.respond_file(status, headers, io.FileIO(form.open()), span.offset, span.length)
        return
    else:
        data = _read(form, span)
    if len(data) == span.length:
        exchange.respond(status, headers, data, hold=True)
    else:
        exchange.respond_error(503, "The file is being changed.", [("Retry-After", "1")])


def _send_whole(exchange: Exchange, form: Representation) -> None:
    send_span(exchange, 200, form.whole, form, Span(0, form.size))


def _send_ranges(exchange: Exchange, form: Representation, asked: str, refuse: Refuse) -> None:
    spans = parse_ranges(asked, form.size)
    if spans is None:
        _send_whole(exchange, form)
    elif not spans:
        refuse(exchange, 416, f"There are {form.size} bytes.", [("Content-Range", unsatisfied(form.size))])
    elif len(spans) == 1:
        placed = [*form.typed, ("Content-Range", content_range(spans[0], form.size)), *form.about]
        send_span(exchange, 206, placed, form, spans[0])
    else:
        _send_multipart(exchange, form, spans)


def _send_multipart(exchange: Exchange, form: Representation, spans: list[Span]) -> None:
    if form.data is not None or form.fd >= 0:
        _send_parts(exchange, form, spans)
        return
    fd = form.open()  # once, before anything leaves: all parts are of one file
    try:
        _send_parts(exchange, form.by_descriptor(fd), spans)
    finally:
        os.close(fd)


def _send_parts(exchange: Exchange, form: Representation, spans: list[Span]) -> None:
    parts = Multipart(spans, form.size, form.kind, secrets.token_hex(16))
    framing = [("Content-Type", parts.media_type), ("Content-Length", str(parts.length))]
    exchange.start(206, [*framing, *form.typed[1:], *form.about])
    for head, span in zip(parts.heads, spans, strict=True):
        if form.data is not None:
            exchange.write(head + form.data[span.offset : span.end])
        elif span.length > SMALL:
            exchange.write(head)
            exchange.send_file(io.FileIO(form.open()), span.offset, span.length)
        else:
            exchange.write(head + _read_exactly(form.fd, span))
    exchange.write(parts.tail)
    exchange.finish()


def _read(form: Representation, span: Span) -> bytes:
    if form.fd >= 0:
        return read_span(form.fd, span.offset, span.length)
    fd = form.open()
    try:
        return read_span(fd, span.offset, span.length)
    finally:
        os.close(fd)


def _read_exactly(fd: int, span: Span) -> bytes:
    data = read_span(fd, span.offset, span.length)
    if len(data) < span.length:
        missing = span.length - len(data)
        raise EndOfStream(f"the file ended {missing} bytes early while it was sent", data)
    return data
