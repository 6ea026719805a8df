"""Small GETs, 64 under way at any moment, each on a kept connection."""

from __future__ import annotations

import asyncio
import select
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

from bench.clients.sequential import BODY, REQUEST, raw_connection

__all__ = ["CLIENTS"]

MANY = 64


def _checked(body: bytes) -> None:
    if body != BODY:
        raise SystemExit("a wrong answer")


def in_threads(seconds: float, ask: Callable[[], bytes]) -> int:
    """``ask`` again and again, in so many threads."""
    end, counts = time.perf_counter() + seconds, [0] * MANY

    def work(number: int) -> None:
        while time.perf_counter() < end:
            _checked(ask())
            counts[number] += 1

    threads = [threading.Thread(target=work, args=(number,)) for number in range(MANY)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts)


async def in_tasks(seconds: float, ask: Callable[[], Awaitable[bytes]]) -> int:
    """``ask`` again and again, in so many tasks of one loop."""
    end, counts = time.perf_counter() + seconds, [0] * MANY

    async def work(number: int) -> None:
        while time.perf_counter() < end:
            _checked(await ask())
            counts[number] += 1

    await asyncio.gather(*(work(number) for number in range(MANY)))
    return sum(counts)


def _raw(url: str, seconds: float) -> int:
    socks = {}
    for _ in range(MANY):
        sock = raw_connection(url)
        sock.setblocking(False)
        socks[sock.fileno()] = sock
    poller = select.epoll()
    for descriptor in socks:
        poller.register(descriptor, select.EPOLLIN)
    for sock in socks.values():
        sock.send(REQUEST)
    end, count = time.perf_counter() + seconds, 0
    while time.perf_counter() < end:
        for descriptor, _ in poller.poll(1):
            sock = socks[descriptor]
            _checked(sock.recv(65536)[-len(BODY) :])
            sock.send(REQUEST)
            count += 1
    return count


def _requests(url: str, seconds: float) -> int:
    import requests
    from requests.adapters import HTTPAdapter

    with requests.Session() as session:
        session.mount("http://", HTTPAdapter(pool_connections=MANY, pool_maxsize=MANY))
        return in_threads(seconds, lambda: session.get(url).content)


def _urllib3(url: str, seconds: float) -> int:
    import urllib3

    pool = urllib3.PoolManager(maxsize=MANY, block=True)
    return in_threads(seconds, lambda: bytes(pool.request("GET", url).data))


def _niquests(url: str, seconds: float) -> int:
    import niquests

    with niquests.Session(pool_connections=MANY, pool_maxsize=MANY) as session:
        return in_threads(seconds, lambda: bytes(session.get(url).content or b""))


def _pycurl_threads(url: str, seconds: float) -> int:
    from io import BytesIO

    import pycurl

    mine = threading.local()

    def ask() -> bytes:
        curl = getattr(mine, "curl", None)
        if curl is None:
            curl = mine.curl = pycurl.Curl()
            curl.setopt(pycurl.URL, url)
            curl.setopt(pycurl.NOSIGNAL, 1)
        body = BytesIO()
        curl.setopt(pycurl.WRITEDATA, body)
        curl.perform()
        return body.getvalue()

    return in_threads(seconds, ask)


def _pycurl_multi(url: str, seconds: float) -> int:
    from io import BytesIO

    import pycurl

    multi = pycurl.CurlMulti()
    bodies: dict[Any, BytesIO] = {}

    def begin(curl: Any) -> None:
        bodies[curl] = BytesIO()
        curl.setopt(pycurl.WRITEDATA, bodies[curl])
        multi.add_handle(curl)

    for _ in range(MANY):
        curl = pycurl.Curl()
        curl.setopt(pycurl.URL, url)
        begin(curl)
    end, count = time.perf_counter() + seconds, 0
    while time.perf_counter() < end:
        multi.perform()
        _, done, failed = multi.info_read()
        if failed:
            raise SystemExit("a request failed")
        for curl in done:
            _checked(bodies[curl].getvalue())
            count += 1
            multi.remove_handle(curl)
            begin(curl)
        if not done:
            multi.select(1.0)
    return count


def _aiohttp(url: str, seconds: float) -> int:
    import aiohttp
    import uvloop

    async def run() -> int:
        async with aiohttp.ClientSession() as session:

            async def ask() -> bytes:
                async with session.get(url) as response:
                    return await response.read()

            return await in_tasks(seconds, ask)

    return uvloop.run(run())


def _httpx(url: str, seconds: float) -> int:
    import httpx
    import uvloop

    async def run() -> int:
        limits = httpx.Limits(max_connections=MANY, max_keepalive_connections=MANY)
        async with httpx.AsyncClient(limits=limits) as client:

            async def ask() -> bytes:
                return (await client.get(url)).content

            return await in_tasks(seconds, ask)

    return uvloop.run(run())


def _portico(url: str, seconds: float) -> int:
    from portico import Session

    with Session() as session:
        return in_threads(seconds, lambda: session.get(url).content)


def _portico_events(url: str, seconds: float) -> int:
    import portico

    def run() -> int:
        end, counts = time.perf_counter() + seconds, [0] * MANY

        def work(number: int) -> None:
            while time.perf_counter() < end:
                _checked(session.get(url).content)
                counts[number] += 1

        with portico.Session() as session, portico.TaskGroup() as group:
            for number in range(MANY):
                group.start(work, number)
        return sum(counts)

    return portico.run(run)


def _portico_aio(url: str, seconds: float, loop: Callable[[Any], int] = asyncio.run) -> int:
    from portico import aio

    async def run() -> int:
        async with aio.Session() as session:

            async def ask() -> bytes:
                return (await session.get(url)).content

            return await in_tasks(seconds, ask)

    return loop(run())


def _portico_uvloop(url: str, seconds: float) -> int:
    import uvloop

    return _portico_aio(url, seconds, uvloop.run)


CLIENTS = {
    "raw sockets": _raw,
    "portico": _portico,
    "portico on events": _portico_events,
    "portico in asyncio": _portico_aio,
    "portico on uvloop": _portico_uvloop,
    "pycurl multi": _pycurl_multi,
    "pycurl in threads": _pycurl_threads,
    "aiohttp, uvloop": _aiohttp,
    "httpx, uvloop": _httpx,
    "urllib3": _urllib3,
    "niquests": _niquests,
    "requests": _requests,
}
