"""What other processes do to a cache, for tests: ``python -m tests.client.cache_process WHAT PATH``."""

from __future__ import annotations

import sys
from time import sleep

from portico.client.cache import Cache
from tests.client.caching import Clock, Server, get, reply

FRESH = {"Cache-Control": "max-age=60", "Date": "{+0}"}
URLS = [f"http://example.org/{number}" for number in range(40)]


def body_of(url: str) -> bytes:
    return url.encode() * 500


def share(path: str) -> None:
    """Fetch each URL over and over, and see that each body is its own."""
    with Cache(path, clock=Clock(), size=400_000) as cache:
        for number in range(400):
            url = URLS[number * 7 % len(URLS)]
            response = cache(get(url=url), Server(reply(200, FRESH, body_of(url))))
            assert response.content == body_of(url), url
    print("fine", flush=True)


def store(path: str) -> None:
    """Fetch a large body, and never come to its end."""
    cache = Cache(path, clock=Clock())
    response = cache(get(), Server(reply(200, FRESH, *[b"x" * 100_000] * 100)))
    response.read(8_000_000)
    print("ready", flush=True)
    sleep(60)


if __name__ == "__main__":
    {"share": share, "store": store}[sys.argv[1]](sys.argv[2])
