"""What every test shares: hypothesis profiles, the leak check, the list of peers that were missing."""

from __future__ import annotations

import gc
import threading
import time
from collections import Counter
from collections.abc import Iterator

import psutil
import pytest
from hypothesis import HealthCheck, settings

from portico.engines import door
from portico.sockets import names
from tests.descriptors import descriptors
from tests.peers import SKIPPED

# No deadlines: on a shared machine they measure the neighbours. The same examples in each run: what fails
# fails again, and for everybody; new ones are looked for by `make fuzz`.
settings.register_profile("default", deadline=None, max_examples=60, derandomize=True)
settings.register_profile(
    "fuzz", deadline=None, max_examples=5000, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("default")

GRACE = 5.0
"""Seconds that threads and children get to end after a test; what ends at once costs nothing."""


# Threads that look up names stay for a while; nobody wants to wait for that after each test.
names.IDLE = 0.1


@pytest.fixture
def no_leaks() -> Iterator[None]:
    """The test must leave no descriptor, thread or child process that it did not find."""
    door.waiter()  # the main thread keeps its waiter, once it has one
    before = _held()
    yield
    until = time.monotonic() + GRACE
    while (left := _held() - before) and time.monotonic() < until:
        gc.collect()
        time.sleep(0.01)
    assert not left, f"left open by the test: {', '.join(sorted(left))}"


def _held() -> set[str]:
    return descriptors() | _threads() | _children()


def _threads() -> set[str]:
    return {f"thread {thread.name} ({thread.ident})" for thread in threading.enumerate()}


def _children() -> set[str]:
    return {f"child process {child.pid}" for child in psutil.Process().children()}


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name and count what was missing: a green run without peers proves less."""
    reasons = [str(report.longrepr[2]) for report in terminalreporter.stats.get("skipped", ())]
    missing = Counter(reason.split(SKIPPED, 1)[1] for reason in reasons if SKIPPED in reason)
    if not missing:
        return
    terminalreporter.section("peers missing (PORTICO_REQUIRE_PEERS=1 makes these failures)")
    for name, count in sorted(missing.items()):
        terminalreporter.line(f"{name}: {count} test{'s' if count > 1 else ''} skipped")
