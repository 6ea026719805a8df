"""Which characters the bytes of a body mean: by its header, a byte order mark, the document, or by looking
at it.

Names are read as browsers read them (the Encoding standard of the WHATWG): who says ISO-8859-1 means
windows-1252, and who says GB2312 means GB18030. Codecs of Python that are no character encodings of the
web, UTF-7 above all, are not used whatever a server says: they let harmless bytes turn into markup.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator
from functools import partial

from portico.charsets.faults import lenient
from portico.charsets.labels import LABELS
from portico.charsets.pages import named_by_page
from portico.charsets.short import SHORT, charset_of_short
from portico.errors import LimitExceeded

__all__ = [
    "bytes_needed",
    "charset_declared",
    "charset_of",
    "charset_of_beginning",
    "charset_told",
    "decoded",
    "known",
    "text_lines",
]

_PARAMETER = re.compile(r';[ \t]*charset[ \t]*=[ \t]*(?:"([^"]*)"|([^;"\s]*))', re.IGNORECASE)
_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_MARK = 4  # bytes of a byte order mark, and of JSON that tell its charset
_HEAD = 1024  # bytes in which a page says what it is written in (HTML standard, 13.2.3.2)
_XML = re.compile(rb"""<\?xml[^>]*?\sencoding\s*=\s*["']([A-Za-z][A-Za-z0-9._-]*)["']""")
_DETECTED = 1 << 18  # bytes that a detector is shown: it is slow, and sees enough
_FALLBACK = "cp1252"
_ASCII = bytes(range(128))


def known(label: str) -> str | None:
    """The codec of Python for a charset's name; ``None`` for none that is to be used."""
    return LABELS.get(label.strip(" \t\r\n\f\"'").lower())


def charset_of(content: bytes, content_type: str) -> str:
    """The charset of a whole body."""
    return _charset(content, content_type, whole=True)


def charset_of_beginning(content: bytes, content_type: str) -> str:
    """The charset of what begins with ``content``, which may end in the middle of a character."""
    return _charset(content, content_type, whole=False)


def _charset(content: bytes, content_type: str, *, whole: bool) -> str:
    found = charset_told(content, content_type)
    if found is not None:
        return found
    if _is_json(content_type):
        return _of_json(content)
    try:
        codecs.utf_8_decode(content, "strict", whole)
    except UnicodeDecodeError:
        return _detected(content)
    return "utf-8"


def decoded(content: bytes, charset: str) -> str:
    """A body as text, without a byte order mark; what cannot be decoded becomes U+FFFD.

    Raises ``LookupError`` for a charset that Python does not have.
    """
    return content.decode(charset, lenient(charset)).removeprefix("\ufeff")


def text_lines(
    pieces: Iterable[bytes], content_type: str, limit: int, charset: str | None = None
) -> Iterator[str]:
    r"""Lines of text, without their ends (``\n``, ``\r\n``), as their bytes come.

    Where nothing tells the charset, it is UTF-8. Raises ``LimitExceeded`` for a line of more than ``limit``
    characters.
    """
    decoder = None
    waiting: list[str] = []
    length = 0
    for piece in pieces if charset else _with_beginning(pieces, content_type):
        if decoder is None:
            name = charset or charset_told(piece, content_type) or "utf-8"
            decoder = codecs.getincrementaldecoder(name)(lenient(name))
            text = decoder.decode(piece).removeprefix("\ufeff")
        else:
            text = decoder.decode(piece)
        *lines, rest = text.split("\n")
        for line in lines:
            length += len(line)
            _check_line(length, limit)
            yield "".join([*waiting, line]).removesuffix("\r")
            waiting, length = [], 0
        waiting.append(rest)
        length += len(rest)
        _check_line(length, limit)
    last = "".join([*waiting, "" if decoder is None else decoder.decode(b"", True)])
    if last:
        yield last.removesuffix("\r")


def _check_line(length: int, limit: int) -> None:
    if length > limit:
        raise LimitExceeded(f"a line of more than {limit} characters", "line", 413)


def bytes_needed(content_type: str) -> int:
    """How many bytes of a body it takes to know what it says of its charset: those of a mark, or those in
    which a document says it."""
    kind = content_type.partition(";")[0].strip().lower()
    if _PARAMETER.search(content_type) is None and ("html" in kind or "xml" in kind or not kind):
        return _HEAD
    return _MARK


def _with_beginning(pieces: Iterable[bytes], content_type: str) -> Iterator[bytes]:
    """The pieces, of which the first tells the charset, if anything does."""
    least, untyped = bytes_needed(content_type), not content_type.partition(";")[0].strip()
    gathered = bytearray()
    rest = iter(pieces)
    for piece in rest:
        gathered += piece
        if len(gathered) >= (_MARK if untyped and not _begins_as_markup(gathered) else least):
            break
    if gathered:
        yield bytes(gathered)
    yield from rest


def charset_told(content: bytes, content_type: str) -> str | None:
    """The charset by the header, else a byte order mark, else the document itself; ``None`` where nothing
    says it. ``content``: its beginning, of ``bytes_needed`` at least."""
    found = charset_declared(content, content_type)
    if found is not None:
        return found
    for mark, name in _BOMS:
        if content.startswith(mark):
            return name
    return _in_document(content, content_type)


def charset_declared(content: bytes, content_type: str) -> str | None:
    """The charset by the header alone; ``None`` where it says none that is known. ``content``: its beginning,
    of two bytes at least."""
    parameter = _PARAMETER.search(content_type)
    if parameter is None:
        return None
    found = known(parameter[1] if parameter[1] is not None else parameter[2])
    return None if found is None else _with_its_order(found, content, parameter[0])


def _with_its_order(name: str, content: bytes, label: str) -> str:
    """UTF-16 without an order is in the one that its mark tells."""
    if name == "utf-16-le" and not label.lower().endswith("le") and content.startswith(codecs.BOM_UTF16_BE):
        return "utf-16-be"
    return name


def _in_document(content: bytes, content_type: str) -> str | None:
    kind = content_type.partition(";")[0].strip().lower()
    if not kind and not _begins_as_markup(content):
        return None
    if kind in ("text/html", "application/xhtml+xml", ""):
        for label in named_by_page(content[:_HEAD]):
            if known(label) is not None:
                return _of_document(label)
    if kind.endswith(("/xml", "+xml")) or kind in ("text/html", ""):
        found = _XML.match(content[:_HEAD].lstrip())
        if found is not None:
            return _of_document(found[1].decode("latin-1"))
    return None


def _begins_as_markup(content: bytes | bytearray) -> bool:
    """Whether what has no type can be a document: else it is taken for plain text, as browsers do."""
    return content.lstrip()[:1] in (b"", b"<")


def _of_document(label: str) -> str | None:
    name = known(label)
    # It was read as bytes of ASCII: what says so cannot be UTF-16.
    return "utf-8" if name is not None and name.startswith("utf-16") else name


def _is_json(content_type: str) -> bool:
    kind = content_type.partition(";")[0].strip().lower()
    return kind == "application/json" or kind.endswith("+json")


def _of_json(content: bytes) -> str:
    """By where the zeros of its first characters are, which are ASCII (RFC 4627, 3)."""
    zeros = tuple(byte == 0 for byte in content[:4])
    patterns: dict[tuple[bool, ...], str] = {
        (True, True, True, False): "utf-32-be",
        (True, False, True, False): "utf-16-be",
        (False, True, True, True): "utf-32-le",
        (False, True, False, True): "utf-16-le",
    }
    return patterns.get(zeros, "utf-8")


def _detected(content: bytes) -> str:
    """By looking at it; where no library can, as browsers read what says nothing."""
    if len(content.translate(None, _ASCII)) < SHORT and b"\0" not in content:
        return charset_of_short(content, partial(_guessed, content))
    return _guessed(content) or _FALLBACK


def _guessed(content: bytes, among: list[str] | None = None) -> str | None:
    """What a detector thinks."""
    try:
        from charset_normalizer import from_bytes
    except ImportError:
        return None
    best = from_bytes(content[:_DETECTED], cp_isolation=among).best()
    name = None if best is None else _of_the_web(best.encoding)
    # Of two bytes each, all texts have some that are zero: line ends, spaces, digits.
    return None if name is not None and name.startswith("utf-16") and b"\0" not in content else name


def _of_the_web(codec: str) -> str | None:
    """A codec, by any of its names in Python, as the web has it; ``None`` if the web has not."""
    by_label = known(codec) or known(codec.replace("_", "-"))
    name = codecs.lookup(codec).name
    return by_label or next((each for each in LABELS.values() if codecs.lookup(each).name == name), None)
