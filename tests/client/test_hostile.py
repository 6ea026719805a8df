"""The client in front of servers that misbehave, on threads, on events, and awaited."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

import portico
import portico.aio
from tests.client import hostile_traps, hostile_wire
from tests.client.hostile_case import Case

pytestmark = pytest.mark.timeout(30)


def on_a_thread(function: Callable[[], None]) -> None:
    function()


def on_events(function: Callable[[], None]) -> None:
    portico.run(function)


def awaited(function: Callable[[], None]) -> None:
    asyncio.run(portico.aio.run(function))


DOORS = pytest.mark.parametrize("door", [on_a_thread, on_events, awaited])


@DOORS
@pytest.mark.parametrize("case", hostile_wire.CASES, ids=repr)
def test_wire(case: Case, door: Callable[[Callable[[], None]], None]) -> None:
    case.carry_out(door)


@DOORS
@pytest.mark.parametrize("case", hostile_traps.CASES, ids=repr)
def test_traps(case: Case, door: Callable[[Callable[[], None]], None]) -> None:
    case.carry_out(door)
