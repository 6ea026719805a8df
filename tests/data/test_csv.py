"""CSV: rows and dicts while they arrive, headers, what is wrong with a record, what hostile ones can do."""

from __future__ import annotations

import csv as standard_csv
import gzip
import io
import threading
import tracemalloc
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from portico.data import read, source
from portico.data import write as write_any
from portico.data.csv import Dialect, records, rows, write
from portico.errors import ConfigError, DataError, LimitExceeded
from portico.limits import Limits

TABLE = b"id,name\n1,Anna\n2,Bert\n"


def test_rows_and_dicts() -> None:
    assert list(rows(TABLE)) == [["id", "name"], ["1", "Anna"], ["2", "Bert"]]
    assert list(rows(TABLE, header=True)) == [["1", "Anna"], ["2", "Bert"]]
    assert list(records(TABLE)) == [{"id": "1", "name": "Anna"}, {"id": "2", "name": "Bert"}]
    assert type(next(records(TABLE))) is dict


def test_from_files_archives_and_streams(tmp_path: Path) -> None:
    expected = [{"id": "1", "name": "Anna"}, {"id": "2", "name": "Bert"}]
    (tmp_path / "x.csv.gz").write_bytes(gzip.compress(TABLE))
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("a.csv", TABLE)
        archive.writestr("b.csv", b"x")
    assert list(records(tmp_path / "x.csv.gz")) == expected
    assert list(records(str(tmp_path / "x.zip"), member="a.csv")) == expected
    assert list(records(io.StringIO(TABLE.decode()))) == expected
    assert list(read(io.BytesIO(TABLE))) == expected
    assert list(read(b"id\tname\n1,5\tAnna\n", "tsv")) == [{"id": "1,5", "name": "Anna"}]
    assert next(iter(read(TABLE, "csv", header=False))) == {"column_1": "id", "column_2": "name"}


def test_encodings_are_told() -> None:
    data = "a,ä\n1,€\n".encode("cp1252")
    assert list(rows(data, encoding="cp1252")) == [["a", "ä"], ["1", "€"]]
    assert list(rows(data, content_type="text/csv; charset=windows-1252")) == [["a", "ä"], ["1", "€"]]
    with pytest.raises(DataError, match="no utf-8"):
        list(rows(data, encoding="utf-8"))


def test_utf_16_without_a_mark_is_not_read_as_something_else() -> None:
    for encoding in ("utf-16-le", "utf-16-be"):
        data = "id;name\n1;Anna\n".encode(encoding)
        with pytest.raises(DataError, match="NUL; pass encoding="):
            list(rows(data))
        assert list(rows(data, encoding=encoding)) == [["id", "name"], ["1", "Anna"]]


class Watched(io.BytesIO):
    """A file that tells how far it was read."""

    def read1(self, size: int | None = -1) -> bytes:
        return super().read1(16 if size is None else min(size, 16))


def test_records_come_before_their_source_has_ended() -> None:
    file = Watched(b"a,b\n" + b"1,2\n" * 1000)
    found = records(file, delimiter=",", encoding="utf-8")
    assert next(found) == {"a": "1", "b": "2"}
    assert file.tell() <= 32
    found.close()  # type: ignore[attr-defined]
    assert not file.closed


def opened_files(path: Path) -> int:
    return sum(str(path) == _target(each) for each in Path("/proc/self/fd").iterdir())


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:
        return ""


@pytest.mark.parametrize("read_it", [rows, records])
def test_what_was_opened_is_closed_at_the_end_and_when_it_is_abandoned(tmp_path: Path, read_it: Any) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(TABLE)
    found = read_it(path)
    assert opened_files(path) == 0
    next(found)
    assert opened_files(path) == 1
    found.close()
    assert opened_files(path) == 0
    assert len(list(read_it(path))) >= 2
    path.write_bytes(b'a,b\n1,"2')
    with pytest.raises(DataError):
        list(read_it(path))
    assert opened_files(path) == 0


def test_a_source_that_was_opened_by_others_stays_open(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(TABLE)
    with source(path) as opened:
        assert len(list(rows(opened))) == 3
        assert opened_files(path) == 1


# -- headers


def names(header: bytes, **options: Any) -> list[str]:
    return list(next(records(header + b"\n" + b",".join([b"1"] * (header.count(b",") + 1)), **options)))


def test_columns_of_the_same_name_are_numbered_or_an_error() -> None:
    assert names(b"a,b,a,a") == ["a", "b", "a_2", "a_3"]
    assert names(b"a,a,a_2,a") == ["a", "a_3", "a_2", "a_4"]
    with pytest.raises(DataError, match=r"the bytes, line 2: columns of the same name: 'a', 'c'"):
        list(records(b"\na,b,a,c,c\n", duplicates="error"))


def test_columns_without_a_name() -> None:
    assert names(b",b, ,d") == ["column_1", "b", "column_3", "d"]
    with pytest.raises(DataError, match="names no column"):
        list(records(b",,\n1,2,3\n"))


def test_a_mark_is_not_part_of_a_name() -> None:
    assert names(b"\xef\xbb\xbfa,b") == ["a", "b"]
    assert names(b'\xef\xbb\xbf"a",b') == ["a", "b"]


def test_names_can_be_given_and_changed() -> None:
    assert list(records(b"1,2\n", header=["x", "y"])) == [{"x": "1", "y": "2"}]
    assert names(b"a,b", rename={"a": "x"}) == ["x", "b"]
    assert list(records(b"1,2\n", header=False)) == [{"column_1": "1", "column_2": "2"}]


def test_names_that_would_hide_a_column_are_refused() -> None:
    with pytest.raises(DataError, match="the same name: 'b', 'b'"):
        list(records(b"a,b\n1,2\n", rename={"a": "b"}))
    with pytest.raises(ConfigError, match="must differ"):
        records(b"1,2\n", header=["a", "a"])


def test_nothing_gives_nothing() -> None:
    for data in (b"", b"\n\n", b"a,b\n", b"\xef\xbb\xbf"):
        assert list(records(data)) == []
    assert list(records(b"", header=False)) == []


EVIL = ['"]+__import__("os").abort()#', "'", "\\", "{v0}", "a\nb", "x}", "é\u2028", "\0", "{v0!r}", "%s"]


@pytest.mark.parametrize("types", [None, "auto", dict.fromkeys(EVIL, int)])
def test_names_are_data_and_never_code(types: Any) -> None:
    text = io.StringIO(newline="")
    standard_csv.writer(text).writerows([EVIL, map(str, range(len(EVIL)))])
    (found,) = records(text.getvalue().encode(), delimiter=",", types=types)
    assert list(found) == EVIL
    assert list(map(int, found.values())) == list(range(len(EVIL)))


def test_names_may_hold_half_a_character() -> None:
    data = io.StringIO("a\n1\n")
    assert list(records(data, header=["\ud800"], delimiter=","))[1] == {"\ud800": "1"}


@pytest.mark.parametrize("width", [1, 15, 16, 17, 200, 201, 5000])
def test_tables_of_any_width(width: int) -> None:
    head = ",".join(f"c{n}" for n in range(width))
    body = ",".join(map(str, range(width)))
    (found,) = records(f"{head}\n{body}\n".encode(), delimiter=",")
    assert found == {f"c{n}": str(n) for n in range(width)}
    assert list(found) == head.split(",")


# -- rows of another width


def test_a_row_of_another_width_is_an_error() -> None:
    with pytest.raises(DataError, match="3 fields where there are 2 columns, 1 more") as caught:
        list(records(b"a,b\n1,2\n\n3,4,5\n"))
    assert (caught.value.line, caught.value.column) == (4, 3)
    with pytest.raises(DataError, match="1 fields where there are 2 columns, 1 fewer") as caught:
        list(records(b"a,b\n1,2\n3\n"))
    assert (caught.value.line, caught.value.column) == (3, 2)


def test_a_delimiter_at_the_end_is_no_column() -> None:
    assert list(records(b"a,b,\n1,2,\n3,4\n")) == [{"a": "1", "b": "2"}, {"a": "3", "b": "4"}]
    assert list(records(b"a,b\n1,2,,\n")) == [{"a": "1", "b": "2"}]
    with pytest.raises(DataError, match="3 fields where there are 2"):
        list(records(b"a,b,\n1,2,x\n"))


def test_rows_are_filled_up_or_kept() -> None:
    data = b"a,b\n1\n2,3\n"
    assert list(records(data, ragged="fill")) == [{"a": "1", "b": None}, {"a": "2", "b": "3"}]
    with pytest.raises(DataError, match="1 more"):
        list(records(b"a,b\n1,2,3\n", ragged="fill"))
    data = b"a,b\n1\n2,3,4,5\n6,7\n"
    kept = list(records(data, ragged="keep"))
    assert kept == [
        {"a": "1", "b": None},
        {"a": "2", "b": "3", "column_3": "4", "column_4": "5"},
        {"a": "6", "b": "7"},
    ]
    assert list(rows(b"a,b\n1\n", ragged="fill")) == [["a", "b"], ["1", ""]]
    with pytest.raises(DataError, match="the first record has 2"):
        list(rows(b"a,b\n1\n", ragged="error"))


def test_fields_too_many_have_names_that_no_column_has() -> None:
    data = b"column_3,b\n1,2,3\n1,2,3,4\n1\n"
    kept = list(records(data, ragged="keep"))
    assert kept == [
        {"column_3": "1", "b": "2", "column_3_2": "3"},
        {"column_3": "1", "b": "2", "column_3_2": "3", "column_4": "4"},
        {"column_3": "1", "b": None},
    ]
    for format_ in ("json", "jsonl", "xml", "html"):
        out = io.BytesIO()
        write_any(kept, out, format_)
        assert b"None" not in out.getvalue()
    out = io.BytesIO()
    write_any(kept, out, "csv", header=list(kept[1]), missing="empty")
    assert out.getvalue().splitlines()[1:] == [b"1,2,3,", b"1,2,3,4", b"1,,,"]


def test_a_delimiter_that_is_none() -> None:
    with pytest.raises(ConfigError, match=r"^delimiter='': expected one character"):
        records(b"a,b\n", delimiter="")


def test_empty_lines_are_left_out_or_kept() -> None:
    assert list(rows(b"a\n\nb\n", empty_lines=True)) == [["a"], [], ["b"]]
    assert list(records(b'a\n1\n\n""\n')) == [{"a": "1"}, {"a": ""}]


def test_comments_and_lines_before_the_data() -> None:
    data = b'Report "of\nMay\n#x\n\na,b\n#it\'s, "fine\n1,"two\n#lines"\n#\n'
    assert list(records(data, skip=2, comment="#")) == [{"a": "1", "b": "two\n#lines"}]
    assert list(records(b"a,b\n1,2\n", skip=9)) == []
    errors: list[DataError] = []
    assert list(records(data + b"x\n", skip=2, comment="#", on_error=errors)) != []
    assert [error.line for error in errors] == [10]


# -- what is wrong


def error_of(data: bytes, **options: Any) -> DataError:
    with pytest.raises(DataError) as caught:
        list(rows(data, delimiter=",", **options))
    return caught.value


def test_a_quote_that_is_never_closed_is_named() -> None:
    error = error_of(b'a,b\n1,2\nx\n3,"no\nend\n4,5\n')
    assert str(error) == (
        "the bytes, line 4, column 2: the quote that begins field 2 in line 4 is never closed; "
        "quote='' where nothing is quoted"
    )
    error = error_of(b'a,b\n"1\n2",x,"3\n\n4\n')
    assert (error.line, error.column) == (2, 3)
    assert "field 3 in line 3 " in str(error)
    assert error_of(b'a,b\n1,"').column == 2
    assert error_of(b'"').line == 1


@pytest.mark.parametrize("strict", [True, False])
def test_nor_where_quotes_are_taken_as_they_are(strict: bool) -> None:
    error = error_of(b'a,b\r\n1,2\r\n3,"no\r\nend\r\n', strict=strict)
    assert (error.line, error.column) == (3, 2)
    assert "never closed" in error.reason


def test_text_after_a_closing_quote() -> None:
    error = error_of(b'a,b\n"1\n1","2" x,3\n')
    assert (error.line, error.column) == (2, 2)
    assert "strict=False" in error.reason
    assert list(rows(b'a,"b"c\n', strict=False)) == [["a", "bc"]]


def test_an_escape_at_the_end() -> None:
    assert "ends after an escape" in error_of(b"a,b\n1,2\\", escape="\\").reason


def test_bad_records_are_collected_and_the_others_come() -> None:
    data = b'a,b\n1,2\n3\n4,"5"x\n6,7,8\n9,10\n11,"12\n'
    errors: list[DataError] = []
    assert list(records(data, on_error=errors)) == [{"a": "1", "b": "2"}, {"a": "9", "b": "10"}]
    assert [(error.line, error.column) for error in errors] == [(3, 2), (4, 2), (5, 3), (7, 2)]
    assert all(error.source == "the bytes" for error in errors)
    told: list[str] = []
    assert len(list(records(data, on_error=lambda error: told.append(str(error))))) == 2
    assert len(told) == 4
    assert list(rows(b'a,"b"c\nd,e\n', on_error=errors)) == [["d", "e"]]


def test_an_error_in_the_header_is_never_collected() -> None:
    for data in (b'a,"b"c\n1,2\n', b",,\n1,2,3\n"):
        errors: list[DataError] = []
        with pytest.raises(DataError):
            list(records(data, on_error=errors))
        assert errors == []


def test_what_a_function_raises_ends_it() -> None:
    def stop(error: DataError) -> None:
        raise KeyError(error.line)

    with pytest.raises(KeyError, match="2"):
        list(records(b"a,b\n1\n", on_error=stop))


@pytest.mark.parametrize(
    "options",
    [
        {"delimiter": ""},
        {"delimiter": ",,"},
        {"delimiter": "\n"},
        {"delimiter": '"'},
        {"delimiter": ",", "escape": ","},
        {"delimiter": ",", "comment": ","},
        {"dialect": "lotus"},
        {"skip": -1},
        {"on_error": "ignore"},
    ],
)
def test_options_that_cannot_work_are_refused_before_anything_is_opened(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        rows("/no/such/file", **options)
    with pytest.raises(ConfigError):
        records("/no/such/file", **options)


@pytest.mark.parametrize(
    "options",
    [
        {"ragged": "yes"},
        {"duplicates": "last"},
        {"header": "abc"},
        {"header": []},
        {"types": "some"},
        {"decimal": ";"},
        {"type": int},
    ],
)
def test_nor_options_of_records(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        records("/no/such/file", **options)


def test_dialects_are_values() -> None:
    assert Dialect() == Dialect()
    assert Dialect().but(delimiter=";") == Dialect(delimiter=";")
    with pytest.raises(ConfigError):
        Dialect(line_end="x")


# -- limits


class Endless:
    """Bytes without end, which count themselves."""

    def __init__(self, first: bytes, again: bytes, size: int = 1 << 16) -> None:
        self.given = 0
        self._first = first
        self._again = again * (size // len(again))

    def __iter__(self) -> Iterator[bytes]:
        yield self._first
        while True:
            self.given += len(self._again)
            yield self._again


HOSTILE = {
    "a quote without end": (b'a,b\n1,"', b"x", "csv_field"),
    "a quote without end, of lines": (b'a,b\n1,"', b"xx\n", "csv_field"),
    "a quote without end, of quotes": (b'a,b\n1,"', b'""', "csv_field"),
    "a line without end": (b"a,b\n1,", b"x", "csv_record"),
    "a line of delimiters": (b"a,b\n1", b",", "csv_record"),
    "a line of quoted fields": (b"a,b\n1", b',"x"', "csv_record"),
    "a record of many lines": (b'a,b\n1,"', b'\n","', "csv_record"),
    "a header without end": (b"a", b",a", "csv_record"),
    "line ends within a quote": (b'a,b\n1,"', b"\r", "csv_field"),
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("read_it", [rows, records])
@pytest.mark.parametrize("told", [True, False])
def test_a_record_without_end_is_bounded_in_memory(name: str, read_it: Any, told: bool) -> None:
    first, again, limit = HOSTILE[name]
    data = Endless(first, again)
    options: dict[str, Any] = {"delimiter": ",", "encoding": "utf-8"} if told else {}
    limits = Limits(csv_field=1 << 20, csv_record=2 << 20)
    tracemalloc.start()
    try:
        with pytest.raises(LimitExceeded) as caught:
            for _ in read_it(data, limits=limits, **options):
                pass
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert caught.value.limit in (limit, "csv_record")
    assert "line " in str(caught.value)
    assert data.given < 4 << 20
    assert peak < 64 << 20


def test_a_fault_far_into_a_record_is_told_by_its_line() -> None:
    data = b'a,b\n1,"' + b"x\n" * 100_000 + b'"y\n2,3\n'
    errors: list[DataError] = []
    assert len(list(records(data, on_error=errors, delimiter=","))) == 1
    assert [(error.line, error.column) for error in errors] == [(2, None)]


def test_a_record_that_spans_many_pieces_is_placed_right() -> None:
    data = b'a,b\n"1","' + b"xx\r\n" * 200_000 + b'","3\n'
    error = error_of(data)
    assert (error.line, error.column) == (2, 3)
    assert "field 3 in line 200002 " in error.reason


def test_the_message_names_where_the_quote_began() -> None:
    data = b'a,b\n1,2\n3,"4' + b"xxx\n" * 1000
    with pytest.raises(LimitExceeded, match=r"line 3: a field of more than 100 .*field 2.*begins in line 3"):
        list(rows(data, limits=Limits(csv_field=100)))
    with pytest.raises(LimitExceeded, match=r"line 3: a field of more than 100"):
        list(rows(b"a,b\n1,2\n" + b"x" * 101, limits=Limits(csv_field=100)))


def test_limits_are_exact_for_fields_and_columns() -> None:
    limits = Limits(csv_field=10, csv_columns=3)
    assert list(rows(b"aaaaaaaaaa,b,c\n", limits=limits)) == [["aaaaaaaaaa", "b", "c"]]
    for read_it in (rows, records):
        with pytest.raises(LimitExceeded, match="csv_columns"):
            list(read_it(b"1,2,3,4\n", limits=limits))
        with pytest.raises(LimitExceeded, match="csv_columns"):
            list(read_it(b"1,2,3\n1,2,3,4\n", limits=limits))


def test_limits_of_one_reader_are_not_those_of_another_or_of_the_csv_module() -> None:
    before = standard_csv.field_size_limit()
    large = b"a,b\n" + b"x" * 200_000 + b",1\n"
    small = rows(b"aaaaaaaaa,b\n" * 3, limits=Limits(csv_field=10))
    other = rows(b"aaaaaaaaa,b\n" * 3 + b"a" * 30, limits=Limits(csv_field=20))
    assert next(small) == next(other)
    assert len(list(rows(large))[1][0]) == 200_000
    assert len(list(small)) == 2
    with pytest.raises(LimitExceeded, match="20"):
        list(other)
    assert standard_csv.field_size_limit() == before
    with pytest.raises(standard_csv.Error):
        list(standard_csv.reader([large.decode()[4:]]))


def test_limits_are_never_collected() -> None:
    errors: list[DataError] = []
    with pytest.raises(LimitExceeded):
        list(records(b"a,b\n" + b"x" * 100, limits=Limits(csv_field=10), on_error=errors))


def test_memory_does_not_grow_with_the_source() -> None:
    def pieces() -> Iterator[bytes]:
        yield b"id,name,text\n"
        for n in range(300):
            yield b'%d,"a name, quoted",some more text\n' % n * 1000

    tracemalloc.start()
    try:
        count = sum(1 for _ in records(pieces()))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 300_000
    assert peak < 12 << 20


def test_readers_in_several_threads() -> None:
    data = b"a,b\n" + b'1,"2, 3"\n' * 5000
    found: list[int] = []

    def count(limit: int) -> None:
        found.append(len(list(records(data, limits=Limits(csv_field=limit)))))

    threads = [threading.Thread(target=count, args=(1000 + n % 3,)) for n in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert found == [5000] * 8


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "x.csv.gz"
    made = [{"a": "1", "b": 'x, "y"\r\nz'}, {"a": "", "b": "ä"}]
    write(made, path)
    assert list(records(path)) == made
