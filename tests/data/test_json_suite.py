"""JSONTestSuite: what is JSON is read, what is none is refused, and what is left open is decided here."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from portico.data.json import documents, lines, load, records
from portico.errors import DataError, LimitExceeded
from tests.peers import corpus

LEFT_OPEN = {
    # What is too small for a float is nought; what is too large is refused: infinity is no number of JSON.
    "i_number_double_huge_neg_exp": True,
    "i_number_real_underflow": True,
    "i_number_huge_exp": False,
    "i_number_neg_int_huge_exp": False,
    "i_number_pos_double_huge_exp": False,
    "i_number_real_neg_overflow": False,
    "i_number_real_pos_overflow": False,
    # Whole numbers have any size.
    "i_number_too_big_neg_int": True,
    "i_number_too_big_pos_int": True,
    "i_number_very_big_negative_int": True,
    # Half a surrogate pair is no character: such text can be written nowhere.
    "i_object_key_lone_2nd_surrogate": False,
    "i_string_1st_surrogate_but_2nd_missing": False,
    "i_string_1st_valid_surrogate_2nd_invalid": False,
    "i_string_incomplete_surrogate_and_escape_valid": False,
    "i_string_incomplete_surrogate_pair": False,
    "i_string_incomplete_surrogates_escape_valid": False,
    "i_string_invalid_lonely_surrogate": False,
    "i_string_invalid_surrogate": False,
    "i_string_inverted_surrogates_U+1D11E": False,
    "i_string_lone_second_surrogate": False,
    # What is no UTF-8 is an error; nothing is guessed or replaced.
    "i_string_UTF-8_invalid_sequence": False,
    "i_string_UTF8_surrogate_U+D800": False,
    "i_string_invalid_utf-8": False,
    "i_string_iso_latin_1": False,
    "i_string_lone_utf8_continuation_byte": False,
    "i_string_not_in_unicode_range": False,
    "i_string_overlong_sequence_2_bytes": False,
    "i_string_overlong_sequence_6_bytes": False,
    "i_string_overlong_sequence_6_bytes_null": False,
    "i_string_truncated-utf-8": False,
    # UTF-16 and UTF-32 can be told from UTF-8, and a byte order mark is no part of the document.
    "i_string_UTF-16LE_with_BOM": True,
    "i_string_utf16BE_no_BOM": True,
    "i_string_utf16LE_no_BOM": True,
    "i_structure_UTF-8_BOM_empty_object": True,
    # 512 arrays may be in each other.
    "i_structure_500_nested_arrays": True,
}


def single(values: Any) -> Any:
    found = list(values)
    if len(found) != 1:
        raise DataError(f"{len(found)} documents")
    return found[0]


def in_bytes(data: bytes) -> Any:
    return (data[at : at + 1] for at in range(len(data)))


READERS: dict[str, Callable[[bytes], Any]] = {
    "load": load,
    "load, checked": lambda data: load(data, type=Any),
    "load, the first of keys": lambda data: load(data, duplicates="first"),
    "load, exactly": lambda data: load(data, numbers="exact"),
    "load, by bytes": lambda data: load(in_bytes(data)),
    "documents": lambda data: single(documents(data)),
    "documents, by bytes": lambda data: single(documents(in_bytes(data))),
    "records": lambda data: single(records(data, "$")),
    "records, by bytes": lambda data: single(records(in_bytes(data), "$")),
    "nothing of it": lambda data: list(records(b'{"other":' + data + b', "x": [1]}', "x[*]")),
    "nothing of it, by bytes": lambda data: list(
        records(in_bytes(b'{"other":' + data + b', "x": [1]}'), "x[*]")
    ),
    "an element": lambda data: list(records(b"[1," + data + b",2]")),
    "a line": lambda data: single(lines(data)),
}


def accepted(read: Callable[[bytes], Any], data: bytes) -> bool:
    try:
        read(data)
    except (DataError, LimitExceeded):
        return False
    return True


def cases() -> list[Path]:
    return sorted(corpus("json/test_parsing").glob("*.json"))


@pytest.mark.parametrize("reader", READERS)
def test_what_is_json_is_read_and_nothing_else(reader: str) -> None:
    read, wrong, seen = READERS[reader], [], 0
    for path in cases():
        data = path.read_bytes()
        if reader.startswith(("nothing", "an element")) and not _embeddable(path.stem, data):
            continue
        if reader == "a line" and len(data.strip().splitlines()) != 1:
            continue
        seen += 1
        if accepted(read, data) is not _expected(path.stem, reader):
            wrong.append(path.stem)
    assert wrong == []
    assert seen > 200


def _expected(name: str, reader: str) -> bool:
    if name[0] != "i":
        return name[0] == "y"
    if reader == "load, exactly" and "number" in name:
        # A Decimal holds them, but for an exponent of 41 digits.
        return name != "i_number_huge_exp"
    if reader.startswith("nothing of it") and (
        ("surrogate" in name and "UTF8" not in name) or "number" in name
    ):
        return True  # whose grammar is sound
    return LEFT_OPEN[name]


def _embeddable(name: str, data: bytes) -> bool:
    """Whether it stays what it is in the middle of another document, which is written in UTF-8."""
    if b"\0" in data or data[:3] == b"\xef\xbb\xbf" or data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return False
    # Some are only wrong as a whole, as "1]" and "2, 3" are.
    return name[0] != "n" or not _parses(b"[1," + data + b",2]")


def _parses(data: bytes) -> bool:
    try:
        json.loads(data, parse_constant=lambda name: 1 / 0)
    except ZeroDivisionError:
        return False
    except (ValueError, RecursionError):
        return False
    return True


def test_values_are_those_of_the_standard_library() -> None:
    for path in cases():
        if path.stem[0] == "y":
            data = path.read_bytes()
            expected = json.loads(data)
            for read in (load, lambda data: single(records(in_bytes(data), "$"))):
                value = read(data)
                assert (value, repr(value)) == (expected, repr(expected)), path.stem


def test_every_decision_is_written_down() -> None:
    assert {path.stem for path in cases() if path.stem[0] == "i"} == set(LEFT_OPEN)
