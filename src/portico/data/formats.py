"""Formats by name: records from any source, and records to any sink.

::

    for record in read("https://example.org/prices.csv.gz"):
        ...
    write(records, "prices.jsonl")

Others register theirs::

    register_format(Format("ini", read=read_ini, suffixes=("ini",)))
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from portico.data.options import check_options
from portico.data.sinks import Sink, sink
from portico.data.sources import Source, source
from portico.errors import ConfigError, DataError

__all__ = ["Format", "format_names", "format_of", "read", "register_format", "write"]

Reader = Callable[..., Iterator[Any]]
"""From a ``Source`` and options to records."""
Writer = Callable[..., None]
"""From records, a ``Sink`` and options."""

_SNIFFED = 4096
"""Bytes at the beginning of a source by which its format is told."""


@dataclass(frozen=True, slots=True)
class Format:
    """A format. ``read(source, **options)`` gives records, ``write(records, sink, **options)`` takes them:
    functions, or where to find them (``"module:name"``), which is loaded at first use. ``suffixes`` of files
    and media ``types`` that tell it. ``sniff(beginning)``: whether some first bytes look like it."""

    name: str
    read: Reader | str | None = None
    write: Writer | str | None = None
    suffixes: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    sniff: Callable[[bytes], bool] | None = None

    def reader(self) -> Reader:
        """``read``, loaded. Raises ``ConfigError`` for a format that is only written."""
        reader: Reader = _loaded(self.read, f"{self.name} cannot be read")
        return reader

    def writer(self) -> Writer:
        """``write``, loaded. Raises ``ConfigError`` for a format that is only read."""
        writer: Writer = _loaded(self.write, f"{self.name} cannot be written")
        return writer


def _loaded(found: Any, refusal: str) -> Any:
    if found is None:
        raise ConfigError(refusal)
    if isinstance(found, str):
        module, _, name = found.partition(":")
        return getattr(import_module(module), name)
    return found


_FORMATS: dict[str, Format] = {}


def register_format(given: Format) -> None:
    """Let ``read`` and ``write`` know a format, in the place of one of the same name. Where several fit, the
    one that came last is taken: what others register goes before ours, of which CSV fits most texts."""
    _FORMATS[given.name] = given


def format_names() -> list[str]:
    """The names of those that are known."""
    return sorted(_FORMATS)


def format_of(given: Source | Sink, name: str | None = None) -> Format:
    """The format of that name; else of a source or sink, by its media type, its suffix, or how it begins.
    Raises ``ConfigError`` for an unknown name, and for a sink of which nothing tells; ``DataError`` for such
    a source."""
    if name is not None:
        found = _FORMATS.get(name)
        if found is None:
            raise ConfigError(f"format {name!r} is not known (known are {', '.join(format_names())})")
        return found
    kind = getattr(given, "content_type", "").partition(";")[0].strip().lower()
    for each in reversed(_FORMATS.values()):
        if kind in each.types:
            return each
    for each in reversed(_FORMATS.values()):  # application/problem+json, RFC 6839
        if "+" in kind and kind.rpartition("+")[2] in each.suffixes:
            return each
    for each in reversed(_FORMATS.values()):
        if given.suffix in each.suffixes:
            return each
    if not isinstance(given, Source):
        known = ", ".join(each for each in format_names() if _FORMATS[each].write is not None)
        raise ConfigError(f"{given.name}: its name tells no format; pass format= one of {known}")
    beginning = given.peek(_SNIFFED)
    for each in reversed(_FORMATS.values()):
        if each.sniff is not None and each.sniff(beginning):
            return each
    known = ", ".join(each for each in format_names() if _FORMATS[each].read is not None)
    what = "nothing tells its format" if beginning else "there is nothing in it"
    raise DataError(f"{what}; pass format= one of {known}", source=given.name)


def read(what: Any, format: str | None = None, **options: Any) -> Iterator[Any]:  # noqa: A002
    """Records of anything that ``source`` takes, one by one while it arrives.

    ``format``: its name; else the media type tells, the suffix, or how it begins. Of ``options``, those of
    ``source`` go there, all others to the format's reader. What was opened is closed at the end of the
    iteration. Raises ``DataError``, ``LimitExceeded``, what ``source`` does, and ``TypeError`` for an option
    that neither has.
    """
    here = {name: options.pop(name) for name in _OF_SOURCES if name in options}
    opened = source(what, **here)
    try:
        form = format_of(opened, format)
        reader = form.reader()
        check_options(options, reader, 1, f"read() of {form.name}", _OF_SOURCES)
        made = reader(opened, **options)
    except BaseException:
        opened.close()
        raise
    return _closing(made, opened)


def _closing(records: Iterator[Any], opened: Source) -> Iterator[Any]:
    with opened:
        yield from records


def write(records: Iterable[Any], where: Any, format: str | None = None, **options: Any) -> None:  # noqa: A002
    """Write records to anything that ``sink`` takes: all of them, or a file is left as it was.

    ``format``: its name; else the suffix tells. ``packing`` goes to ``sink``, other ``options`` to the
    format's writer. Raises ``DataError`` for a record that cannot be written, ``OSError``, ``ConfigError``,
    and ``TypeError`` for an option that the format does not have.
    """
    packing = options.pop("packing", None)
    with sink(where, packing=packing) as out:
        form = format_of(out, format)
        writer = form.writer()
        check_options(options, writer, 2, f"write() of {form.name}", ("packing",))
        writer(records, out, **options)


_OF_SOURCES = ("packing", "member", "encoding", "content_type", "limits", "progress", "name")


def _looks_like_json(beginning: bytes) -> bool:
    return beginning.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"[")


def _looks_like_lines(beginning: bytes) -> bool:
    """Several documents, one in each line."""
    lines = beginning.lstrip(b"\xef\xbb\xbf").splitlines()[:2]
    return len(lines) == 2 and all(
        line.strip().startswith(start) and line.strip().endswith(end)
        for line, (start, end) in zip(lines, ((b"{", b"}"), (b"{", b"")), strict=True)
    )


_OF_NO_TEXT = bytes(range(9)) + bytes(range(0x10, 0x1B)) + b"\x1c\x1d\x1e\x1f"
"""Control characters but those that end lines and pages, and those that change the characters' set."""


def _looks_like_text(beginning: bytes) -> bool:
    """Lines of text: no program, no picture."""
    if b"\n" not in beginning and b"\r" not in beginning:
        return False
    half = len(beginning) // 2
    if beginning.startswith((b"\xff\xfe", b"\xfe\xff")) or any(
        beginning[at::2].count(0) > 0.6 * half and not beginning[1 - at :: 2].count(0) for at in (0, 1)
    ):
        return True  # UTF-16
    return len(beginning.translate(None, _OF_NO_TEXT)) == len(beginning)


_PAGE = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(?><!--.*?-->\s*)*+<(?:!doctype\s+html|html|head|body|table)[\s>]",
    re.IGNORECASE | re.DOTALL,
)
_DOCUMENT = re.compile(rb"(?:\xef\xbb\xbf)?\s*<(?:\?xml\s|!--|!DOCTYPE\s|[A-Za-z_:])")

_OURS = (
    Format(
        "jsonl",
        "portico.data.json:read_lines",
        "portico.data.json:write_lines",
        ("jsonl", "ndjson"),
        ("application/jsonl", "application/x-ndjson", "application/x-jsonlines"),
        _looks_like_lines,
    ),
    Format(
        "json",
        "portico.data.json:read_json",
        "portico.data.json:write_json",
        ("json", "geojson"),
        ("application/json", "text/json"),
        _looks_like_json,
    ),
    Format(
        "html",
        "portico.data.html:read_html",
        "portico.data.html:write_html",
        ("html", "htm", "xhtml"),
        ("text/html", "application/xhtml+xml"),
        lambda beginning: _PAGE.match(beginning) is not None,
    ),
    Format(
        "xml",
        "portico.data.xml:read_xml",
        "portico.data.xml:write_xml",
        ("xml", "rss", "atom", "svg"),
        ("application/xml", "text/xml", "application/rss+xml", "application/atom+xml"),
        lambda beginning: _DOCUMENT.match(beginning) is not None,
    ),
    Format("table", None, "portico.data.table:write_table"),
    Format(
        "tsv",
        "portico.data.csv:read_tsv",
        "portico.data.csv:write_tsv",
        ("tsv", "tab"),
        ("text/tab-separated-values",),
    ),
    Format(
        "csv",
        "portico.data.csv:read_csv",
        "portico.data.csv:write_csv",
        ("csv",),
        ("text/csv", "application/csv"),
        _looks_like_text,  # asked last: most texts look like it
    ),
)
"""In the order in which they are asked."""
for _each in reversed(_OURS):
    register_format(_each)
