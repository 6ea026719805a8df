"""``--where``: it says yes or no, and can do nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from portico.cli.data_where import Where
from portico.errors import ConfigError, DataError

RECORD: dict[str, Any] = {
    "price": "12.5",
    "name": "Anna",
    "n": 3,
    "unit price": "7",
    "empty": "",
    "none": None,
    "zip": "00123",
    "tags": ["a", "b"],
    "in": {"deep": {"x": 1}},
}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("price > 10", True),
        ("price > 10 and name.startswith('B')", False),
        ("10 < price <= 12.5", True),
        ("r['unit price'] == 7", True),
        ("r['in']['deep']['x'] == 1", True),
        ("has('empty') or has('none') or has('nowhere')", False),
        ("has('name')", True),
        ("zip == '00123'", True),
        ("zip == 123", True),
        ("zip != '123'", True),
        ("empty < 3", False),
        ("none > 3", False),
        ("none == None", True),
        ("n in [1, 2, 3]", True),
        ("price in (12.5,)", True),
        ("n not in [1, 2]", True),
        ("'nn' in name", True),
        ("'a' in tags", True),
        ("len(name) == 4", True),
        ("name.upper() == 'ANNA'", True),
        ("number(name) == None", True),
        ("number(name) > 3", False),
        ("number(price) * 2 == 25", True),
        ("text(n) == '3'", True),
        ("abs(-n) == 3", True),
        ("name if n else False", True),
        (" name == 'Anna' ", True),
        ("True", True),
        ("n == True", False),
    ],
)
def test_what_it_says(text: str, wanted: bool) -> None:
    assert Where(text)(RECORD) is wanted


@pytest.mark.parametrize(
    "text", ["name > 3", "nowhere == 1", "r['nowhere'] == 1", "price / 0 > 1", "n / 0 > 1"]
)
def test_what_cannot_be_said_of_a_record(text: str) -> None:
    with pytest.raises(DataError, match=r"nowhere|not supported|zero|unsupported"):
        Where(text)(RECORD)


def test_a_record_that_has_no_fields_is_the_value() -> None:
    assert Where("value > 3")(7) is True


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1 +",
        "1; 2",
        "x = 1",
        "import os",
        "(" * 500 + ")" * 500,
        "n" * 3000,
    ],
)
def test_what_is_no_expression(text: str) -> None:
    with pytest.raises(ConfigError, match="--where"):
        Where(text)


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')",
        "open('/etc/passwd')",
        "name.__class__",
        "().__class__.__bases__[0].__subclasses__()",
        "name.format(1)",
        "'{0.__class__}'.format(name)",
        "name.encode()",
        "name.zfill(1000000000)",
        "9 ** 9 ** 9",
        "1 << 1000000",
        "'a' * 1000000000",
        "text([[1] * 99999] * 99999)",
        "'%1000000000d' % 1",
        "f'{1:1000000000}'",
        "[x for x in 'abc']",
        "sum(x for x in tags)",
        "lambda: 1",
        "(y := 1)",
        "r.clear()",
        "tags.append('c')",
        "tags.__iadd__(tags)",
        "-" * 1500 + "1",
        "eval('1')",
        "number.__globals__",
        "has.__self__",
    ],
)
def test_what_it_may_not_do(text: str) -> None:
    before = repr(RECORD)
    with pytest.raises((ConfigError, DataError), match="--where"):
        Where(text)(RECORD)
    assert repr(RECORD) == before
