"""Where the time of one request goes, in memory: no sockets, no engine, no other process.

    python bench/profile_http.py [--quick] [--top 25]

Each stage contains the one above it; the columns on the right are what it adds. ``--top`` shows the functions
of the last stage by their own time, under ``cProfile``, which makes calls look dearer than they are.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __package__ in (None, ""):
    # Run as a file, its own folder comes first on the path, and http.py there would hide the library's http.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

import argparse
import cProfile
import os
import pstats
import statistics
import time
from collections.abc import Callable, Iterator

from bench.common import machine, table, two_cores
from bench.load.requests import KINDS, NEW
from bench.peers.apps.app_module import BODY, HEADERS, app
from portico.address import Address
from portico.engines.contract import RUN, WAIT_READ
from portico.http.codec import Codec
from portico.http.exchange import Exchange, Mount
from portico.http.messages import RequestHead
from portico.http.server import HTTPConnection, Service
from portico.http.states import Role
from portico.limits import Limits
from portico.sockets.transport import Bytes, Transport
from portico.web.wsgi import WSGI

Stage = Callable[[list[bytes]], None]


class Memory(Transport):
    """Has one request to read at a time, and takes every answer. A short read means drained, as on TCP."""

    short_read_drains = True

    def __init__(self) -> None:
        super().__init__(Address.parse("tcp://127.0.0.1:40000"), Address.parse("tcp://127.0.0.1:8000"))
        self.waiting: bytes | None = None
        self.last: Bytes = b""

    def recv(self, size: int) -> bytes | None:
        data, self.waiting = self.waiting, None
        return data

    def send(self, data: Bytes) -> int:
        self.last = data
        return len(data)

    def close(self) -> None:
        """Nothing to give back."""


class Direct:
    """The least a gateway can do."""

    name = "direct"

    def streams(self, request: RequestHead) -> bool:
        return False

    def __call__(self, exchange: Exchange) -> None:
        exchange.respond(200, HEADERS[:], BODY)


def requests(kind: str, count: int) -> list[bytes]:
    """Requests of this kind, as they would arrive."""
    template = KINDS[kind]
    mark = NEW.encode()
    if mark not in template:
        return [template] * count
    return [template.replace(mark, b"%016x" % number) for number in range(count)]


def parse(arrivals: list[bytes]) -> None:
    """Bytes to head. An answer has to follow, the cheapest there is: ``codec`` has the real one."""
    codec = Codec(Role.SERVER, Limits())
    for data in arrivals:
        codec.receive(data)
        codec.respond(200, "OK", [], b"")
        codec.start_next_cycle()


def codec_only(arrivals: list[bytes]) -> None:
    """Bytes to head, answer to bytes."""
    codec = Codec(Role.SERVER, Limits())
    for data in arrivals:
        codec.receive(data)
        codec.respond(200, "OK", HEADERS[:], BODY)
        codec.start_next_cycle()


def through(gateway: Direct | WSGI) -> Stage:
    """The whole way of a request, with this at its end."""
    mount = Mount(gateway)

    def stage(arrivals: list[bytes]) -> None:
        transport = Memory()
        connection = HTTPConnection(transport, Service(lambda exchange: mount, Limits()))
        for data in arrivals:
            transport.waiting = data
            if connection.advance() != RUN:
                raise RuntimeError(f"the request was refused: {bytes(transport.last)[:100]!r}")
            connection.run()
            if connection.advance() != WAIT_READ:
                raise RuntimeError("the connection was not kept")
        if not bytes(transport.last).endswith(b"\r\n\r\n" + BODY):
            raise RuntimeError(f"the answer was {bytes(transport.last)[:100]!r}")

    return stage


STAGES: dict[str, Stage] = {
    "codec: head in, empty answer out": parse,
    "codec: head in, answer out": codec_only,
    "connection, with a direct gateway": through(Direct()),
    "connection, with the WSGI application": through(WSGI(app)),
}


def spent(stage: Stage, arrivals: list[bytes]) -> float:
    """CPU microseconds a request."""
    begin = time.process_time()
    stage(arrivals)
    return (time.process_time() - begin) / len(arrivals) * 1e6


def medians(count: int, rounds: int) -> dict[tuple[str, str], float]:
    """By stage and kind. The rounds are interleaved, so that a slow moment meets every stage alike."""
    arrivals = {kind: requests(kind, count) for kind in KINDS}
    figures: dict[tuple[str, str], list[float]] = {(name, kind): [] for name in STAGES for kind in KINDS}
    for _ in range(rounds):
        for (name, kind), values in figures.items():
            values.append(spent(STAGES[name], arrivals[kind]))
    return {key: statistics.median(values) for key, values in figures.items()}


def rows(count: int, rounds: int) -> Iterator[list[str]]:
    figures = medians(count, rounds)
    before = dict.fromkeys(KINDS, 0.0)
    for name in STAGES:
        now = {kind: figures[name, kind] for kind in KINDS}
        added = [f"{now[kind] - before[kind]:+.2f}" for kind in KINDS]
        yield [name, *(f"{now[kind]:.2f}" for kind in KINDS), *added]
        before = now


def print_top(stage: Stage, count: int, top: int) -> None:
    for kind in ("600 B", "600 B new"):
        arrivals = requests(kind, count)
        profile = cProfile.Profile()
        profile.runcall(stage, arrivals)
        print(f"\n{count} requests of {kind}, by own time:")
        pstats.Stats(profile).strip_dirs().sort_stats("tottime").print_stats(top)


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="bench/profile_http.py", description="The cost of a request by stage."
    )
    parser.add_argument("--quick", action="store_true", help="fewer requests and rounds")
    parser.add_argument(
        "--top", type=int, default=0, metavar="N", help="the N dearest functions, by cProfile"
    )
    chosen = parser.parse_args(arguments)
    count, rounds = (5_000, 3) if chosen.quick else (20_000, 7)
    header = machine()
    os.sched_setaffinity(0, {two_cores()[0]})
    print("One request in memory, CPU µs (median of rounds)")
    for name, value in header.items():
        print(f"  {name:<12} {value}")
    head = ["stage", *KINDS, *KINDS]
    print(table([head, *rows(count, rounds)], {1: "in all", 1 + len(KINDS): "added by the stage"}))
    if chosen.top > 0:
        print_top(STAGES["connection, with the WSGI application"], count, chosen.top)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
