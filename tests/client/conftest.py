"""The client's tests run three times: in a thread, on a hub, and inside an asyncio loop.

A test that uses the fixture ``door`` (most do so by ``pytestmark``) is called there, as a whole.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

import portico
from portico import aio

DOORS: dict[str, Callable[[Callable[[], Any]], Any]] = {
    "threads": lambda function: function(),
    "events": portico.run,
    "aio": lambda function: asyncio.run(_through_aio(function)),
}


async def _through_aio(function: Callable[[], Any]) -> Any:
    return await aio.run(function)


@pytest.fixture(params=list(DOORS))
def door(request: pytest.FixtureRequest) -> str:
    """Where the test runs."""
    return str(request.param)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    where = pyfuncitem.funcargs.get("door")
    if where not in DOORS:
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    DOORS[where](lambda: pyfuncitem.obj(**arguments))
    return True
