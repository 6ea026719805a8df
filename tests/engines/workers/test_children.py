"""Forks of our own, the line between processes, and the loop that they wait in."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from time import monotonic

import pytest

from portico import run
from portico.engines import door
from portico.engines.workers import children, fresh
from portico.engines.workers.channel import Channel
from portico.engines.workers.children import ask, ended_how, told
from portico.engines.workers.loop import Loop
from portico.engines.workers.scoreboard import Scoreboard
from portico.errors import ConfigError

pytestmark = pytest.mark.usefixtures("no_leaks")


@pytest.fixture
def loop() -> Iterator[Loop]:
    before = {number: signal.getsignal(number) for number in (signal.SIGUSR1, signal.SIGUSR2)}
    wakeup = signal.set_wakeup_fd(-1)
    loop = Loop()
    yield loop
    loop.close()
    signal.set_wakeup_fd(wakeup)
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_child_of_somebody_elses_fork_ends_on_sigterm(loop: Loop) -> None:
    before = signal.getsignal(signal.SIGTERM)
    loop.on_signal(signal.SIGTERM, lambda: pytest.fail("it heeds what is ours"))
    pid = os.fork()
    if pid == 0:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            os._exit(3)
    status = os.waitpid(pid, 0)[1]
    signal.signal(signal.SIGTERM, before)
    assert ended_how(status) == "was killed by SIGTERM"


def test_messages_arrive_whole_and_in_order() -> None:
    one, other = Channel.pair()
    assert other.receive() == []
    for number in range(3):
        assert one.send(number=number, words="ü" * 5_000)
        [message] = other.receive(wait=True)
        assert message == {"number": number, "words": "ü" * 5_000}
    one.send(last=True)
    one.close()
    assert other.receive() == [{"last": True}]
    assert other.ended
    assert not other.send(anything=1)
    other.close()


def test_a_loop_calls_back_for_descriptors_times_signals_and_other_threads(loop: Loop) -> None:
    seen: list[str] = []
    one, other = socket.socketpair()

    def note(what: str, then: Callable[[], object] = lambda: None) -> Callable[[], None]:
        def noted() -> None:
            seen.append(what)
            then()

        return noted

    loop.watch(one.fileno(), note("descriptor", lambda: loop.forget(one.fileno())))
    loop.on_signal(signal.SIGUSR1, note("signal"))
    cancelled = loop.later(0.0, note("cancelled"))
    cancelled.cancel()
    loop.later(0.2, note("end", loop.stop))
    loop.at(monotonic() - 1, note("past"))
    loop.call(note("call"))
    other.send(b"x")
    os.kill(os.getpid(), signal.SIGUSR1)
    loop.run()
    assert sorted(seen) == ["call", "descriptor", "end", "past", "signal"]
    assert seen[-1] == "end"
    one.close()
    other.close()


def test_what_a_child_is_asked_it_imports_for_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "has_one_thread", lambda: True)
    sys.modules.pop("this", None)

    def question() -> list[object]:
        import colorsys

        return [os.getpid(), colorsys.__name__]

    sys.modules.pop("colorsys", None)
    pid, name = ask(question)
    assert pid != os.getpid()
    assert name == "colorsys"
    assert "colorsys" not in sys.modules


def test_a_child_that_was_forked_in_a_hub_has_nothing_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "has_one_thread", lambda: True)

    def question() -> str:
        door.sleep(0.001)
        return type(door.current()).__name__

    assert run(ask, question) == "ThreadDoor"


def test_what_goes_wrong_in_a_child_that_was_asked_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "has_one_thread", lambda: True)

    def fail() -> None:
        raise LookupError("two\nlines")

    with pytest.raises(ConfigError, match=r"^LookupError: two lines$"):
        ask(fail)
    with pytest.raises(ConfigError, match="was killed by SIGKILL"):
        ask(lambda: os.kill(os.getpid(), signal.SIGKILL))
    with pytest.raises(ConfigError, match="SystemExit: 3"):
        ask(lambda: sys.exit(3))


def test_where_there_are_threads_the_question_is_asked_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "has_one_thread", lambda: False)
    assert ask(os.getpid) == os.getpid()


def test_ends_and_errors_in_words() -> None:
    assert ended_how(3 << 8) == "exited with 3"
    assert ended_how(signal.SIGSEGV) == "was killed by SIGSEGV"
    assert told(ConfigError("as it is")) == "as it is"
    assert told(KeyError("x")) == "KeyError: 'x'"
    assert told(ValueError()) == "ValueError"


def test_a_named_scoreboard_is_shared_by_its_descriptor() -> None:
    board = Scoreboard(named=True)
    same = Scoreboard(descriptor=os.dup(board.descriptor))
    row = board.hire()
    assert row is not None
    row.take(1, 1)
    same.row(row.number).opened = 7
    assert board.connections == 7
    same.close()
    board.close()


def test_an_open_socket_of_a_handler_cannot_go_along() -> None:
    with socket.socket() as sock, pytest.raises(ConfigError, match="holds an open socket"):
        fresh.pack(sock)


def test_without_an_interpreter_there_is_an_error_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "")
    one, other = Channel.pair()
    logs = fresh.Logs()
    with pytest.raises(ConfigError, match="no interpreter to start"):
        fresh.start(print, channel=one, logs=logs)
    one.close()
    other.close()
    logs.close()


@pytest.mark.parametrize(("name", "may_fork"), [("portico worker", True), ("of somebody else", False)])
def test_only_threads_of_ours_are_waited_for_before_a_fork(
    monkeypatch: pytest.MonkeyPatch, name: str, may_fork: bool
) -> None:
    leave = threading.Event()
    thread = threading.Thread(target=leave.wait, name=name)
    thread.start()

    def wait_for_it(seconds: float) -> None:
        leave.set()
        thread.join()

    monkeypatch.setattr(os, "listdir", lambda path: ["1"] + ["2"] * thread.is_alive())
    monkeypatch.setattr(threading, "enumerate", lambda: [threading.current_thread(), thread])
    monkeypatch.setattr(children, "sleep", wait_for_it)
    assert children.has_one_thread() == may_fork
    wait_for_it(0)
