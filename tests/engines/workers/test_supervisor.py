"""A program without threads: its supervisor is a fork, and whatever its handler is, it works there.

Each test is a program of its own, since the tests' own process may have threads.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from portico import connect, timeout
from portico.address import Address
from portico.engines.workers.plan import Plan
from portico.engines.workers.scoreboard import ROWS, Scoreboard, State
from portico.engines.workers.slots import Slot, requests_of
from tests.engines.processes import alive, kill
from tests.engines.serving import SECONDS, until
from tests.peers import root

HEAD = """
import logging, os, signal, sys, threading, time, warnings
warnings.simplefilter("error")
logging.basicConfig(level=logging.INFO, format="%(processName)s %(process)d %(message)s")
import portico
from portico import Server, serve
from portico.sync import sleep

def ready(server):
    print(server.addresses[0], server._engine.supervisor if server._engine.processes else 0, flush=True)

"""
TALK = """
here = []
def talk(stream):
    stream.write(b"%d\\n" % os.getpid())
    for line in stream:
        here.append(line)
        stream.write(b"%d %s" % (len(here), line))
"""
ENGINES = ("workers:2/threads", "workers:2/inline", "forks")


class Program:
    """A running program; ``errors`` is what it said on stderr, once it has ended."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise AssertionError(process.communicate()[1])
        address, supervisor = line.split()
        self.address = Address.parse(address)
        self.supervisor = int(supervisor)
        self.errors = ""

    @property
    def family(self) -> list[int]:
        """Every process below the program's own."""
        return [each.pid for each in psutil.Process(self.process.pid).children(recursive=True)]

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        self.errors = self.process.communicate(timeout=SECONDS)[1]
        return self.process.returncode


@contextmanager
def running(code: str, *args: str, group: bool = False) -> Iterator[Program]:
    with subprocess.Popen(
        [sys.executable, "-c", HEAD + code, *args],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=root,
        start_new_session=group,
    ) as process:
        family: list[int] = []
        try:
            program = Program(process)
            family = program.family
            yield program
        finally:
            process.kill()
    until(lambda: not any(map(alive, family)), "every process to have ended")


def served(engine: str, options: str = "") -> str:
    return TALK + f'serve(talk, "tcp://127.0.0.1:0", engine="{engine}", ready=ready, {options})'


@pytest.mark.parametrize("engine", ENGINES)
def test_any_handler_is_served(engine: str) -> None:
    with running(served(engine)) as program, timeout(SECONDS), connect(program.address) as stream:
        assert int(stream.read_line()) in program.family
        stream.write(b"hello\n")
        assert stream.read_line() == b"1 hello"
        stream.shutdown_write()
        assert stream.read_all() == b""
        assert program.end() == 0
        assert "Warning" not in program.errors


def test_its_processes_are_forks_and_hold_no_threads_of_ours() -> None:
    with running(served("workers:1/inline")) as program:
        supervisor = psutil.Process(program.supervisor)
        assert supervisor.cmdline() == psutil.Process(program.process.pid).cmdline()
        assert supervisor.num_threads() == 1
        assert program.end() == 0


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_and_a_second_one_stops_at_once(engine: str, number: int) -> None:
    with running(served(engine, "grace=300")) as program, timeout(SECONDS):
        with connect(program.address) as stream:
            stream.read_line()
            program.process.send_signal(number)
            stream.write(b"more\n")
            assert stream.read_line() == b"1 more"
            until(lambda: refused(program.address), "new connections to be refused")
            assert program.end(number) == 0
        assert "cut " in program.errors
        assert str(stream.local) in program.errors


@pytest.mark.parametrize("engine", ENGINES)
def test_an_interrupt_of_the_whole_group_is_for_the_first_process_to_heed(engine: str) -> None:
    """As Ctrl-C at a terminal is."""
    with running(served(engine, "grace=300"), group=True) as program, timeout(SECONDS):
        with connect(program.address) as stream:
            stream.read_line()
            os.killpg(program.process.pid, signal.SIGINT)
            until(lambda: refused(program.address))
            stream.write(b"still there\n")
            assert stream.read_line() == b"1 still there"
        program.errors = program.process.communicate(timeout=SECONDS)[1]
        assert program.process.returncode == 0
        assert "Traceback" not in program.errors


@pytest.mark.parametrize("engine", ENGINES)
def test_when_all_are_terminated_at_once_all_finish(engine: str) -> None:
    """As a service manager does it."""
    with running(served(engine, "grace=300")) as program, timeout(SECONDS):
        with connect(program.address) as stream:
            stream.read_line()
            for pid in (program.process.pid, program.supervisor):
                os.kill(pid, signal.SIGTERM)
            stream.write(b"last\n")
            assert stream.read_line() == b"1 last"
        program.errors = program.process.communicate(timeout=SECONDS)[1]
        assert program.process.returncode == 0


@pytest.mark.parametrize("engine", ENGINES)
def test_who_is_told_to_finish_and_then_terminated_as_well_finishes(engine: str) -> None:
    """The service manager's signal to all may come to a worker after the supervisor's word."""
    with running(served(engine, "grace=300, limits=portico.Limits(drain_quiet=300)")) as program:
        with timeout(SECONDS), connect(program.address) as stream:
            stream.read_line()
            family = program.family
            os.kill(program.supervisor, signal.SIGTERM)
            until(lambda: refused(program.address))
            for pid in {*family} - {program.supervisor}:
                if alive(pid):
                    os.kill(pid, signal.SIGTERM)
            for number in (1, 2):
                stream.write(b"last\n")
                assert stream.read_line() == b"%d last" % number
        program.errors = program.process.communicate(timeout=SECONDS)[1]
        assert program.process.returncode == 0


def test_who_insists_ends_a_child_of_forks() -> None:
    with (
        running(served("forks", "grace=300")) as program,
        timeout(SECONDS),
        connect(program.address) as stream,
    ):
        child = int(stream.read_line())
        for number in (1, 2):
            os.kill(child, signal.SIGTERM)
            stream.write(b"still there\n")
            assert stream.read_line() == b"%d still there" % number
        os.kill(child, signal.SIGTERM)
        until(lambda: not alive(child), "the child to end")


LOADING = """
from portico.server import Late
def load():
    print("loading", os.getpid(), flush=True)
    time.sleep(300)
serve(Late(load), "tcp://127.0.0.1:0", engine="workers:1/threads", wire="stream", ready=ready)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_start_that_takes_for_ever_can_be_ended(number: int) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HEAD + LOADING], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as program:
        try:
            assert program.stdout is not None
            worker = int(program.stdout.readline().split()[1])
            program.send_signal(number)
            assert program.wait(SECONDS) == 0
            until(lambda: not alive(worker), "the worker to end")
            assert program.communicate() == ("", "")
        finally:
            program.kill()


@pytest.mark.parametrize("engine", ENGINES)
def test_without_the_program_all_finish_and_end(engine: str) -> None:
    with running(served(engine, "grace=300, limits=portico.Limits(drain_quiet=0.2)")) as program:
        family = program.family
        with timeout(SECONDS), connect(program.address) as stream:
            family.append(int(stream.read_line()))
            kill(program.process.pid)
            stream.write(b"finished\n")
            assert stream.read_line() == b"1 finished"
        until(lambda: not any(map(alive, family)), "all to end")


@pytest.mark.parametrize("engine", ENGINES)
def test_without_its_supervisor_the_program_ends_with_an_error(engine: str) -> None:
    with running(served(engine, "grace=300")) as program:
        kill(program.supervisor)
        program.errors = program.process.communicate(timeout=SECONDS)[1]
        assert program.process.returncode == 1
        assert "was killed by SIGKILL; the server has stopped" in program.errors


def test_a_child_of_forks_whose_forker_was_killed_finishes_within_the_grace() -> None:
    with running(served("forks", "grace=1")) as program, timeout(SECONDS), connect(program.address) as stream:
        child = int(stream.read_line())
        forker = psutil.Process(child).ppid()
        kill(forker)
        stream.write(b"alone\n")
        assert stream.read_line() == b"1 alone"
        until(lambda: not alive(child), "the child to give up")
        with connect(program.address) as other:
            assert int(other.read_line()) != child
        assert program.end() == 0


def test_the_file_of_a_socket_goes_with_the_last_of_us(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    code = TALK + f'serve(talk, "unix:{path}", engine="workers:2/threads", ready=ready)'
    with running(code) as program:
        assert path.is_socket()
        kill(program.process.pid)
        until(lambda: not path.exists(), "the supervisor to remove it")


def test_a_second_server_of_a_program_says_what_to_do() -> None:
    code = (
        TALK
        + """
one = Server(talk, "tcp://127.0.0.1:0", engine="workers:1/inline").start()
try:
    Server(talk, "tcp://127.0.0.1:0", engine="workers:1/inline").start()
except portico.PorticoError as error:
    print("said:", error, file=sys.stderr)
ready(one)
one.wait()
"""
    )
    with running(code) as program:
        program.end()
        assert "said: this process has threads already" in program.errors
        assert "start the server before any thread" in program.errors
        assert program.errors.count("Traceback") == 0


def test_a_deadline_of_the_program_is_not_its_workers() -> None:
    code = (
        TALK
        + """
with portico.timeout(1.0):
    one = Server(talk, "tcp://127.0.0.1:0", engine="workers:1/inline").start()
ready(one)
one.wait()
"""
    )
    with running(code) as program, timeout(SECONDS), connect(program.address) as stream:
        stream.read_line()
        psutil.Process().cpu_percent(1.1)
        stream.write(b"in time\n")
        assert stream.read_line() == b"1 in time"


def refused(address: Address) -> bool:
    try:
        connect(address).close()
    except ConnectionError:
        return True
    return False


# -- what the supervisor reckons with


def test_pauses_grow_and_are_bounded() -> None:
    slot = Slot(1, [])
    pauses = [slot.pause_after(young=True) for _ in range(40)]
    assert pauses[:6] == [0, 0, 0, 0.5, 1.0, 2.0]
    assert pauses == sorted(pauses)
    assert pauses[-1] == 30.0
    assert slot.pause_after(young=True, served=True) == 0.5
    assert slot.pause_after(young=False) == 0


def test_bounds_differ_from_worker_to_worker_and_never_exceed_what_was_asked() -> None:
    plan = Plan(workers=1, inner="inline", max_requests=1000)
    shares = {requests_of(plan) or 0 for _ in range(100)}
    assert len(shares) > 10
    assert 900 <= min(shares) <= max(shares) <= 1000
    assert requests_of(Plan(workers=1, inner="inline", max_requests=1)) == 1


def test_the_scoreboard_keeps_what_the_dead_did() -> None:
    board = Scoreboard()
    row = board.hire()
    assert row is not None
    row.take(4711, 2)
    assert (row.pid, row.slot, row.state) == (4711, 2, State.STARTING)
    row.opened, row.closed, row.requests, row.dropped = 5, 3, 9, 4
    row.set_refused(2, 7)
    board.past.set_refused(2, 1)
    assert (board.connections, board.totals.accepted, board.totals.requests) == (2, 5, 9)
    board.retire(row)
    assert (board.connections, board.totals.accepted, board.totals.requests) == (0, 5, 9)
    assert (board.totals.dropped, board.totals.refused) == (
        4,
        tuple(8 * (reason == 2) for reason in range(32)),
    )
    assert board.living() == []
    for number in range(1, ROWS):
        row = board.hire()
        assert row is not None
        row.take(number, 1)
    assert board.hire() is None
    board.close()
