"""Records that are taken many at once are those that are taken one by one, with the same faults in the same
places."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.data import csv
from portico.data.csv import lines, reading
from portico.errors import DataError


@dataclass
class Thing:
    number: int
    name: str
    day: date | None = None
    share: float = 0.5

    def __post_init__(self) -> None:
        if self.number == 13:
            raise ValueError("13 is not wanted")


FIELDS = [
    "7",
    "-3",
    "13",
    "x",
    "1_0",
    "",
    "2026-11-28",
    "a,b",
    'say "so"',
    "two\nlines",
    "end\r\n",
    "1.5",
    " 8 ",
]
RECORDS = st.lists(st.lists(st.sampled_from(FIELDS), min_size=0, max_size=5), max_size=40)
BROKEN = st.sampled_from(["", '"never closed', 'a"b,c"d\n', '"x"y,2\n', "\n\n", "1,\x00,2\n"])


def quoted(field: str) -> str:
    doubled = field.replace('"', '""')
    return f'"{doubled}"' if set(field) & set(',"\n\r') else field


def text_of(records: list[list[str]], broken: str, at: int) -> str:
    rows = [",".join(map(quoted, row)) for row in records]
    parts = [row + "\n" for row in rows]
    parts.insert(min(at, len(parts)), broken)
    return "number,name,day,share\n" + "".join(parts)


def outcome(text: str, pieces: int, read: Any) -> list[object]:
    """Records and errors, in the order in which they came."""
    found: list[object] = []
    data = text.encode()

    def taken() -> Iterator[bytes]:
        for at in range(0, len(data), pieces):
            yield data[at : at + pieces]

    def fault(error: DataError) -> None:
        found.append(str(error))

    try:
        found.extend(read(taken(), fault))
    except DataError as error:
        found.append(f"raised: {error}")
    return found


READS = {
    "rows": lambda what, fault: csv.rows(what, delimiter=",", on_error=fault),
    "rows of one width": lambda what, fault: csv.rows(what, delimiter=",", on_error=fault, ragged="error"),
    "dicts": lambda what, fault: csv.records(what, delimiter=",", on_error=fault),
    "dicts as they are": lambda what, fault: csv.records(what, delimiter=",", on_error=fault, ragged="keep"),
    "typed dicts": lambda what, fault: csv.records(
        what, delimiter=",", on_error=fault, types={"number": int}
    ),
    "instances": lambda what, fault: csv.records(what, delimiter=",", on_error=fault, type=Thing),
    "until the first fault": lambda what, fault: csv.records(what, delimiter=",", type=Thing, ragged="fill"),
    "by a function": lambda what, fault: csv.records(
        what, delimiter=",", on_error=fault, type=Thing, convert={"name": str.upper}
    ),
}


@pytest.mark.parametrize("how", READS)
@given(
    records=RECORDS,
    broken=BROKEN,
    at=st.integers(0, 40),
    size=st.integers(1, 12),
    pieces=st.integers(1, 200),
)
def test_many_at_once_are_as_one_by_one(
    how: str, records: list[list[str]], broken: str, at: int, size: int, pieces: int
) -> None:
    text = text_of(records, broken, at)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "_SLICE", size)
        at_once = outcome(text, pieces, READS[how])
        patch.setattr(reading.Reading, "_at_once", lambda self, lines, dialect: [])
        one_by_one = outcome(text, pieces, READS[how])
    assert at_once == one_by_one


def test_a_large_file_is_taken_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """And a conversion that may be done twice is, where one of many fails; what makes records is not."""
    made: list[int] = []

    @dataclass
    class Counted:
        number: int

        def __post_init__(self) -> None:
            made.append(self.number)

    batches: list[int] = []
    taken = reading.Reading._at_once

    def counted(self: reading.Reading, *given: Any) -> Any:
        rows = taken(self, *given)
        batches.append(len(rows))
        return rows

    monkeypatch.setattr(reading.Reading, "_at_once", counted)
    numbers = [str(number) for number in range(5000)]
    numbers[4321] = "x"
    wrong: list[DataError] = []
    text = "number\n" + "\n".join(numbers)
    found = [each.number for each in csv.records(text.encode(), type=Counted, on_error=wrong, delimiter=",")]
    assert found == made == [number for number in range(5000) if number != 4321]
    assert [(error.line, error.column) for error in wrong] == [(4323, 1)]
    assert sum(batches) > 4500


def test_long_texts_are_soon_not_tried_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[int] = []
    once = reading.reader

    def counting(given: Any, *how: Any, **more: Any) -> Any:
        if isinstance(given, list):
            tried.append(len(given))
        return once(given, *how, **more)

    monkeypatch.setattr(reading, "reader", counting)
    text = "a,b\n" + '1,"two\nlines"\n' * 100_000
    assert sum(1 for _ in csv.records(text.encode(), delimiter=",")) == 100_000
    assert len(tried) < 30
