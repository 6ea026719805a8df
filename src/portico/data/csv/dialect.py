"""How a CSV file separates and quotes: dialects, by name or by their parts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from portico.errors import ConfigError

__all__ = ["DIALECTS", "EXCEL", "TSV", "UNIX", "Dialect", "chosen"]

_PRESERVED = "\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """How fields and records are told apart. Raises ``ConfigError`` for what cannot be read back.

    ``delimiter``: between fields, one character. ``quote``: around fields that hold a delimiter, a quote or
    the end of a line; ``None``: nothing is quoted. ``double_quote``: a quote in a quoted field is written
    twice. ``escape``: the character after it loses its meaning. ``skip_initial_space``: spaces after a
    delimiter are not part of the field. ``comment``: lines that begin so are none of the data, when reading.
    ``line_end``: that of records that are written; all kinds are read, mixed or not.

    The defaults are those of RFC 4180.
    """

    delimiter: str = ","
    quote: str | None = '"'
    escape: str | None = None
    double_quote: bool = True
    line_end: str = "\r\n"
    skip_initial_space: bool = False
    comment: str | None = None

    def __post_init__(self) -> None:
        special = {name: getattr(self, name) for name in ("delimiter", "quote", "escape")}
        for name, value in special.items():
            if value is None and name != "delimiter":
                continue
            if not isinstance(value, str) or len(value) != 1 or value in _PRESERVED:
                raise ConfigError(f"{name}={value!r}: expected one character that ends no line")
        given = [value for value in special.values() if value is not None]
        if len(set(given)) != len(given):
            raise ConfigError(f"delimiter, quote and escape must differ: {special}")
        if self.line_end not in ("\r\n", "\n", "\r"):
            raise ConfigError(f"line_end={self.line_end!r}: expected '\\r\\n', '\\n' or '\\r'")
        if self.comment is not None and (not self.comment or set(self.comment) & {*given, *_PRESERVED}):
            raise ConfigError(f"comment={self.comment!r}: expected what begins no record")

    def but(self, **changes: Any) -> Dialect:
        """A copy with some parts changed."""
        return replace(self, **changes)


EXCEL = Dialect()
"""Commas, quotes where they are needed, lines that end as on Windows: RFC 4180."""
UNIX = Dialect(line_end="\n")
"""As ``EXCEL``, with line ends as on Unix."""
TSV = Dialect(delimiter="\t", line_end="\n")
"""Tabs; quoted as CSV is, which is what spreadsheets do."""

DIALECTS = {"excel": EXCEL, "unix": UNIX, "tsv": TSV}


def chosen(dialect: Dialect | str | None, parts: dict[str, Any]) -> Dialect | None:
    """The dialect that a caller asks for, by itself or by ``parts`` that are not ``None``; ``None``: nobody
    said which, so that it is to be found. Raises ``ConfigError`` for a name that is no dialect."""
    given = {name: value for name, value in parts.items() if value is not None}
    if isinstance(dialect, str):
        if dialect not in DIALECTS:
            raise ConfigError(f"dialect {dialect!r} is not known (known are {', '.join(DIALECTS)})")
        dialect = DIALECTS[dialect]
    if dialect is None and "delimiter" not in given:
        return None
    # An empty delimiter is none, and refused; the others are left out by it.
    return (dialect or EXCEL).but(
        **{name: value if name == "delimiter" else value or None for name, value in given.items()}
    )
