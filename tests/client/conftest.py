"""The client's tests run three times: in a thread, on a hub, and inside an asyncio loop.

A test that uses the fixture ``door`` (most do so by ``pytestmark``) is called there, as a whole.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import portico
from portico import aio
from tests.client import peers
from tests.peers import need_installed

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


# -- real peers, each started once where it is wanted


@pytest.fixture(scope="session")
def apache() -> Iterator[str]:
    with peers.apache(peers.LOGIN, peers.FOREIGN, realm="Büro") as url:
        yield url


@pytest.fixture(scope="session")
def nginx() -> Iterator[str]:
    with peers.nginx(peers.LOGIN, peers.FOREIGN) as url:
        yield url


@pytest.fixture(scope="session", params=["TLSv1.2", "TLSv1.3"])
def members(request: pytest.FixtureRequest) -> Iterator[peers.Members]:
    with peers.nginx_for_members(request.param) as place:
        yield place


@pytest.fixture(scope="session")
def httpbin() -> Iterator[str]:
    need_installed("httpbin")
    with peers.httpbin() as url:
        yield url


@pytest.fixture(scope="session", params=["basic", "digest"])
def squid(request: pytest.FixtureRequest) -> Iterator[str]:
    with peers.squid(request.param) as place:
        yield place


@pytest.fixture(scope="session")
def tinyproxy() -> Iterator[str]:
    with peers.tinyproxy() as place:
        yield place


@pytest.fixture(scope="session")
def dante() -> Iterator[str]:
    with peers.dante() as place:
        yield place


@pytest.fixture(scope="session")
def microsocks() -> Iterator[str]:
    with peers.microsocks() as place:
        yield place


@pytest.fixture(scope="session")
def guarded_microsocks() -> Iterator[str]:
    with peers.microsocks(*peers.LOGIN) as place:
        yield place
