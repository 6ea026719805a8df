"""Look-ups: in order, shared, bounded, abandoned by a deadline, and never in the way of an exit."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from portico.deadline import timeout
from portico.engines import door
from portico.errors import AddressError, PorticoError, ResolveError, Timeout
from portico.sockets import names
from portico.sockets.names import Found, interleave, resolve

V4, V6 = socket.AF_INET, socket.AF_INET6
ENOUGH = 20.0
"""Seconds after which a test has failed; nothing is expected to take so long."""


def found(*ips: str) -> list[Found]:
    return [Found(V6, (ip, 0, 0, 0)) if ":" in ip else Found(V4, (ip, 0)) for ip in ips]


@pytest.fixture(autouse=True, scope="module")
def main_waiter() -> None:
    """What a thread waits with is made once and kept: no leak of the first test that waits."""
    door.waiter()


class System:
    """Stands for ``getaddrinfo``: counts, answers, and hangs while ``open`` is not set."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.begun = threading.Semaphore(0)
        self.open = threading.Event()
        self.answer: list[str] | Exception = ["192.0.2.1"]

    def __call__(self, host: str, port: int, family: int = 0, kind: int = 0, *_: Any) -> list[Any]:
        self.asked.append(host)
        self.begun.release()
        assert self.open.wait(ENOUGH)
        if isinstance(self.answer, Exception):
            raise self.answer
        return [(one.family, kind, 6, "", one.sockaddr) for one in found(*self.answer)]


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch, no_leaks: None) -> Iterator[System]:
    """A fresh desk before a system that hangs until it is opened; its threads leave soon."""
    stand_in = System()
    monkeypatch.setattr(socket, "getaddrinfo", stand_in)
    monkeypatch.setattr(names, "_desk", names._Desk())
    monkeypatch.setattr(names, "IDLE", 0.01)
    yield stand_in
    stand_in.open.set()


@pytest.fixture
def answering(system: System) -> System:
    system.open.set()
    return system


@pytest.fixture
def no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any look-up that reaches the threads is a failure."""

    def refuse(*_: object) -> None:
        pytest.fail("a thread was asked")

    monkeypatch.setattr(names._Desk, "join", refuse)


def in_threads(count: int, call: Callable[[], Any]) -> tuple[list[threading.Thread], list[Any]]:
    """Run ``call`` in so many threads; what it returned or raised is gathered."""
    results: list[Any] = []

    def run() -> None:
        try:
            results.append(call())
        except PorticoError as error:
            results.append(error)

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    return threads, results


def joined(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.join(ENOUGH)
        assert not thread.is_alive()


def until(condition: Callable[[], bool]) -> None:
    """Wait for what another thread is about to do and does not tell."""
    with timeout(ENOUGH) as t:
        while not condition():
            t.check("waiting for another thread")
            threading.Event().wait(0.001)


# -- order


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([], []),
        (["::1"], ["::1"]),
        (["::1", "::2", "1.1.1.1", "1.1.1.2"], ["::1", "1.1.1.1", "::2", "1.1.1.2"]),
        (["1.1.1.1", "1.1.1.2", "::1"], ["1.1.1.1", "::1", "1.1.1.2"]),
        (["::1", "1.1.1.1", "1.1.1.2", "1.1.1.3"], ["::1", "1.1.1.1", "1.1.1.2", "1.1.1.3"]),
        (["1.1.1.1", "1.1.1.2"], ["1.1.1.1", "1.1.1.2"]),
    ],
)
def test_families_take_turns_beginning_with_the_first(given: list[str], expected: list[str]) -> None:
    assert interleave(found(*given)) == found(*expected)


def test_the_order_of_the_system_is_kept_within_a_family(answering: System) -> None:
    answering.answer = ["::3", "::1", "192.0.2.9", "192.0.2.1"]
    assert [one.ip for one in resolve("host.example", 80)] == ["::3", "192.0.2.9", "::1", "192.0.2.1"]
    assert resolve("host.example", 80)[0] == (V6, ("::3", 80, 0, 0))


def test_one_family_can_be_asked_for(answering: System) -> None:
    answering.answer = ["::1", "192.0.2.1"]
    assert [one.ip for one in resolve("host.example", 1, family=V4)] == ["192.0.2.1"]
    answering.answer = ["192.0.2.1"]
    with pytest.raises(ResolveError, match=r"'host\.example': it has no IPv6 address"):
        resolve("host.example", 1, family=V6)


# -- what needs no look-up


@pytest.mark.usefixtures("no_threads")
def test_literals_never_reach_a_thread() -> None:
    assert resolve("127.0.0.1", 80) == [(V4, ("127.0.0.1", 80))]
    assert resolve("::1", 80) == [(V6, ("::1", 80, 0, 0))]
    assert resolve("0:0::1", 80) == [(V6, ("::1", 80, 0, 0))]
    assert resolve("::ffff:192.0.2.1", 80) == [(V4, ("192.0.2.1", 80))]
    with pytest.raises(ResolveError, match="no IPv6 address"):
        resolve("127.0.0.1", 80, family=V6)


@pytest.mark.usefixtures("no_threads")
def test_an_empty_host_is_this_machine_or_every_interface() -> None:
    assert resolve("", 80, family=V4) == [(V4, ("127.0.0.1", 80))]
    assert resolve("", 80, family=V4, passive=True) == [(V4, ("0.0.0.0", 80))]
    assert {one.ip for one in resolve("", 80)} <= {"::1", "127.0.0.1"}
    assert {one.ip for one in resolve("", 80, passive=True)} <= {"::", "0.0.0.0"}


@pytest.mark.usefixtures("no_threads")
def test_zones_become_numbers() -> None:
    loopback = socket.if_nametoindex("lo")
    assert resolve("fe80::1%lo", 80) == [(V6, ("fe80::1", 80, 0, loopback))]
    assert resolve("fe80::1%7", 80)[0].ip == "fe80::1%7"
    with pytest.raises(ResolveError, match="no interface 'nonesuch'"):
        resolve("fe80::1%nonesuch", 80)


@pytest.mark.usefixtures("no_threads")
@pytest.mark.parametrize("host", ["127.1", "0x7f.1", "a b", "a\0b", "user@h", "*", "[::1]", "x" * 64])
def test_what_is_no_host_is_never_handed_to_the_system(host: str) -> None:
    with pytest.raises(AddressError):
        resolve(host, 80)
    with pytest.raises(AddressError):
        resolve("h", 80, resolver={"h": host})


@pytest.mark.usefixtures("no_threads")
def test_a_map_is_asked_first() -> None:
    own = {"one.example": "192.0.2.1", "many.example": ["192.0.2.2", "::2"], ("one.example", 443): ["::3"]}
    assert resolve("one.example", 80, resolver=own) == [(V4, ("192.0.2.1", 80))]
    assert resolve("ONE.example", 443, resolver=own) == [(V6, ("::3", 443, 0, 0))]
    assert [one.ip for one in resolve("many.example", 80, resolver=own)] == ["192.0.2.2", "::2"]
    assert resolve("192.0.2.7", 80, resolver={"192.0.2.7": "127.0.0.1"})[0].ip == "127.0.0.1"


@pytest.mark.usefixtures("no_threads")
@pytest.mark.parametrize(
    ("key", "host"),
    [
        ("Service.Example", "service.example"),
        (("Service.Example", 80), "SERVICE.example"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("BÜCHER.example", "bücher.example"),
        ("xn--bcher-kva.example", "Bücher.example"),
        ("2001:DB8:0:0::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        (("[2001:db8::1]", 80), "2001:db8::1"),
    ],
)
def test_a_map_knows_hosts_in_any_spelling(key: object, host: str) -> None:
    own = {"a b": "::9", 5: "::9", ("other.example", 80): "::9", key: "192.0.2.1"}
    assert resolve(host, 80, resolver=own) == [(V4, ("192.0.2.1", 80))]


@pytest.mark.usefixtures("no_threads")
def test_a_function_is_asked_with_host_and_port() -> None:
    asked = []

    def own(host: str, port: int) -> list[str]:
        asked.append((host, port))
        return ["127.0.0.9"]

    assert resolve("any.example", 80, resolver=own) == [(V4, ("127.0.0.9", 80))]
    assert asked == [("any.example", 80)]


def test_what_a_map_does_not_know_is_looked_up(answering: System) -> None:
    assert resolve("host.example", 80, resolver={})[0].ip == "192.0.2.1"
    assert resolve("host.example", 80, resolver=lambda host, port: None)[0].ip == "192.0.2.1"
    assert answering.asked == ["host.example"] * 2


@pytest.mark.usefixtures("no_threads")
def test_a_map_gives_addresses_only() -> None:
    with pytest.raises(ResolveError, match=r"'other\.example', from resolver, is no IP address"):
        resolve("h", 80, resolver={"h": "other.example"})
    with pytest.raises(ResolveError, match="'h': it has no IP address"):
        resolve("h", 80, resolver={"h": []})


# -- the real system


@pytest.mark.usefixtures("no_leaks")
def test_localhost_has_a_loopback_address() -> None:
    assert {one.ip for one in resolve("localhost", 80)} <= {"127.0.0.1", "::1"}
    assert all(one.sockaddr[1] == 80 for one in resolve("LocalHost", 80))


def test_a_name_that_cannot_be_is_a_resolve_error() -> None:
    with pytest.raises(ResolveError, match=r"could not resolve 'nosuch\.invalid': "):
        resolve("nosuch.invalid", 80)


def test_the_name_of_the_loopback_address() -> None:
    assert names.reverse("127.0.0.1")
    with pytest.raises(AddressError):
        names.reverse("localhost")


def test_this_machine() -> None:
    assert names.host_name() == socket.gethostname()
    assert all(Found(V4, (ip, 0)).ip == ip for ip in names.local_addresses())


def test_services() -> None:
    assert names.service_port("http") == 80
    assert names.port_service(443) == "https"
    assert names.port_service(123, "udp") == "ntp"
    with pytest.raises(ResolveError, match="'no-such-service'"):
        names.service_port("no-such-service")
    with pytest.raises(ResolveError, match="port 1/udp"):
        names.port_service(1, "udp")


# -- failures


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (socket.gaierror(socket.EAI_NONAME, "x"), "there is no such name"),
        (socket.gaierror(socket.EAI_AGAIN, "x"), "try again later"),
        (socket.gaierror(socket.EAI_FAIL, "x"), "the name server failed"),
        (socket.gaierror(socket.EAI_MEMORY, "out of memory"), "out of memory"),
        (OSError("too many files"), "too many files"),
        (UnicodeError("odd"), "odd"),
    ],
)
def test_a_failure_names_the_host_and_the_reason(answering: System, error: Exception, reason: str) -> None:
    answering.answer = error
    with pytest.raises(ResolveError, match=f"could not resolve 'host.example': .*{reason}") as caught:
        resolve("host.example", 80)
    assert caught.value.__cause__ is error


def test_an_empty_answer_is_a_failure(answering: System) -> None:
    answering.answer = []
    with pytest.raises(ResolveError, match="gave no address"):
        resolve("host.example", 80)


def test_a_name_that_its_owner_made_up_is_not_passed_on(
    monkeypatch: pytest.MonkeyPatch, answering: System
) -> None:
    for evil in ("\x1b[31mred", "a b", "127.0.0.1\n", "<script>", "10.0.0.1.evil..example"):
        monkeypatch.setattr(socket, "getnameinfo", lambda *_, evil=evil: (evil, "0"))
        with pytest.raises(ResolveError, match="is no host name"):
            names.reverse("192.0.2.1")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_bug_in_a_look_up_leaves_nobody_waiting(answering: System) -> None:
    answering.answer = ZeroDivisionError("bug")
    with timeout(ENOUGH), pytest.raises(ResolveError, match="gave no address"):
        resolve("host.example", 80)
    answering.answer = ["192.0.2.5"]
    with timeout(ENOUGH):
        assert resolve("host.example", 80)[0].ip == "192.0.2.5"


# -- deadlines, sharing, bounds


def test_a_deadline_abandons_a_look_up_that_hangs(system: System) -> None:
    with pytest.raises(Timeout, match=r"looking up 'slow\.example'"), timeout(0.05):
        resolve("slow.example", 80)
    assert system.asked == ["slow.example"]


@pytest.mark.usefixtures("no_threads")
def test_a_deadline_that_has_passed_counts_even_where_nothing_is_waited_for() -> None:
    with timeout(0), pytest.raises(Timeout, match="looking up"):
        resolve("127.0.0.1", 80)


def test_one_name_is_looked_up_once_for_all_who_ask(system: System) -> None:
    threads, results = in_threads(10, lambda: resolve("same.example", 80))
    until(lambda: sum(len(one.waiters) for one in names._desk.under_way.values()) == 10)
    system.open.set()
    joined(threads)
    assert system.asked == ["same.example"]
    assert results == [[(V4, ("192.0.2.1", 80))]] * 10


def test_a_shared_failure_is_an_error_of_ones_own(system: System) -> None:
    system.answer = socket.gaierror(socket.EAI_NONAME, "x")
    threads, results = in_threads(3, lambda: resolve("same.example", 80))
    until(lambda: sum(len(one.waiters) for one in names._desk.under_way.values()) == 3)
    system.open.set()
    joined(threads)
    assert len({id(error) for error in results}) == 3
    assert all(isinstance(error, ResolveError) for error in results)


def test_who_gives_up_leaves_the_others_their_look_up(system: System) -> None:
    threads, results = in_threads(1, lambda: resolve("same.example", 80))
    assert system.begun.acquire(timeout=ENOUGH)
    with pytest.raises(Timeout), timeout(0.01):
        resolve("same.example", 443)
    system.open.set()
    joined(threads)
    assert results == [[(V4, ("192.0.2.1", 80))]]
    assert len(system.asked) == 1


def test_a_finished_look_up_is_not_kept(answering: System) -> None:
    resolve("host.example", 80)
    answering.answer = ["192.0.2.2"]
    assert resolve("host.example", 80)[0].ip == "192.0.2.2"


def test_threads_are_bounded_and_those_in_line_get_their_turn(system: System) -> None:
    numbers = iter(range(100))
    threads, results = in_threads(30, lambda: resolve(f"host{next(numbers)}.example", 80))
    for _ in range(names.THREADS):
        assert system.begun.acquire(timeout=ENOUGH)
    until(lambda: len(names._desk.under_way) == 30)
    assert len(system.asked) == names.THREADS == names._desk.threads
    system.open.set()
    joined(threads)
    assert len(results) == len(system.asked) == 30
    assert results[0] == [(V4, ("192.0.2.1", 80))]


def test_a_look_up_that_nobody_waits_for_any_more_is_not_begun(system: System) -> None:
    numbers = iter(range(100))
    threads, _ = in_threads(names.THREADS, lambda: resolve(f"host{next(numbers)}.example", 80))
    for _ in range(names.THREADS):
        assert system.begun.acquire(timeout=ENOUGH)
    with pytest.raises(Timeout), timeout(0.01):
        resolve("late.example", 80)
    assert not names._desk.line
    system.open.set()
    joined(threads)
    assert "late.example" not in system.asked


def test_idle_threads_serve_again_and_then_leave(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "IDLE", 0.5)
    system.open.set()
    for _ in range(20):
        resolve("host.example", 80)
        until(lambda: names._desk.idle == 1)
    assert names._desk.threads == 1
    until(lambda: names._desk.threads == 0)


def test_idle_threads_can_be_sent_home_before_their_time(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(names, "IDLE", 2 * ENOUGH)
    system.open.set()
    resolve("host.example", 80)
    until(lambda: names._desk.idle == 1)
    names.send_idle_threads_home()
    until(lambda: names._desk.threads == 0)


def test_a_machine_without_threads_says_so(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(ResolveError, match="can't start new thread"):
        resolve("host.example", 80)
    assert not names._desk.under_way
    assert not names._desk.line


def test_a_forked_child_looks_up_with_threads_of_its_own(system: System) -> None:
    threads, _ = in_threads(1, lambda: resolve("slow.example", 80))
    assert system.begun.acquire(timeout=ENOUGH)
    with names._desk.lock:  # held by the parent at the worst of moments
        child = os.fork()
    if child == 0:
        system.open.set()
        try:
            with timeout(ENOUGH):
                right = resolve("slow.example", 80)[0].ip == "192.0.2.1"
            os._exit(0 if right else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    system.open.set()
    joined(threads)


def test_a_look_up_that_hangs_does_not_delay_the_exit() -> None:
    script = """
import socket, threading
socket.getaddrinfo = lambda *_: threading.Event().wait()
from portico.deadline import timeout
from portico.errors import Timeout
from portico.sockets.names import resolve
try:
    with timeout(0.01):
        resolve("slow.example", 80)
except Timeout:
    print("gone")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=ENOUGH)
    assert (done.returncode, done.stdout, done.stderr) == (0, "gone\n", "")
