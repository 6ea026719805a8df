"""The benchmarks are right: what fails is called so, what is missing is named, what is reckoned adds up."""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from bench.common import Missing, Wrong, table
from bench.idle import Row
from bench.idle_clients import Clients
from bench.load import Burst, read_burst
from bench.memory import Held
from bench.peers.blocking_servers import most
from bench.peers.checks import echoes
from bench.peers.idle_servers import Parked
from bench.peers.process import Command, Peer, script
from bench.results import LIMIT, Run, Sample, as_json
from bench.results.text import CPU, P99, RATE, SHARE_OF_C, as_text
from bench.rounds import MEASURE_SECONDS, OVERHEAD, seconds_for, start_all
from tests.peers import root

ECHO = echoes([16, 100_000])


def program(folder: Path, body: str) -> Command:
    """A server of one's own: ``answer(data)`` is what it sends back, and nothing where it hangs up."""
    path = folder / "server.py"
    path.write_text(
        "import socketserver, sys\n"
        f"def answer(data):\n    return {body}\n"
        "class Handler(socketserver.BaseRequestHandler):\n"
        "    def handle(self):\n"
        "        while (data := self.request.recv(65536)) and (back := answer(data)):\n"
        "            self.request.sendall(back)\n"
        "socketserver.ThreadingTCPServer.daemon_threads = True\n"
        "socketserver.ThreadingTCPServer(('127.0.0.1', int(sys.argv[1])), Handler).serve_forever()\n",
        encoding="utf-8",
    )
    return lambda port, folder: [sys.executable, str(path), str(port)]


@pytest.fixture
def echo() -> Peer:
    return Peer("echo", "Python", script("echo_socketserver"), ECHO)


def sample(peer: str, rate: int, turn: int = 0, errors: dict[str, int] | None = None) -> Sample:
    latencies = {"p50_us": 1000.0, "p99_us": 2000.0}
    return Sample(peer, "a", turn, Burst(rate, 1.0, 0.1, errors or {}, latencies), 0.5, 0.0)


def test_a_generators_line_is_read_into_counts_errors_and_latencies() -> None:
    line = "requests=10 seconds=0.5 connect=0 read=2 wrong=0 timeout=1 p50_us=20 p99_us=90 max_us=100"
    burst = read_burst("own", f"noise\n{line}\n", 0.25)
    assert (burst.requests, burst.seconds, burst.load_cpu) == (10, 0.5, 0.25)
    assert burst.errors == {"read": 2, "timeout": 1}
    assert burst.latencies == {"p50_us": 20, "p99_us": 90, "max_us": 100}


def test_a_burst_without_an_answer_is_an_error() -> None:
    assert read_burst("wrk", "requests=0 seconds=1.0 connect=0", 0.0).errors


def test_a_generator_that_fails_is_named_with_its_words() -> None:
    with pytest.raises(Missing, match="own failed: usage"):
        read_burst("own", "usage: load PORT\n", 0.0)


def test_shares_are_taken_within_a_round() -> None:
    run = Run(("a",))
    run.samples += [sample(LIMIT, 100), sample("x", 50), sample(LIMIT, 10, 1), sample("x", 10, 1)]
    share = run.share("x", "a")
    assert share is not None
    assert (share.lowest, share.highest) == (0.5, 1.0)


def test_where_the_most_is_known_it_is_what_shares_are_of() -> None:
    run = Run(("a",), most={"a": 200.0})
    run.samples.append(sample("x", 50))
    share = run.share("x", "a")
    assert share is not None
    assert share.median == 0.25


def test_a_run_with_errors_has_failed_and_says_whose() -> None:
    run = Run(("a",))
    run.samples += [sample("x", 50), sample("y", 50, errors={"status": 3})]
    peers = [Peer(name, "C", lambda port, folder: [], ECHO) for name in ("x", "y")]
    text = as_text("Title", run, {"date": "today"}, peers, [[CPU, SHARE_OF_C], [RATE, P99]])
    assert run.failed
    assert "errors: y, a: 3 status" in text
    assert [row["errors"] for row in as_json(run, {}, peers)["rows"]] == [{}, {"status": 3}]  # type: ignore[attr-defined]


def test_columns_have_room_for_the_name_of_their_group() -> None:
    lines = table([["a", "1", "2"], ["b", "3", "4"]], {1: "a long name", 2: "another"}).splitlines()
    assert lines[0].split("  ")[-1].strip() == "another"
    assert "a long name" in lines[0]


@pytest.mark.parametrize("turns", [1, 20, 55, 500])
def test_bursts_are_as_long_as_the_time_allows(turns: int) -> None:
    seconds = seconds_for(2.0, turns, [1.0, 1.0, 3.0])
    assert 0.5 <= seconds <= 2.0
    assert seconds == 0.5 or turns * (5 * seconds + 3 * OVERHEAD) <= MEASURE_SECONDS


def test_the_most_of_eight_sleeping_threads() -> None:
    assert sorted(most().values()) == pytest.approx([400, 8000 / 3, 8000, 8000])


@pytest.mark.usefixtures("no_leaks")
def test_a_server_that_echoes_is_measured(echo: Peer, tmp_path: Path) -> None:
    with echo.running(tmp_path, 0) as server:
        server.check()


@pytest.mark.usefixtures("no_leaks")
@pytest.mark.parametrize("body", ["data[:-1] + b'??'", "bytes(len(data))", "b''"])
def test_a_server_that_answers_wrongly_is_never_measured(tmp_path: Path, body: str) -> None:
    run, liar = Run(("a",)), Peer("liar", "Python", program(tmp_path, body), echoes([16]))
    with ExitStack() as stack:
        assert start_all([liar], run, stack, tmp_path, 0) == {}
    assert "answers wrongly" in run.wrong["liar"]
    assert run.failed


@pytest.mark.usefixtures("no_leaks")
def test_what_is_not_installed_is_named(tmp_path: Path) -> None:
    run, absent = Run(("a",)), Peer("absent", "C", lambda port, folder: [], ECHO, "no_such_module")
    with ExitStack() as stack:
        assert start_all([absent], run, stack, tmp_path, 0) == {}
    assert run.missing == {"absent": "not installed (no module no_such_module)"}
    assert not run.failed


@pytest.mark.usefixtures("no_leaks")
def test_a_server_that_ends_at_once_is_missing_with_its_last_words(tmp_path: Path) -> None:
    command: Command = lambda port, folder: [sys.executable, "-c", "raise SystemExit('no engine')"]  # noqa: E731
    peer = Peer("x", "Python", command, ECHO)
    with pytest.raises(Missing, match="status 1: no engine"), peer.running(tmp_path, 0):
        pass


@pytest.mark.usefixtures("no_leaks")
def test_idle_connections_must_stay_open(echo: Peer, tmp_path: Path) -> None:
    with echo.running(tmp_path, 0) as server:
        clients = Clients(server)
        try:
            clients.open(3)
            clients.check()
            server.process.kill()
            server.process.wait()
            with pytest.raises(Wrong, match="3 of 3 idle connections were closed"):
                clients.check()
        finally:
            clients.close()


def test_the_slope_of_idle_connections_is_that_of_the_closest_line(echo: Peer) -> None:
    row = Row(Parked("conversation", echo), [(0, Held(100, 50, None)), (10, Held(130, 70, None))])
    assert (row.slope("resident"), row.slope("proportional"), row.slope("kernel")) == (3.0, 2.0, None)


@pytest.mark.parametrize("arguments", [["nonsense"], ["--quick", "echo"]])
def test_benchmarks_are_named_before_their_options(arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench", *arguments],
        cwd=root, capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert (done.returncode, done.stderr.partition(" ")[0]) == (2, "usage:")


@pytest.mark.parametrize("name", ["http", "answers", "static", "echo", "blocking", "idle"])
def test_every_benchmark_explains_its_options(name: str) -> None:
    done = subprocess.run(
        [sys.executable, str(root / "bench" / f"{name}.py"), "--help"],
        capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert done.returncode == 0
    assert "--quick" in done.stdout
