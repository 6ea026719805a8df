"""Which dialect a text is written in: every candidate reads the beginning, and the one whose records agree
with each other, and whose fields look like values, is it.

The measure is in the spirit of van den Burg, Nazabal and Sutton, "Wrangling messy CSV files by detecting row
and type patterns" (2019): a pattern score times a type score; ours weighs delimiters that are also found in
prose less, and asks more of them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from portico.data.csv.dialect import EXCEL, Dialect
from portico.data.csv.engine import reader
from portico.data.csv.lines import split_lines

__all__ = ["SAMPLE", "announced", "dialect_of"]

SAMPLE = 1 << 16
"""Characters that are looked at."""
_ROWS = 300
_FIELDS = 3000
_WEIGHTS = {",": 1.0, ";": 1.0, "\t": 1.25, "|": 1.1, "\x1f": 0.9, "^": 0.6, "~": 0.6, ":": 0.5, " ": 0.5}
_PROSE = frozenset(" :^~")
"""Delimiters that other texts have, too: they count only where nearly all records agree."""
_STRONG = ",;\t|"
_FAULTY = 0.3
"""Share that is left of the score of a dialect in which the text has faults."""
_UNQUOTED = 0.9
_HEADLESS = 0.6
"""The same, of one that finds nothing to separate in the first line: headers have all columns."""
_MEAGRE = 1e-3
_ENDED = "unexpected end"

_NUMBER = re.compile(r"[ ]*[-+(]?[$€£¥]?[ ]?\d[\d_']*(?:[.,]\d+)*(?:[eE][-+]?\d+)?[ ]?[%€$£)]?[ ]*", re.ASCII)
_CLOCK = r"\d{1,2}:\d\d(?::\d\d(?:[.,]\d+)?)?(?: ?[AaPp][Mm])?"
_DAY = r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}"
_TIME = re.compile(rf"{_DAY}(?:[ T]{_CLOCK}(?:Z|[-+]\d\d:?\d\d)?)?|{_CLOCK}", re.ASCII)
_LINK = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S+|[^\s@,;|]+@[^\s@,;|]+\.[A-Za-z]+", re.ASCII)
_WORDS = re.compile(r"[^,;\t|\"]*")
_SENTENCE = re.compile(r"(?:[^,;\t|\"]|[,;](?=\s)|(?<=\w)\"(?=[\s\w]|$))*")
_SEPARATOR = re.compile(r'(["\']?)sep=(.)\1(?:\r\n|\r|\n|$)', re.IGNORECASE)
_SINGLE = re.compile(r"(?:^|[,;\t|: ])'(?:[^'\r\n]|'')*'(?:$|[,;\t|: \r\n])", re.MULTILINE)


def announced(text: str) -> str | None:
    """The delimiter that a first line ``sep=;`` tells, as Excel writes it; ``None`` without one."""
    found = _SEPARATOR.match(text)
    return None if found is None else found[2]


def dialect_of(sample: str, *, quote: str | None = None) -> Dialect:
    """The dialect of a text, by its beginning; ``quote``: which is known already. What says nothing, such as
    one column or nothing at all, has commas. Of a longer text, 65,536 characters are looked at."""
    told = announced(sample)
    lines = split_lines(sample[:SAMPLE])
    cut = len(sample) >= SAMPLE
    if cut and len(lines) > 1 and not lines[-1].endswith(("\n", "\r")):
        lines.pop()
    lines = [line for line in lines[told is not None :] if line.strip()]
    while len(lines) > 1 and lines[0].startswith("#") and not _alike(lines[0], lines[-1]):
        del lines[0]  # remarks before the table
    text = "".join(lines)
    best, most = EXCEL if told is None else EXCEL.but(delimiter=told), 0.0
    for each in _candidates(text, told, quote):
        score = _score(each, lines, cut)
        if score > most * (1 + 1e-9):
            best, most = each, score
    best = _spaced(best, lines, text, cut)
    ends = Counter(line[len(line.rstrip("\r\n")) :] for line in lines)
    return best.but(line_end=next((end for end, _ in ends.most_common() if end), best.line_end))


def _alike(line: str, other: str) -> bool:
    """Whether a delimiter is in both as often: a header may begin with ``#``."""
    return any(line.count(each) == other.count(each) > 0 for each in _STRONG)


def _candidates(text: str, told: str | None, quote: str | None) -> Iterator[Dialect]:
    """Likely ones first: of equals, the first is taken."""
    delimiters = [told] if told is not None else [each for each in _WEIGHTS if each == "," or each in text]
    quotes: list[str | None] = [quote or '"']
    if quote is None and _SINGLE.search(text):
        quotes.append("'")
    if quote is None and '"' in text and "\t" in delimiters:
        quotes.append(None)  # dumps of data bases, whose titles may begin with a quote
    for mark in quotes:
        for delimiter in delimiters:
            if mark == delimiter or (mark is None and delimiter != "\t"):
                continue
            # Columns of figures that are made with spaces are filled up with them.
            plain = Dialect(delimiter=delimiter, quote=mark, skip_initial_space=delimiter == " ")
            yield plain
            escaped = ("\\" + delimiter) in text or (mark is not None and ("\\" + mark) in text)
            if escaped and delimiter != "\\":
                yield plain.but(escape="\\")


@dataclass(slots=True)
class _Parsed:
    rows: list[list[str]]
    faults: int


def _parsed(dialect: Dialect, lines: list[str], cut: bool) -> _Parsed:
    """What it makes of the lines. That a text which was ``cut`` ends in a quoted field is no fault."""
    made, error = reader(iter(lines), dialect, strict=True)
    found = _Parsed([], 0)
    while len(found.rows) < _ROWS:
        try:
            found.rows.append(next(made))
        except StopIteration:
            break
        except error as fault:
            found.faults += not (cut and _ENDED in str(fault))
            if found.faults > _ROWS:
                break
    return found


def _score(dialect: Dialect, lines: list[str], cut: bool) -> float:
    parsed = _parsed(dialect, lines, cut)
    if not parsed.rows:
        return _MEAGRE * _MEAGRE
    widths = Counter(len(row) for row in parsed.rows)
    (width, times), *_ = sorted(widths.items(), key=lambda each: (each[1], each[0]), reverse=True)
    if dialect.delimiter in _PROSE and not _is_table(parsed.rows, width, times):
        return 0.0
    pattern = max(times / len(parsed.rows) * (1 - 1 / width), _MEAGRE)
    weight = _WEIGHTS.get(dialect.delimiter, 1.0)
    weight *= _FAULTY if parsed.faults else 1.0
    weight *= _HEADLESS if len(parsed.rows[0]) == 1 else 1.0
    weight *= _UNQUOTED if dialect.quote is None else 1.0
    return pattern * weight * _likeness(parsed.rows, dialect)


def _is_table(rows: list[list[str]], width: int, times: int) -> bool:
    """Whether what is separated by spaces or colons is more than prose: names, times of day, links."""
    if len(rows) < 2 or times < 0.9 * len(rows) or width < 2:
        return False
    if (
        sum(_is_link_or_time(" ".join(row)) or _is_link_or_time(":".join(row)) for row in rows)
        > len(rows) / 2
    ):
        return False
    columns = list(zip(*[row for row in rows[1:] if len(row) == width], strict=True))
    numeric = any(all(_NUMBER.fullmatch(value) for value in column) for column in columns)
    return numeric or (width >= 3 and all(all(row) for row in rows))


def _is_link_or_time(text: str) -> bool:
    return bool(_TIME.fullmatch(text) or _LINK.fullmatch(text))


def _likeness(rows: list[list[str]], dialect: Dialect) -> float:
    """How much fields look like values, from 0 to 1."""
    total, count = 0.0, 0
    for row in rows:
        for value in row:
            total += _value(value.strip(), dialect)
            count += 1
        if count >= _FIELDS:
            break
    return total / count if count else _MEAGRE


def _value(text: str, dialect: Dialect) -> float:
    if not text or _NUMBER.fullmatch(text) or _is_link_or_time(text):
        return 1.0
    if text[0] + text[-1] in ("{}", "[]"):
        return 0.9  # JSON, which holds commas and quotes
    if text[0] in "\"'" or text[-1] in "\"'":
        return 0.1  # quotes that were not understood
    if "\\" in text and dialect.escape is None and ("\\" + dialect.delimiter in text or '\\"' in text):
        return 0.3
    if _WORDS.fullmatch(text):
        return 0.2 if text.endswith("\\") and dialect.escape is None else 0.95
    return 0.6 if _SENTENCE.fullmatch(text) else 0.1


def _spaced(dialect: Dialect, lines: list[str], text: str, cut: bool) -> Dialect:
    """With ``skip_initial_space`` where a space stands before quotes, or after every delimiter."""
    if dialect.skip_initial_space or dialect.delimiter + " " not in text:
        return dialect
    mark = dialect.quote
    if mark is not None and re.search(re.escape(dialect.delimiter) + " +" + mark, text):
        skipping = dialect.but(skip_initial_space=True)
        if _score(skipping, lines, cut) > _score(dialect, lines, cut):
            return skipping
    later = [value for row in _parsed(dialect, lines, cut).rows for value in row[1:] if value]
    return dialect.but(skip_initial_space=bool(later) and all(value[0] == " " for value in later))
