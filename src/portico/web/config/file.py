"""Reading ``portico.toml``: the text, variables of the environment in it, and all that is wrong."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from typing import Any

from portico.errors import ConfigError
from portico.web.config.lines import Lines, Path
from portico.web.config.problems import Problem, Problems
from portico.web.config.reading import BAD, Place, Wrong, read_table
from portico.web.config.settings import Settings

__all__ = ["Filled", "Source", "read_file"]

_VARIABLE = re.compile(r"\$?\$\{([^{}]*)\}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PLACE = re.compile(r"^(.*) \(at (?:line (\d+), column (\d+)|end of document)\)$", re.DOTALL)
_LARGEST = 1 << 20


class Filled(str):
    """A text in which variables of the environment were put; ``written``: as it stands in the file."""

    __slots__ = ("written",)
    written: str


class Source:
    """The text of one configuration file, and the mistakes found in it so far."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []
        self.lines: Lines | None = None

    def note(self, path: Path, message: str) -> None:
        """Note a mistake at a key."""
        line = 0 if self.lines is None else self.lines.of(path)
        self.problems.append(Problem(line, _key(path), message))

    def check(self) -> None:
        """Raises ``Problems`` for what was noted."""
        if self.problems:
            raise Problems(self.file, self.problems)

    def read(self) -> Settings:
        """The settings. Raises ``Problems``, with all that is wrong."""
        found: Any = BAD
        try:
            raw = self._parse()
            if raw is not None:
                place = Place(os.path.dirname(os.path.abspath(self.file)), (), self.note)
                found = read_table(Settings, self._filled(raw, ()), place)
        except RecursionError:
            self.problems.append(Problem(0, "", "nested too deeply: this is no configuration"))
        self.check()
        assert isinstance(found, Settings)
        return found

    def _parse(self) -> dict[str, Any] | None:
        text = self._text()
        if text is None:
            return None
        try:
            raw = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            self._note_syntax(str(error), text)
            return None
        self.lines = Lines(text)
        return raw

    def _text(self) -> str | None:
        try:
            with open(self.file, "rb") as file:
                data = file.read(_LARGEST + 1)
        except OSError as error:
            raise ConfigError(f"cannot read {self.file}: {error.strerror}") from error
        if len(data) > _LARGEST:
            self.problems.append(Problem(0, "", f"larger than {_LARGEST} bytes: this is no configuration"))
            return None
        try:
            return data.decode("utf-8-sig").replace("\r\n", "\n")
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            self.problems.append(Problem(line, "", "not UTF-8, which TOML is written in"))
            return None

    def _note_syntax(self, message: str, text: str) -> None:
        found = _PLACE.match(message)
        if found is None:
            self.problems.append(Problem(0, "", message))
            return
        line = int(found[2]) if found[2] else text.rstrip().count("\n") + 1
        where = f" (column {found[3]})" if found[3] else " (at the end of the file)"
        self.problems.append(Problem(line, "", f"not TOML: {found[1]}{where}"))

    def _filled(self, value: Any, path: Path) -> Any:
        """With ``${NAME}`` replaced in all texts, but not in keys."""
        if isinstance(value, Mapping):
            return {name: self._filled(item, (*path, name)) for name, item in value.items()}
        if isinstance(value, list):
            return [self._filled(item, (*path, index)) for index, item in enumerate(value)]
        if not isinstance(value, str) or "${" not in value:
            return value
        try:
            filled = Filled(_VARIABLE.sub(_variable, value))
        except Wrong as error:
            self.note(path, str(error))
            return value
        filled.written = value
        return filled


def read_file(file: str) -> tuple[Settings, Source]:
    """The settings of a file, and the file itself, for who finds more that is wrong.

    Raises ``Problems``, and ``ConfigError`` for a file that cannot be read at all.
    """
    source = Source(file)
    return source.read(), source


def _variable(found: re.Match[str]) -> str:
    if found[0].startswith("$$"):
        return found[0][1:]
    name = found[1]
    if not _NAME.fullmatch(name):
        raise Wrong(f"${{{name}}} names no variable; write $${{ for these characters themselves")
    if name not in os.environ:
        raise Wrong(f"the variable {name} is not set in the environment")
    return os.environ[name]


def _key(path: Path) -> str:
    """As people write it; tables in lists are counted from 1."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part + 1}]"
        else:
            text += ("." if text else "") + (part if re.fullmatch("[A-Za-z0-9_-]+", part) else f'"{part}"')
    return text
