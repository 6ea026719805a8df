"""Metrics: right numbers over all processes, in a text that Prometheus' own parser reads."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from portico.admission import Admission
from portico.engines import lot
from portico.errors import ConfigError
from portico.figures import GAUGE, MAX, SOURCES, TOTAL
from portico.http.exchange import Exchange
from portico.server import Server
from portico.web.metrics import Metrics
from portico.web.metrics_text import exposition, series
from portico.web.mounts import Mounts
from portico.web.proxy import Proxy
from portico.web.shared_numbers import SERIES, SharedNumbers
from portico.web.wsgi import WSGI
from tests.http.served import Client, Gate, get, post
from tests.peers import need_module, root
from tests.ports import free_port

pytestmark = pytest.mark.usefixtures("no_leaks")

Numbers = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def read(text: bytes) -> Numbers:
    """By name and labels, through Prometheus' own parser, which checks the types of what it reads."""
    parser = need_module("prometheus_client.parser")
    found: Numbers = {}
    for family in parser.text_string_to_metric_families(text.decode()):
        assert family.documentation
        for sample in family.samples:
            key = sample.name, tuple(sorted(sample.labels.items()))
            assert key not in found
            found[key] = sample.value
    return found


def get_number(numbers: Numbers, name: str, **labels: str) -> float:
    return numbers[name, tuple(sorted(labels.items()))]


def answer(exchange: Exchange) -> None:
    exchange.body.read()
    exchange.respond(int(exchange.query or "200"), [], b"12345")


def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def app(environ: dict[str, Any], start: Any) -> list[bytes]:
    start("200 OK", [])
    return [str(os.getpid()).encode()]


wsgi_app = WSGI(app)


@pytest.mark.parametrize("engine", ["threads", "events"])
def test_another_server_may_begin_while_figures_are_gathered(
    engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    metrics, made, looks = Metrics(), lot.make_poller, []
    server = Server(Gate(answer), "http://127.0.0.1:0", engine="threads")
    server.metrics = metrics

    def gathered_meanwhile() -> Any:
        metrics._gather()
        looks.append(True)
        return made()

    with server:
        monkeypatch.setattr(lot, "make_poller", gathered_meanwhile)
        for part in SOURCES:  # while others come
            with Server(Gate(answer), "http://127.0.0.1:0", engine=engine):
                assert part is not None
    assert looks


@pytest.mark.parametrize("engine", ["inline", "threads", "events"])
def test_requests_are_counted_by_mount_and_status(engine: str) -> None:
    metrics = Metrics()
    server = Server(
        Mounts([("/a", Gate(answer)), ("/", Gate(answer))]),
        "http://127.0.0.1:0",
        engine=engine,
        admission=Admission(max_per_peer=5),
    )
    server.metrics = metrics
    with server, metrics.serve("http://127.0.0.1:0") as page, Client(server) as client:
        for target in ("/a/x", "/a/x?404", "/b", "/b?503"):
            client.ask(get(target))
        client.ask(post(b"four", "/a"))
        assert client.ask(b"GET / HTTP/9.9\r\n\r\n").status == 505
        client.sock.close()
        until(lambda: not server.connections)
        with Client(page) as scraper:
            got = scraper.ask(get("/metrics"))
            assert (got.status, got["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
            assert scraper.ask(get("/other")).status == 404
            assert scraper.ask(post(b"", "/metrics")).status == 405
        numbers = read(got.body)
        requests = {
            labels: value for (name, labels), value in numbers.items() if name == "portico_requests_total"
        }
        assert requests[("mount", "/a"), ("status", "2xx")] == 2
        assert requests[("mount", "/a"), ("status", "4xx")] == 1
        assert requests[("mount", "/"), ("status", "2xx")] == 1
        assert get_number(numbers, "portico_request_bytes_total", mount="/a") == 4
        assert get_number(numbers, "portico_response_bytes_total", mount="/a") == 15
        assert get_number(numbers, "portico_refused_requests_total", reason="version") == 1
        assert get_number(numbers, "portico_connections_total") == 1
        assert (
            get_number(numbers, "portico_processes")
            == get_number(numbers, "portico_process_starts_total")
            == 1
        )
        if engine != "inline":
            assert get_number(numbers, "portico_pool_size") == 32
            with Client(server) as idle:
                idle.ask(get())
                key = "portico_connections", (("state", "idle"),)
                until(lambda: read(metrics.text()).get(key) == 1)
            until(lambda: read(metrics.text())[key] == 0)
        if engine == "threads":
            assert ("portico_leader_changes_total", ()) in numbers
            assert ("portico_longest_block_seconds", ()) in numbers
    metrics.close()


def test_latencies_are_a_histogram() -> None:
    def slow(exchange: Exchange) -> None:
        time.sleep(float(exchange.query))
        exchange.respond(200, [], b"")

    metrics = Metrics(buckets=[0.05, 10])
    server = Server(Gate(slow), "http://127.0.0.1:0")
    server.metrics = metrics
    with server, Client(server) as client:
        for seconds in ("0", "0", "0.1"):
            client.ask(get(f"/?{seconds}"))
        until(lambda: read(metrics.text()).get(("portico_request_seconds_count", (("mount", "/"),))) == 3)
        numbers = read(metrics.text())
    bounds = [
        get_number(numbers, "portico_request_seconds_bucket", mount="/", le=le)
        for le in ("0.05", "10", "+Inf")
    ]
    assert bounds[0] <= 2
    assert bounds[1:] == [3, 3]
    assert get_number(numbers, "portico_request_seconds_sum", mount="/") >= 0.1
    metrics.close()


def test_failures_of_upstreams_are_counted() -> None:
    metrics, url = Metrics(), f"http://127.0.0.1:{free_port()}"
    proxy = Proxy(url)
    server = Server(proxy, "http://127.0.0.1:0")
    server.metrics = metrics
    with server, Client(server) as client:
        assert client.ask(get()).status == 502
        numbers = read(metrics.text())
    assert get_number(numbers, "portico_upstream_errors_total", upstream=url, reason="connect") == 1
    assert get_number(numbers, "portico_upstream_connections", upstream=url) == 0
    metrics.close()


@pytest.mark.parametrize("engine", ["workers:2/threads", "forks:4"])
def test_processes_are_added_up_and_what_dead_ones_did_stays(engine: str) -> None:
    metrics = Metrics()
    server = Server(wsgi_app, "http://127.0.0.1:0", engine=engine)
    server.metrics = metrics
    with server, metrics.serve("http://127.0.0.1:0") as page:
        pids = set()

        def ask(count: int) -> None:
            for _ in range(count):
                with Client(server) as client:
                    pids.add(int(client.ask(get()).body))

        def numbers() -> Numbers:
            with Client(page) as scraper:
                return read(scraper.ask(get("/metrics")).body)

        def answered() -> float:
            return numbers().get(("portico_requests_total", (("mount", "/"), ("status", "2xx"))), 0.0)

        ask(20)
        until(lambda: answered() == 20)
        if engine.startswith("workers"):
            assert get_number(numbers(), "portico_processes") == 2
            # What is gathered only now and then is told by workers that end in peace before they do.
            assert server.reload() is None
            until(lambda: get_number(numbers(), "portico_connections_total") == 20)
            pids.clear()
            ask(5)
            until(lambda: answered() == 25)
            os.kill(next(iter(pids)), signal.SIGKILL)
            until(lambda: get_number(numbers(), "portico_process_starts_total") == 5)
            assert answered() == 25
            ask(5)
            until(lambda: answered() == 30)
            assert get_number(numbers(), "portico_processes") == 2
    metrics.close()


@pytest.mark.parametrize("buckets", [[], [0], [1, 1], [2, 1], [-1, 1]])
def test_buckets_that_cannot_be_are_refused(buckets: list[float]) -> None:
    with pytest.raises(ConfigError, match="buckets"):
        Metrics(buckets)


# -- the text


def test_names_and_labels_are_written_so_that_they_can_be_read() -> None:
    name = series("portico_requests_total", [("mount", 'a"b\\c\nd é'), ("status", "2xx")])
    numbers = read(exposition({name: 3.0, "portico_pool_busy": 0.25, "unknown": 1.0}))
    assert numbers == {
        ("portico_requests_total", (("mount", 'a"b\\c\nd é'), ("status", "2xx"))): 3.0,
        ("portico_pool_busy", ()): 0.25,
    }


# -- common memory


def test_numbers_have_their_kind() -> None:
    table = SharedNumbers()
    places = [table.place(kind, name) for kind, name in ((TOTAL, "a"), (GAUGE, "b"), (MAX, "c"))]
    for place in places:
        table.row[place] = 2.5
    assert places == [table.place(TOTAL, "a"), table.place(GAUGE, "b"), table.place(MAX, "c")]
    assert table.read() == {"a": 2.5, "b": 2.5, "c": 2.5}
    table.close()


def test_more_names_than_there_is_room_for_are_counted_nowhere() -> None:
    table = SharedNumbers()
    places = [table.place(TOTAL, f"n{number}") for number in range(SERIES + 10)]
    assert places[-10:] == [0] * 10
    assert table.place(TOTAL, "x" * 300) == 0
    table.row[0] += 1
    assert len(table.read()) == SERIES - 1
    table.close()


CHILD = """
import os, pickle, sys
from portico.figures import GAUGE, MAX, SOURCES, TOTAL
table = pickle.loads(bytes.fromhex(sys.argv[1]))
for kind, name in ((TOTAL, "total"), (GAUGE, "gauge"), (MAX, "max")):
    table.row[table.place(kind, name)] = float(sys.argv[2])
print("ready", flush=True)
sys.stdin.read()
os._exit(1)
"""


def test_each_process_has_a_row_that_outlives_it_as_far_as_it_should() -> None:
    import pickle

    table = SharedNumbers()
    given = pickle.dumps(table).hex()

    def child(value: int) -> subprocess.Popen[str]:
        started = subprocess.Popen(
            [sys.executable, "-c", CHILD, given, str(value)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root,
        )  # fmt: skip
        assert started.stdout is not None
        assert started.stdout.readline() == "ready\n"
        return started

    children = [child(value) for value in (1, 2, 4)]
    assert (table.processes, table.read()) == (3, {"total": 7, "gauge": 7, "max": 4})
    children.pop().communicate()
    assert (table.processes, table.read()) == (2, {"total": 7, "gauge": 3, "max": 2})
    children.append(child(8))
    assert (table.processes, table.read()) == (3, {"total": 15, "gauge": 11, "max": 8})
    for each in children:
        each.communicate()
    assert (table.processes, table.read()) == (0, {"total": 15, "gauge": 0, "max": 0})
    table.close()


def test_a_forked_process_has_a_row_of_its_own() -> None:
    program = """
import os
from portico.figures import TOTAL
from portico.web.shared_numbers import SharedNumbers
table = SharedNumbers()
table.row[table.place(TOTAL, "n")] += 1
for _ in range(3):
    if not os.fork():
        table.row[table.place(TOTAL, "n")] += 1
        os._exit(0)
for _ in range(3):
    os.wait()
print(table.read(), table.processes)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30)
    assert done.stdout == "{'n': 4.0} 1\n", done.stderr
