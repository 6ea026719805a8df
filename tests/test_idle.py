"""Thousands of connections that do nothing, on ``events`` and parked on ``threads``.

A thousand in the suite; ``PORTICO_IDLE=10000`` makes them as many as wanted (a quarter of it with TLS).
Each stays open, all answer afterwards, and clients that send a byte now and then change nothing for the
others. What a connection costs is printed: the server's resident memory, without what the kernel keeps.
"""

from __future__ import annotations

import os
import statistics
import time
from pathlib import Path

import pytest

from tests.engines.serving import until
from tests.idle.clients import Clients, Dripping, Remote, descriptors_for

MANY = int(os.environ.get("PORTICO_IDLE", "1000"))
DRIPPING = min(MANY // 2, 1000)
TLS_SHARE = 4
"""Handshakes take their time."""
WARM = 64
FRESH = 40
PROMPT = 0.5
"""Seconds within which half of all fresh clients have their answer: it takes a millisecond or two, and
would take many seconds if those who drip were waited for."""
KIND = {"http": "HTTP, kept alive", "talk": "conversation"}
MOST = {
    ("threads", "http", False): 3,
    ("events", "http", False): 3,
    ("events", "talk", False): 12,
    ("threads", "http", True): 100,
    ("events", "http", True): 100,
    ("events", "talk", True): 100,
}
"""KiB of a connection, beyond which something has gone wrong; what it should be is measured in bench/."""

pytestmark = [pytest.mark.usefixtures("no_leaks"), pytest.mark.timeout(60 + MANY // 20)]


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize(("engine", "kind"), [("threads", "http"), ("events", "http"), ("events", "talk")])
def test_idle_connections_stay_open_and_answer(
    engine: str, kind: str, tls: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    many, drips = (each // (TLS_SHARE if tls else 1) for each in (MANY, DRIPPING))
    with descriptors_for(many + drips), Remote(engine, kind, tls, tmp_path) as remote:
        Clients(remote, WARM).close()
        until(lambda: remote.facts()["connections"] == 0)
        before = remote.facts()
        with Clients(remote, many) as clients:
            during = remote.facts()
            assert during["connections"] == many
            assert during["threads"] <= before["threads"] + 4, "no thread is held"
            assert during["strands"] - before["strands"] == (many if kind == "talk" else 0)
            each = (during["resident"] - before["resident"]) / many / 1024
            with capsys.disabled():
                print(f"\n{many} × {KIND[kind]}{', TLS' if tls else ''}, on {engine}: {each:.2f} KiB each")
            assert each < MOST[engine, kind, tls]
            alone = answer_times(remote)
            with Dripping(remote, drips) as dripping:
                until(lambda: dripping.sent > drips, "each to have sent something")
                beside = answer_times(remote)
                clients.ask_all()
            assert statistics.median(beside) < PROMPT, f"before: {statistics.median(alone)}"
            assert clients.ended() == 0
            clients.ask_all()
        until(lambda: remote.facts()["connections"] == 0, "all to be given back")
        assert remote.facts()["strands"] == before["strands"]
        assert remote.facts()["descriptors"] <= before["descriptors"]


def answer_times(remote: Remote) -> list[float]:
    """Seconds that fresh clients wait, from their connect to their answer."""
    found = []
    for _ in range(FRESH):
        began = time.perf_counter()
        with remote.connect() as sock:
            remote.ask(sock)
        found.append(time.perf_counter() - began)
    return found
