"""An open file as the answer to one request: validators, conditions, ranges, and the way out.

What is known about the file comes from ``fstat`` of the descriptor that is sent, so that the entity tag
belongs to the bytes. A file that shrinks while a large answer is under way cuts the connection, since the
promised Content-Length cannot be kept (RFC 9112, 8); a small one is noticed before the head has left.
"""

from __future__ import annotations

import hashlib
import io
import os
import secrets
import time
from typing import TYPE_CHECKING

from portico.errors import EndOfStream
from portico.web.conditions import FIELDS, evaluate, format_date, range_applies
from portico.web.ranges import Multipart, Span, content_range, parse_ranges, unsatisfied

if TYPE_CHECKING:
    from portico.http.exchange import Exchange

__all__ = ["SMALL", "Headers", "answer_file", "bare", "entity_tag", "send_span"]

Headers = list[tuple[str, str]]

SMALL = 65536
"""Up to here reading and one write together with the head beat a ``sendfile`` of its own."""


def answer_file(exchange: Exchange, fd: int, facts: os.stat_result, kind: str, extra: Headers) -> None:
    """Answer GET or HEAD with the file open as ``fd``, or with what conditions and ranges leave of it.

    ``facts`` is its ``fstat``, ``kind`` its media type; ``extra`` headers go with every answer but an
    error. The caller closes ``fd``.
    """
    now = time.time()
    # A date in the future must not be sent (RFC 9110, 8.8.2.1).
    modified = min(facts.st_mtime_ns // 1_000_000_000, int(now))
    etag = entity_tag(facts)
    headers = [("ETag", etag), ("Last-Modified", format_date(modified)), *extra]
    fields = _conditional_fields(exchange)
    verdict = evaluate(fields, exchange.method, etag, modified, now=now) if fields else 200
    if verdict == 304:
        bare(exchange, 304, headers)
    elif verdict == 412:
        exchange.respond_error(412, "A condition of the request does not hold.")
    elif fields and range_applies(fields, exchange.method, etag, modified, now=now):
        _send_ranges(exchange, fd, facts.st_size, kind, headers, fields["range"])
    else:
        _send_whole(exchange, fd, facts.st_size, kind, headers)


def bare(exchange: Exchange, status: int, headers: Headers) -> None:
    """An answer that can have no body; ``respond`` would be free to add a length to it."""
    exchange.start(status, headers)
    exchange.finish()


def entity_tag(facts: os.stat_result) -> str:
    """A strong entity tag. Hashed, since a bare inode number tells about the machine."""
    told = b"%d %d %d" % (facts.st_mtime_ns, facts.st_size, facts.st_ino)
    return f'"{hashlib.blake2b(told, digest_size=10).hexdigest()}"'


def send_span(exchange: Exchange, status: int, headers: Headers, fd: int, span: Span) -> None:
    """Part of a file as the whole body of an answer."""
    if exchange.method == "HEAD" or span.length > SMALL:
        exchange.start(status, [*headers, ("Content-Length", str(span.length))])
        if exchange.method != "HEAD":
            _hand_over(exchange, fd, span)
        exchange.finish()
        return
    data = _read(fd, span)
    if len(data) == span.length:
        exchange.respond(status, headers, data)
    else:
        exchange.respond_error(503, "The file is being changed.", [("Retry-After", "1")])


def _conditional_fields(exchange: Exchange) -> dict[str, str]:
    """The fields that decide about conditions and ranges; in one pass, as most requests have none."""
    fields: dict[str, str] = {}
    for name, value in exchange.headers:
        if name in FIELDS:
            fields[name] = f"{fields[name]}, {value}" if name in fields else value
    return fields


def _send_whole(exchange: Exchange, fd: int, size: int, kind: str, headers: Headers) -> None:
    typed = [("Content-Type", kind), *headers, ("Accept-Ranges", "bytes")]
    send_span(exchange, 200, typed, fd, Span(0, size))


def _send_ranges(exchange: Exchange, fd: int, size: int, kind: str, headers: Headers, asked: str) -> None:
    spans = parse_ranges(asked, size)
    if spans is None:
        _send_whole(exchange, fd, size, kind, headers)
    elif not spans:
        exchange.respond_error(416, f"There are {size} bytes.", [("Content-Range", unsatisfied(size))])
    elif len(spans) == 1:
        placed = [("Content-Type", kind), ("Content-Range", content_range(spans[0], size)), *headers]
        send_span(exchange, 206, placed, fd, spans[0])
    else:
        parts = Multipart(spans, size, kind, secrets.token_hex(16))
        _send_multipart(exchange, headers, fd, spans, parts)


def _send_multipart(
    exchange: Exchange, headers: Headers, fd: int, spans: list[Span], parts: Multipart
) -> None:
    framing = [("Content-Type", parts.media_type), ("Content-Length", str(parts.length))]
    exchange.start(206, [*framing, *headers])
    for head, span in zip(parts.heads, spans, strict=True):
        if span.length > SMALL:
            exchange.write(head)
            _hand_over(exchange, fd, span)
        else:
            exchange.write(head + _read_exactly(fd, span))
    exchange.write(parts.tail)
    exchange.finish()


def _hand_over(exchange: Exchange, fd: int, span: Span) -> None:
    """Zero copy, with a descriptor of its own, as ``send_file`` closes what it gets."""
    exchange.send_file(io.FileIO(os.dup(fd)), span.offset, span.length)


def _read_exactly(fd: int, span: Span) -> bytes:
    data = _read(fd, span)
    if len(data) < span.length:
        missing = span.length - len(data)
        raise EndOfStream(f"the file ended {missing} bytes early while it was sent", data)
    return data


def _read(fd: int, span: Span) -> bytes:
    """The bytes of a span, fewer only if the file has become shorter."""
    data = os.pread(fd, span.length, span.offset)
    while len(data) < span.length:  # network file systems may give less at a time
        more = os.pread(fd, span.length - len(data), span.offset + len(data))
        if not more:
            break
        data += more
    return data
