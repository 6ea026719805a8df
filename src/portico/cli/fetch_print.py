"""Messages on stdout: for people on a terminal, as they are everywhere else."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Protocol

from portico.cli.fetch_text import indented, is_binary, is_json, safe_text, texts
from portico.client.response import Response

__all__ = ["Head", "Printer", "Raw", "Shown"]

_SET_OUT = 1 << 20
"""Bytes of a JSON document that are set out by its structure; larger ones are shown as they come."""
_START, _NAME = r"\A.*", r"(?m)^[^\s:]+:"
_COLOURED = 1 << 17
"""Characters that are coloured, which takes a second for so many millions."""


class Head(NamedTuple):
    """First line and fields of a request or an answer."""

    start: str
    fields: list[tuple[str, str]]

    @classmethod
    def of_bytes(cls, data: bytes) -> Head:
        """A head as it is sent."""
        start, *lines = data.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
        pairs = [line.partition(":")[::2] for line in lines]
        return cls(start, [(name, value.strip()) for name, value in pairs])

    @classmethod
    def of_answer(cls, response: Response) -> Head:
        """The head of an answer; of what no server has answered, without a version of HTTP."""
        version = f"{response.version} " if response.url.scheme.startswith("http") else ""
        start = f"{version}{response.status} {response.reason}".rstrip()
        return cls(start, response.headers.pairs)


class Printer(Protocol):
    """Prints the parts of messages in their order."""

    def head(self, head: Head) -> None:
        """A head and the empty line after it."""
        ...

    def body(self, pieces: Iterator[bytes], content_type: str) -> None:
        """A body as it comes."""
        ...

    def gap(self) -> None:
        """Between two messages."""
        ...

    def note(self, text: str) -> None:
        """A line of ours."""
        ...


class Raw:
    """The bytes of messages, to ``out``."""

    def __init__(self, out: Any) -> None:
        self._out = out

    def head(self, head: Head) -> None:
        lines = [head.start, *(f"{name}: {value}" for name, value in head.fields)]
        self._write("".join(f"{line}\r\n" for line in [*lines, ""]).encode("latin-1"))

    def body(self, pieces: Iterator[bytes], content_type: str) -> None:
        for piece in pieces:
            self._write(piece)

    def gap(self) -> None:
        self._write(b"\n\n")

    def note(self, text: str) -> None:
        self._write(f"{text}\n".encode())

    def _write(self, data: bytes) -> None:
        self._out.write(data)
        self._out.flush()


class Shown:
    """Text that orders a terminal nothing. ``colours``, and ``formats`` (heads in columns, JSON by its
    structure), where wanted; ``streams``: without waiting for the end of a document."""

    def __init__(self, *, colours: bool, formats: bool, streams: bool) -> None:
        self._colours = colours
        self._formats = formats
        self._streams = streams
        self._console: Any = None
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(errors="backslashreplace")

    def head(self, head: Head) -> None:
        fields = [(_shown(name), _shown(value)) for name, value in head.fields]
        width = max((len(name) for name, _ in fields), default=0) + 2 if self._formats else 0
        lines = [f"{name + ': ':{width}}{value}" for name, value in fields]
        text = "\n".join([_shown(head.start), *lines, "", ""])
        if self._colours:
            self._coloured(text, {_START: "bold", _NAME: "cyan"})
        else:
            self._print(text)

    def body(self, pieces: Iterator[bytes], content_type: str) -> None:
        first = next(pieces, b"")
        if not first:
            return
        if is_binary(first, content_type):
            kind = safe_text(content_type.partition(";")[0]) or "no known type"
            self.note(f"(a body of bytes, {kind}, is not shown on a terminal: -o FILE or a pipe takes it)")
            return
        if is_json(content_type) and not self._streams and (self._formats or self._colours):
            self._document(first, pieces, content_type)
        else:
            self._text(texts(first, pieces, content_type))

    def gap(self) -> None:
        self._print("\n")

    def note(self, text: str) -> None:
        self._print(f"{text}\n")

    def _document(self, first: bytes, pieces: Iterator[bytes], content_type: str) -> None:
        data = first
        while len(data) <= _SET_OUT and (piece := next(pieces, b"")):
            data += piece
        if len(data) > _SET_OUT:
            self._text(texts(data, pieces, content_type))
            return
        text = "".join(texts(data, iter(()), content_type))
        set_out = indented(text) if self._formats else text
        text = f"{safe_text((text if set_out is None else set_out).rstrip())}\n"
        if self._colours and len(text) <= _COLOURED:
            self._coloured(text)
        else:
            self._print(text)

    def _text(self, parts: Iterator[str]) -> None:
        last = ""
        for part in parts:
            if part:
                last = part
                self._print(safe_text(part))
        if not last.endswith("\n"):
            self._print("\n")

    def _coloured(self, text: str, styles: Mapping[str, str] | None = None) -> None:
        """``text`` in colours: by ``styles`` of patterns, or as JSON."""
        from rich.console import Console
        from rich.highlighter import JSONHighlighter
        from rich.text import Text

        if self._console is None:
            self._console = Console(
                soft_wrap=True, force_terminal=True, highlight=False, legacy_windows=False
            )
        shown = Text(text)
        if styles is None:
            JSONHighlighter().highlight(shown)
        for pattern, style in (styles or {}).items():
            shown.highlight_regex(pattern, style)
        self._console.print(shown, end="", soft_wrap=True)

    def _print(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()


def _shown(text: str) -> str:
    """A field's text, which servers send in UTF-8, against the rules."""
    if not text.isascii():
        raw = text.encode("latin-1")
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError:
            pass
    return safe_text(text.replace("\t", " ").replace("\n", "\\n"))
