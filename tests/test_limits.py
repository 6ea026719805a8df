"""Bounds in one frozen value."""

from __future__ import annotations

import math
import re
from dataclasses import FrozenInstanceError, fields

import pytest

from portico.errors import ConfigError
from portico.limits import Limits
from tests.peers import root


def test_defaults_are_usable_and_frozen() -> None:
    limits = Limits()
    assert limits == Limits()
    assert hash(limits) == hash(Limits())
    with pytest.raises(FrozenInstanceError):
        limits.line = 5  # type: ignore[misc]


def test_but_gives_a_changed_copy() -> None:
    limits = Limits()
    assert limits.but(line=5, head=0.5) == Limits(line=5, head=0.5)
    assert limits.line == 65536


def test_a_name_that_is_no_limit_is_refused_with_those_that_are() -> None:
    with pytest.raises(ConfigError, match=r"no limit is called 'lines'; there are: .*, line, "):
        Limits().but(lines=5)


@pytest.mark.parametrize("value", [0, -1, -0.5, math.nan, "10", True, None, b"1"])
@pytest.mark.parametrize("name", ["line", "idle", "connections"])
def test_what_is_no_number_above_zero_is_refused(name: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"limit {name}="):
        Limits().but(**{name: value})


@pytest.mark.parametrize("name", [field.name for field in fields(Limits) if "None" in str(field.type)])
def test_what_may_be_unbounded_takes_none_but_not_zero(name: str) -> None:
    assert getattr(Limits().but(**{name: None}), name) is None
    with pytest.raises(ConfigError):
        Limits().but(**{name: 0})


def test_positional_arguments_are_refused() -> None:
    with pytest.raises(TypeError):
        Limits(5)  # type: ignore[misc]


def test_what_the_page_about_programs_says_of_them_is_so() -> None:
    units = {"": 1, "s": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
    page = (root / "docs" / "programs.md").read_text(encoding="utf-8")
    told = re.findall(r"`(?:limits\.)?((?:cgi|form)_\w+)` \((\d+) ?(s|KiB|MiB|GiB|)", page)
    assert len(told) == 7
    assert {name: int(value) * units[unit] for name, value, unit in told} == {
        name: getattr(Limits(), name) for name, _, _ in told
    }
