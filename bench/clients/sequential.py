"""Small GETs one after the other, on a connection that is kept."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

__all__ = ["BODY", "CLIENTS", "REQUEST", "awaited", "raw_connection"]

BODY = b"Hello, world!"
REQUEST = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: raw\r\nAccept: */*\r\nAccept-Encoding: gzip\r\n\r\n"
)


def until(seconds: float, ask: Callable[[], bytes]) -> int:
    """Call ``ask`` for so long; every answer must be right."""
    end, count = time.perf_counter() + seconds, 0
    while time.perf_counter() < end:
        for _ in range(20):
            if ask() != BODY:
                raise SystemExit("a wrong answer")
        count += 20
    return count


async def awaited(seconds: float, ask: Callable[[], Awaitable[bytes]]) -> int:
    """The same for what is awaited."""
    end, count = time.perf_counter() + seconds, 0
    while time.perf_counter() < end:
        for _ in range(20):
            if await ask() != BODY:
                raise SystemExit("a wrong answer")
        count += 20
    return count


def raw_connection(url: str) -> socket.socket:
    """A socket to the server of ``url``."""
    parts = urlsplit(url)
    sock = socket.create_connection((parts.hostname or "", parts.port or 80))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def _raw(url: str, seconds: float) -> int:
    sock = raw_connection(url)

    def ask() -> bytes:
        sock.sendall(REQUEST)
        return sock.recv(65536)[-len(BODY) :]

    with sock:
        return until(seconds, ask)


def _http_client(url: str, seconds: float) -> int:
    from http.client import HTTPConnection

    parts = urlsplit(url)
    connection = HTTPConnection(parts.hostname or "", parts.port)

    def ask() -> bytes:
        connection.request("GET", "/")
        return connection.getresponse().read()

    return until(seconds, ask)


def _urllib3(url: str, seconds: float) -> int:
    import urllib3

    pool = urllib3.PoolManager()
    return until(seconds, lambda: bytes(pool.request("GET", url).data))


def _requests(url: str, seconds: float) -> int:
    import requests

    with requests.Session() as session:
        return until(seconds, lambda: session.get(url).content)


def _niquests(url: str, seconds: float) -> int:
    import niquests

    with niquests.Session() as session:
        return until(seconds, lambda: bytes(session.get(url).content or b""))


def _httpx(url: str, seconds: float) -> int:
    import httpx

    with httpx.Client() as client:
        return until(seconds, lambda: client.get(url).content)


def _pycurl(url: str, seconds: float) -> int:
    from io import BytesIO

    import pycurl

    curl = pycurl.Curl()
    curl.setopt(pycurl.URL, url)

    def ask() -> bytes:
        body = BytesIO()
        curl.setopt(pycurl.WRITEDATA, body)
        curl.perform()
        if curl.getinfo(pycurl.RESPONSE_CODE) != 200:
            raise SystemExit("a wrong answer")
        return body.getvalue()

    return until(seconds, ask)


def _aiohttp(url: str, seconds: float) -> int:
    import aiohttp
    import uvloop

    async def run() -> int:
        async with aiohttp.ClientSession() as session:

            async def ask() -> bytes:
                async with session.get(url) as response:
                    return await response.read()

            return await awaited(seconds, ask)

    return uvloop.run(run())


def _portico(url: str, seconds: float) -> int:
    from portico import Session

    with Session() as session:
        return until(seconds, lambda: session.get(url).content)


def _portico_events(url: str, seconds: float) -> int:
    import portico

    return portico.run(_portico, url, seconds)


def _portico_aio(url: str, seconds: float) -> int:
    from portico import aio

    async def run() -> int:
        async with aio.Session() as session:

            async def ask() -> bytes:
                return (await session.get(url)).content

            return await awaited(seconds, ask)

    return asyncio.run(run())


CLIENTS = {
    "raw sockets": _raw,
    "portico": _portico,
    "portico on events": _portico_events,
    "portico in asyncio": _portico_aio,
    "pycurl": _pycurl,
    "http.client": _http_client,
    "aiohttp, uvloop": _aiohttp,
    "urllib3": _urllib3,
    "httpx": _httpx,
    "niquests": _niquests,
    "requests": _requests,
}
