"""Connections opened, used and broken at every stage: everything ends where it began.

Some hundreds in the suite; ``make soak`` makes them as many as wanted (``PORTICO_SOAK``), an engine.
"""

from __future__ import annotations

import logging
import os
import resource
import ssl
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import psutil
import pytest

from tests.engines.serving import SECONDS, until
from tests.soak.stages import BRIEF, STAGES, Stage
from tests.soak.target import Target

ENGINES = ("inline", "threads", "events", "forks", "workers:2/threads", "workers:2/events")
MANY = int(os.environ.get("PORTICO_SOAK", "1200"))
COST = {"inline": 4, "forks": 10}
"""These serve one after the other, or with a process each: so much fewer connections take their time."""
CLIENTS = 4
QUARTERS = 4
GROWTH = 8 << 20
"""Bytes that each process may have grown by, its allocator's own reserve included."""
ROOM = 4 << 30
"""Bytes of address space for what a test needs: a leak that outruns it is an error, not a dead machine."""

pytestmark = [
    pytest.mark.usefixtures("no_leaks", "bounded", "quiet"),
    pytest.mark.timeout(90 + MANY // 50),
]


@pytest.fixture
def bounded() -> Iterator[None]:
    """This process and its children can have no more memory than this."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (psutil.Process().memory_info().vms + ROOM, hard))
    yield
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@pytest.fixture
def quiet() -> Iterator[None]:
    """Hundreds of thousands of log records, kept for the report, would be the largest leak of all."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(before)


def stages(engine: str) -> list[Stage]:
    return BRIEF if engine == "inline" else STAGES


def attempt(stage: Stage, target: Target) -> None:
    try:
        stage(target)
    except (ConnectionError, ssl.SSLError):
        target.give_up()  # some stages race with the server's own end; what counts is what is left behind


def attack(target: Target, many: int) -> None:
    some = stages(target.engine)
    for number in range(many):
        attempt(some[number % len(some)], target)


def attacks(target: Target, many: int) -> None:
    clients = 1 if target.engine == "inline" else CLIENTS
    threads = [threading.Thread(target=attack, args=(target, many // clients)) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    target.settle()


@pytest.mark.parametrize("engine", ENGINES)
def test_everything_ends_where_it_began(
    engine: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    many = MANY // COST.get(engine, 1)
    with Target(engine, tmp_path) as target:
        # Pools, caches and the allocator's reserve are made now.
        attacks(target, max(many // 4, 2 * len(STAGES)))
        pids, descriptors, threads = target.pids(), target.descriptors(), target.threads()
        greenlets, accepted = target.greenlets(), target.accepted
        until(lambda: target.pids() == pids, "children to end")
        sizes = [target.resident()]
        for _ in range(QUARTERS):
            attacks(target, many // QUARTERS)
            until(lambda: target.pids() == pids, "children to end")
            sizes.append(target.resident())
        until(lambda: target.descriptors() <= descriptors + 2 * CLIENTS, "descriptors to be given back")
        until(lambda: target.threads() <= threads + 4 * CLIENTS * len(pids), "threads to end")
        assert target.greenlets() == greenlets
        served, grown = target.accepted - accepted, [after - size for size, after in pairwise(sizes)]
        assert sum(grown) < GROWTH * len(pids)
        assert grown[-1] < GROWTH * len(pids) // QUARTERS, "it slows down"
        assert served >= many * 0.9, "what the kernel reset before it was accepted does not count"
        if MANY > 2000:
            with capsys.disabled():
                print(f"\n{engine}: {served} connections; KiB more: {[size >> 10 for size in grown]}")


@pytest.mark.parametrize("engine", ENGINES)
def test_every_stage_alone_leaves_nothing(engine: str, tmp_path: Path) -> None:
    with Target(engine, tmp_path) as target:
        for stage in stages(engine):
            for _ in range(3):
                attempt(stage, target)
            target.close_idle()
            until(lambda: target.open == 0, f"{stage.__name__} to leave nothing")


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # the attackers' own, given up within a stage
@pytest.mark.parametrize("engine", ["threads", "events", "forks", "workers:2/events"])
def test_a_server_that_stops_under_attack_leaves_nothing(engine: str, tmp_path: Path) -> None:
    stop = threading.Event()

    def client(target: Target) -> None:
        while not stop.is_set():
            for stage in STAGES:
                try:
                    stage(target)
                except (OSError, AssertionError):
                    target.give_up()
                    time.sleep(0.001)  # it has stopped

    for _ in range(3):
        stop.clear()
        target = Target(engine, tmp_path)
        target.__enter__()
        clients = [threading.Thread(target=client, args=(target,)) for _ in range(3)]
        for each in clients:
            each.start()
        until(lambda: target.http.accepted > 50)  # noqa: B023
        target.http.stop(0.05)
        target.talk.stop(0.05)
        stop.set()
        for each in clients:
            each.join(SECONDS)
        target.close_idle()
        assert target.open == 0
