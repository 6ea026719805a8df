"""From the body of a request, or its query, to fields: gathered within limits, then turned into text."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import IO, NoReturn, Self, TypeAlias
from urllib.parse import unquote_to_bytes

from portico.errors import ConfigError, FormError, FormTooLarge
from portico.http.body import Spool
from portico.limits import Limits
from portico.web.forms_charset import decode, known_codec
from portico.web.forms_header import PartHead, parameters
from portico.web.forms_multipart import Multipart
from portico.web.forms_source import Source
from portico.web.forms_upload import Upload

__all__ = ["FormReader", "Value"]

Value: TypeAlias = str | Upload
_Said: TypeAlias = bytes | tuple[int, int]
"""What a part holds: the text of a field, or where in the spool a file begins, and its size."""

_CHUNK = 65536


class FormReader:
    """Reads one form. A context manager: left with an error, it keeps nothing.

    ``body(source)`` and ``pairs(query)`` gather, ``result()`` gives the fields and, where there are files,
    what holds their content, to be closed by its taker. Raises ``ConfigError`` for a ``charset`` that forms
    are not sent in; what the methods raise is told in ``portico.web.forms``.
    """

    def __init__(self, limits: Limits, charset: str, errors: str) -> None:
        codec = known_codec(charset)
        if codec is None:
            raise ConfigError(f"charset={charset!r}: forms are not sent in that encoding")
        self._limits = limits
        self._codec = codec
        self._errors = errors
        self._fields: list[tuple[PartHead, _Said]] = []
        # Text is known as text at the end only: the encoding may be told by the last field.
        self._spool = Spool(limits.body_memory)
        self._memory = self._texts = self._files = 0

    def pairs(self, data: bytes) -> None:
        """Gather ``name=value&name=value`` (WHATWG URL, 5.1)."""
        self._remember(len(data))
        if data.count(b"&") > 2 * self._limits.form_fields:  # before each gets an object of its own
            self._too_many("fields", "form_fields")
        for pair in data.split(b"&"):
            if pair:
                name, _, value = pair.replace(b"+", b" ").partition(b"=")
                head = PartHead(unquote_to_bytes(name))
                self._expect(head)
                self._fields.append((head, unquote_to_bytes(value)))

    def body(self, source: Source) -> None:
        """Gather what the body says."""
        if source.coding.lower() not in ("", "identity"):
            raise FormError(f"the form is coded as {source.coding[:40]!r}; forms are sent as they are", 415)
        if not source.content_type:
            if any(_pieces(source, self._limits)):
                raise FormError("the body has no Content-Type: a form was expected", 415)
            return
        kind, options = parameters(source.content_type, "Content-Type")
        if kind == "multipart/form-data":
            if "boundary" not in options:
                raise FormError("the Content-Type of the form names no boundary")
            self._multipart(source, Multipart(options["boundary"], self._limits.form_header_bytes))
        elif kind == "application/x-www-form-urlencoded":
            if "charset" in options:
                self._codec = _codec_named(options["charset"], "the form")
            self.pairs(self._whole(source))
        else:
            raise FormError(f"the body is {kind[:80]}: a form was expected", 415)

    def result(self) -> tuple[list[tuple[str, Value]], IO[bytes] | None]:
        """What was gathered."""
        codec = next(filter(None, map(_charset_field, self._fields)), self._codec)
        kept = self._spool.file()
        fields = [self._field(head, said, codec, kept) for head, said in self._fields]
        if self._files:
            return fields, kept
        kept.close()
        return fields, None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._spool.close()

    def _whole(self, source: Source) -> bytes:
        if (source.length or 0) > self._limits.form_memory:
            self._remember(source.length or 0)
        body = bytearray()
        for data in _pieces(source, self._limits):
            body += data
            if len(body) > self._limits.form_memory:
                self._remember(len(body))
        return bytes(body)

    def _multipart(self, source: Source, parser: Multipart) -> None:
        head, text, start = PartHead(b""), bytearray(), 0
        for data in _pieces(source, self._limits):
            for event in parser.feed(data):
                if isinstance(event, PartHead):
                    head, text, start = event, bytearray(), self._spool.size
                    self._expect(head)
                    self._remember(len(head.name))
                elif event is None:
                    file = head.filename is not None
                    self._fields.append((head, (start, self._spool.size - start) if file else bytes(text)))
                elif head.filename is None:
                    self._remember(len(event))
                    text += event
                else:
                    self._spool.add(event)
        parser.close()

    def _field(self, head: PartHead, said: _Said, codec: str, kept: IO[bytes]) -> tuple[str, Value]:
        name = decode(head.name, head.name_codec or codec, self._errors, "the name of a field")
        if isinstance(said, bytes):
            own = _codec_named(head.charset, f"the field {name!r}") if head.charset else codec
            return name, decode(said, own, self._errors, f"the field {name!r}")
        own = head.filename_codec or codec
        filename = decode(head.filename or b"", own, self._errors, f"the name of the file in {name!r}")
        return name, Upload(name, filename, head.headers, kept, said)

    def _expect(self, head: PartHead) -> None:
        """Count a field or a file that is coming."""
        if head.filename is None:
            self._texts += 1
            if self._texts > self._limits.form_fields:
                self._too_many("fields", "form_fields")
        else:
            self._files += 1
            if self._files > self._limits.form_files:
                self._too_many("files", "form_files")

    def _remember(self, size: int) -> None:
        self._memory += size
        if self._memory > self._limits.form_memory:
            most = self._limits.form_memory
            raise FormTooLarge(f"the fields of the form are longer than {most} bytes", "form_memory")

    def _too_many(self, what: str, limit: str) -> NoReturn:
        most = getattr(self._limits, limit)
        raise FormTooLarge(f"the form has more than {most} {what}", limit)


def _pieces(source: Source, limits: Limits) -> Iterator[bytes]:
    """The body as it comes. Raises ``FormError`` where it is shorter than its length."""
    left, got, most = source.length, 0, limits.body
    if most is not None and (left or 0) > most:
        raise FormTooLarge(f"the form is longer than {most} bytes", "body")
    while left is None or left > 0:
        data = source.body.read(_CHUNK if left is None else min(left, _CHUNK))
        if not data:
            break
        got += len(data)
        if most is not None and got > most:
            raise FormTooLarge(f"the form is longer than {most} bytes", "body")
        left = None if left is None else left - len(data)
        yield data
    if left:
        raise FormError(f"the form is cut short: {left} of its {source.length} bytes are missing")


def _charset_field(field: tuple[PartHead, _Said]) -> str | None:
    """The encoding that a field ``_charset_`` tells (RFC 7578, 4.6); unknown ones are a text like any."""
    head, said = field
    return (
        known_codec(said.decode("latin-1")) if head.name == b"_charset_" and isinstance(said, bytes) else None
    )


def _codec_named(label: str, what: str) -> str:
    codec = known_codec(label)
    if codec is None:
        raise FormError(f"{what} is in {label[:40]!r}, an encoding that forms are not sent in")
    return codec
