"""Types that readers of JSON give, for mypy: see test_json_typing.py."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, assert_type

from portico.data import json
from portico.limits import Limits


@dataclass
class Order:
    number: int


def check(data: bytes) -> None:
    assert_type(json.load(data, type=Order), Order)
    assert_type(json.load(data, type=list[Order], limits=Limits()), list[Order])
    assert_type(json.load(data), Any)
    assert_type(json.load(data, type=None, numbers="exact"), Any)
    assert_type(json.lines(data, type=Order, on_error=print), Iterator[Order])
    assert_type(json.documents(data, type=dict[str, int]), Iterator[dict[str, int]])
    assert_type(json.records(data, "a[*]", type=Order), Iterator[Order])
    assert_type(json.records(data, "a[*]"), Iterator[Any])
    assert_type(json.items(data, type=Order), Iterator[tuple[tuple[str | int, ...], Order]])
    assert_type(json.items(data, "a.*"), Iterator[tuple[tuple[str | int, ...], Any]])


def check_refusals(data: bytes) -> None:
    json.load(data, number="exact")  # type: ignore[call-overload]
    json.load(data, numbers="float")  # type: ignore[call-overload]
    json.records(data, type=Order, on_error=print)  # type: ignore[call-overload]
