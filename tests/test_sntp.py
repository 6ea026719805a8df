"""The example of a datagram service: examples/sntp.py, as a user runs it."""

from __future__ import annotations

import importlib.util
import signal
import subprocess
import sys
from collections.abc import Iterator
from types import ModuleType

import pytest

from portico import Server, datagrams, timeout
from tests.engines.serving import SECONDS
from tests.peers import root

PROGRAM = root / "examples" / "sntp.py"


@pytest.fixture(scope="module")
def sntp() -> ModuleType:
    spec = importlib.util.spec_from_file_location("sntp", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def bounded() -> Iterator[None]:
    with timeout(SECONDS):
        yield


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-X", "dev", "-W", "error", str(PROGRAM), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)


def test_two_programs_compare_their_clocks() -> None:
    command = [sys.executable, "-X", "dev", "-W", "error", str(PROGRAM), "serve", "udp://127.0.0.1:0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        address = server.stdout.readline().split()[-1]
        asked = run("ask", address)
        server.send_signal(signal.SIGTERM)
        assert server.communicate(timeout=SECONDS)[1] == ""
        assert server.returncode == 0
    assert (asked.returncode, asked.stderr) == (0, "")
    assert abs(float(asked.stdout.split()[0])) < 1


@pytest.mark.parametrize("engine", ["inline", "threads", "events"])
def test_the_same_handler_answers_on_every_engine(engine: str, sntp: ModuleType) -> None:
    with Server(sntp.answer, "udp://127.0.0.1:0", engine=engine) as server:
        assert abs(sntp.ask(str(server.addresses[0]))) < 1


def test_what_is_no_question_gets_no_answer(sntp: ModuleType) -> None:
    with Server(sntp.answer, "udp://127.0.0.1:0") as server, datagrams(server.addresses[0]) as there:
        # Nothing, mode 0, an answer, something longer.
        for wrong in (b"", bytes(48), b"\x24" + bytes(47), b"\x23" + bytes(48)):
            there.send(wrong)
        there.send(b"\x23" + bytes(47))
        assert there.receive().data[0] == 0x24
        assert there.try_receive() is None


def test_an_answer_to_another_question_is_not_believed(sntp: ModuleType) -> None:
    with datagrams(local="udp://127.0.0.1:0") as here, datagrams(here.local) as there:
        there.send(b"")
        client = here.receive()
        client.reply(b"\x24" + bytes(47))
        with timeout(0.1), pytest.raises(TimeoutError):
            sntp.ask_once(there)


def test_a_wrong_call_is_told_how() -> None:
    assert run().returncode == 2
    asked = run("ask", "udp://127.0.0.1:1")
    assert (asked.returncode, asked.stderr) == (1, "sntp: receiving at " + asked.stderr.partition("at ")[2])
    assert "nobody receives at udp://127.0.0.1:1" in asked.stderr
    assert len(asked.stderr.splitlines()) == 1
