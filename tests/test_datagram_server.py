"""Servers of datagrams: the same handler on every engine; floods, failures and the end."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from portico import Address, Datagram, Handler, Limits, Server, Stream, aio, connect, datagrams, timeout
from portico.admission import Admission
from portico.errors import BindError, ConfigError, Timeout
from portico.sockets.datagram import Datagrams
from portico.sync import Event
from tests.engines import loops, process_handlers  # noqa: F401  (libuv keeps what it opens once)
from tests.engines.processes import halt, pids
from tests.engines.serving import SECONDS, until
from tests.peers import need
from tests.ports import free_port

pytestmark = pytest.mark.usefixtures("no_leaks")

PLACES = {
    "udp4": "udp://127.0.0.1:0",
    "udp6": "udp://[::1]:0",
    "everywhere": "udp://:0",
    "unix": "unixgram:{folder}/x",
    "group": "udp://239.255.77.8:0?interface=lo",
}
CONCURRENT = ["threads", "events"]
ENGINES = ["inline", *CONCURRENT]  # in this process; those with processes stand at the end


@pytest.fixture(autouse=True)
def bounded() -> Iterator[None]:
    with timeout(SECONDS):
        yield


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def upper(datagram: Datagram) -> None:
    if datagram.data == b"fail":
        raise RuntimeError("asked to fail")
    datagram.reply(datagram.data.upper())


def reach(server: Server, **options: Any) -> Datagrams:
    """A client of a server's first address."""
    where = server.addresses[0]
    if where.transport == "udp" and not where.host:
        where = Address.parse(f"udp://127.0.0.1:{where.port}")
    return datagrams(where, **options)


def ask(there: Datagrams, data: bytes) -> bytes:
    there.send(data)
    return there.receive().data


# -- a handler


@pytest.mark.parametrize("place", PLACES)
def test_a_function_answers(engine: str, place: str, tmp_path: Path) -> None:
    with (
        Server(upper, PLACES[place].format(folder=tmp_path), engine=engine) as server,
        reach(server) as there,
    ):
        assert [ask(there, word) for word in (b"a", b"", b"bc")] == [b"A", b"", b"BC"]
    assert not list(tmp_path.iterdir())


class Recorded(Handler):
    log: ClassVar[list[str]] = []

    def setup(self) -> None:
        self.log.append(f"setup {self.peer == self.datagram.peer} {type(self.server).__name__}")

    def handle(self) -> None:
        self.datagram.reply(b"%d" % len(self.datagram.data))
        if self.datagram.data == b"fail":
            raise RuntimeError("asked to fail")

    def finish(self) -> None:
        self.log.append("finish")


@pytest.mark.parametrize("engine", ENGINES)
def test_a_class_is_set_up_and_finished_for_each_datagram(
    engine: str, caplog: pytest.LogCaptureFixture
) -> None:
    Recorded.log.clear()
    with Server(Recorded, "udp://127.0.0.1:0", engine=engine) as server, reach(server) as there:
        assert (ask(there, b"abc"), ask(there, b"fail")) == (b"3", b"4")
    assert Recorded.log == ["setup True Server", "finish"] * 2
    assert "asked to fail" in caplog.text


def test_a_handler_that_fails_costs_only_its_own_datagram(
    engine: str, caplog: pytest.LogCaptureFixture
) -> None:
    with Server(upper, "udp://127.0.0.1:0", engine=engine) as server, reach(server) as there:
        there.send(b"fail")
        assert ask(there, b"x") == b"X"
        until(lambda: "asked to fail" in caplog.text)
        assert f"the handler of the datagram from {there.local} failed" in caplog.text


def test_thousands_of_datagrams_are_answered_each_once(engine: str) -> None:
    count = 3000
    answers: dict[bytes, int] = {}
    with Server(upper, "udp://127.0.0.1:0", engine=engine) as server, reach(server) as there:
        for number in range(0, count, 50):  # as many under way as every receive buffer holds
            for each in range(number, number + 50):
                there.send(b"n%d" % each)
            for _ in range(50):
                data = there.receive().data
                answers[data] = answers.get(data, 0) + 1
        assert there.try_receive() is None
    assert answers == {b"N%d" % number: 1 for number in range(count)}


def test_large_datagrams_come_and_go_whole(engine: str) -> None:
    with Server(upper, "udp://127.0.0.1:0", engine=engine) as server, reach(server) as there:
        assert ask(there, b"x" * 65507) == b"X" * 65507


def test_every_address_of_a_machine_answers_for_itself(engine: str) -> None:
    with Server(upper, "udp://:0", engine=engine) as server:
        for host in ("127.0.0.1", "127.0.0.7", "[::1]"):
            # A connected client hears only the address that it asked.
            with datagrams(f"udp://{host}:{server.addresses[0].port}") as there:
                assert ask(there, b"x") == b"X"


def test_streams_and_datagrams_are_served_beside_each_other(engine: str) -> None:
    def handler(subject: Stream | Datagram) -> None:
        if isinstance(subject, Datagram):
            subject.reply(b"datagram")
        else:
            subject.write(b"stream")

    with Server(handler, "udp://127.0.0.1:0", "tcp://127.0.0.1:0", engine=engine) as server:
        with reach(server) as there:
            assert ask(there, b"") == b"datagram"
        with connect(server.addresses[1]) as stream:
            assert stream.read_all() == b"stream"


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_UNIX])
def test_a_socket_of_a_service_manager_is_served(engine: str, family: int, tmp_path: Path) -> None:
    with socket.socket(family, socket.SOCK_DGRAM) as given:
        given.bind(("127.0.0.1", 0) if family == socket.AF_INET else str(tmp_path / "x"))
        with Server(upper, f"fd://{given.fileno()}", engine=engine) as server, reach(server) as there:
            assert ask(there, b"x") == b"X"
    assert (tmp_path / "x").exists() == (family == socket.AF_UNIX), "the file is the manager's"


@pytest.mark.parametrize("engine", CONCURRENT)
def test_slow_handlers_keep_nobody_waiting(engine: str) -> None:
    go = Event()

    def handler(datagram: Datagram) -> None:
        if datagram.data == b"slow":
            go.wait()
        datagram.reply(datagram.data)

    with (
        Server(handler, "udp://127.0.0.1:0", engine=engine) as server,
        reach(server) as slow,
        reach(server) as quick,
    ):
        for _ in range(10):
            slow.send(b"slow")
        for _ in range(100):
            assert ask(quick, b"quick") == b"quick"
        assert slow.try_receive() is None
        go.set()
        assert [slow.receive().data for _ in range(10)] == [b"slow"] * 10


@pytest.mark.parametrize("engine", ["threads:2"])
def test_handlers_that_hold_their_thread_get_one_each(engine: str) -> None:
    """Code that knows nothing of Portico: a plain lock."""
    gate, inside = threading.Semaphore(0), threading.Semaphore(0)

    def handler(datagram: Datagram) -> None:
        if datagram.data == b"slow":
            inside.release()
            gate.acquire()
        datagram.reply(datagram.data)

    with Server(handler, "udp://127.0.0.1:0", engine=engine) as server, reach(server) as there:
        there.send(b"slow")
        assert inside.acquire(timeout=SECONDS)
        assert ask(there, b"quick") == b"quick"
        gate.release()
        assert there.receive().data == b"slow"


@pytest.mark.parametrize("engine", ENGINES)
def test_a_reply_may_come_later_and_from_elsewhere(engine: str) -> None:
    kept: list[Datagram] = []
    with Server(kept.append, "udp://127.0.0.1:0", engine=engine) as server, reach(server) as there:
        there.send(b"x")
        until(lambda: kept)
        kept[0].reply(b"one")
        kept[0].reply(b"two")
        assert (there.receive().data, there.receive().data) == (b"one", b"two")


# -- what is too much


def test_a_datagram_that_is_too_long_is_dropped_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    short = Limits(datagram=10)
    with Server(upper, "udp://127.0.0.1:0", limits=short) as server, reach(server) as there:
        there.send(b"x" * 11)
        assert ask(there, b"x" * 10) == b"X" * 10
        assert there.try_receive() is None
        assert server.dropped == 1
    assert f"1 datagram dropped at {server.addresses[0]}: longer than Limits.datagram" in caplog.text


def test_truncated_datagrams_come_to_who_asks_for_them(engine: str) -> None:
    class Beginning(Handler):
        truncated = True

        def handle(self) -> None:
            got = self.datagram
            got.reply(b"%s, %d, %d" % (got.data, got.size, got.truncated))

    with (
        Server(Beginning, "udp://127.0.0.1:0", engine=engine, limits=Limits(datagram=3)) as server,
        reach(server) as there,
    ):
        assert ask(there, b"abcdef") == b"abc, 6, 1"
        assert server.dropped == 0


def test_a_reply_that_is_too_long_is_a_fault_of_the_handler(caplog: pytest.LogCaptureFixture) -> None:
    def handler(datagram: Datagram) -> None:
        datagram.reply(bytes(70000))

    with Server(handler, "udp://127.0.0.1:0") as server, reach(server) as there:
        there.send(b"x")
        until(lambda: "the datagram is longer than the system sends there" in caplog.text)


@pytest.mark.parametrize("engine", CONCURRENT)
def test_a_flood_meets_a_bound_and_is_counted(engine: str, caplog: pytest.LogCaptureFixture) -> None:
    go = Event()

    def handler(datagram: Datagram) -> None:
        go.wait()
        datagram.reply(b"")

    room = Limits(datagram_memory=10 * (4096 + 1000), queue=1000)
    with Server(handler, "udp://127.0.0.1:0", engine=engine, limits=room) as server, reach(server) as there:
        for _ in range(500):
            there.send(bytes(1000))
        # What the kernel had no room for is told with the next one that it has room for.
        until(lambda: there.send(b"tell") or server.dropped >= 490)
        assert server.connections == 10
        go.set()
        assert sum(there.receive().data == b"" for _ in range(10)) == 10
    assert "they come faster than they are handled" in caplog.text
    assert caplog.text.count("datagrams dropped at") + caplog.text.count("datagram dropped at") <= 4


def test_without_a_free_thread_or_a_place_in_the_queue_it_is_dropped(
    caplog: pytest.LogCaptureFixture,
) -> None:
    gate, inside = threading.Semaphore(0), threading.Semaphore(0)

    def handler(datagram: Datagram) -> None:
        inside.release()
        gate.acquire()
        datagram.reply(datagram.data)

    limits = Limits(queue=1)
    with (
        Server(handler, "udp://127.0.0.1:0", engine="threads:1", limits=limits) as server,
        reach(server) as there,
    ):
        there.send(b"running")
        assert inside.acquire(timeout=SECONDS)
        for _ in range(5):
            there.send(b"more")
        until(lambda: server.dropped)
        for _ in range(10):
            gate.release()
        assert there.receive().data == b"running"
        until(lambda: not server.connections)
    assert "every thread is busy and the queue is full" in caplog.text


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_what_the_kernel_had_no_room_for_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    go, inside = threading.Event(), threading.Event()

    def handler(datagram: Datagram) -> None:
        inside.set()
        go.wait(SECONDS)
        datagram.reply(datagram.data)

    with Server(handler, "udp://127.0.0.1:0", engine="inline") as server, reach(server) as there:
        server.listeners[0].options.receive_buffer = 4096  # type: ignore[attr-defined]
        there.send(b"first")
        assert inside.wait(SECONDS)
        for _ in range(100):
            there.send(bytes(1000))
        go.set()
        until(lambda: there.send(b"tell") or server.dropped)
    assert "its receive buffer was full" in caplog.text


def test_drops_are_logged_once_in_a_while_and_none_is_left_unsaid(caplog: pytest.LogCaptureFixture) -> None:
    with Server(upper, "udp://127.0.0.1:0", limits=Limits(datagram=1)) as server, reach(server) as there:
        for _ in range(20):
            there.send(b"too long")
        until(lambda: server.dropped == 20)
    lines = [record.getMessage() for record in caplog.records if "dropped at" in record.getMessage()]
    assert [line.partition(" ")[0] for line in lines] == ["1", "19"]


@pytest.mark.parametrize("place", ["udp://127.0.0.1:0", "udp://[::1]:0", "udp://:0", "udp://0.0.0.0:0"])
def test_a_server_does_not_answer_itself_for_ever(
    engine: str, place: str, caplog: pytest.LogCaptureFixture
) -> None:
    """One forged sender would be enough. The server's own socket can send such a one without forgery."""
    with Server(upper, place, engine=engine) as server:
        sock = server.listeners[0].port.sock  # type: ignore[attr-defined]
        name = sock.getsockname()
        hosts = ["::1"] if name[0] == "::1" else ["127.0.0.1"]
        if name[0] == "::":
            hosts = ["::ffff:127.0.0.1", "::ffff:127.0.0.2", "::1"]
        elif name[0] == "0.0.0.0":
            hosts = ["127.0.0.1", "127.0.0.2"]
        for host in hosts:
            sock.sendto(b"from itself", (host, name[1]))
        until(lambda: server.dropped == len(hosts))
        family = socket.AF_INET6 if place == "udp://[::1]:0" else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as other:
            other.settimeout(SECONDS)
            other.sendto(b"x", ("::1" if family == socket.AF_INET6 else "127.0.0.1", name[1]))
            assert other.recv(10) == b"X"
        assert server.accepted == 1
    assert "which would answer itself for ever" in caplog.text


def test_the_same_port_at_another_address_is_somebody_else() -> None:
    """As servers of time and names talk to each other."""
    port = free_port("127.0.0.1", "127.0.0.2", kind=socket.SOCK_DGRAM)
    with Server(upper, f"udp://127.0.0.1:{port}") as server, reach(server) as probe:
        assert ask(probe, b"x") == b"X"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.bind(("127.0.0.2", port))
            other.settimeout(SECONDS)
            other.sendto(b"y", ("127.0.0.1", port))
            assert other.recv(10) == b"Y"
        assert server.dropped == 0


# -- peers that are gone, or do not listen


def test_who_has_gone_does_not_end_the_server(engine: str, caplog: pytest.LogCaptureFixture) -> None:
    with Server(upper, "udp://127.0.0.1:0", engine=engine) as server:
        for _ in range(20):
            with reach(server) as there:
                there.send(b"who asks and goes")
        with reach(server) as there:
            assert ask(there, b"x") == b"X"
    assert "failed" not in caplog.text


def test_a_unix_peer_that_has_gone_is_no_error(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    caplog.set_level(logging.INFO, "portico")
    go = Event()

    def handler(datagram: Datagram) -> None:
        go.wait()
        datagram.reply(b"")

    with Server(handler, f"unixgram:{tmp_path}/x") as server:
        with reach(server) as there:
            there.send(b"x")
            until(lambda: server.connections)
        go.set()
        until(lambda: "nobody receives at unixgram:@" in caplog.text)
    assert not [record for record in caplog.records if record.levelno > logging.INFO]


@pytest.mark.parametrize("engine", CONCURRENT)
def test_a_peer_that_never_reads_holds_nobody_for_long(engine: str, tmp_path: Path) -> None:
    given_up = []

    def handler(datagram: Datagram) -> None:
        try:
            for _ in range(1000):
                datagram.reply(datagram.data)
        except Timeout as late:
            given_up.append(str(late))

    limits = Limits(datagram_stall=0.1)
    with (
        Server(handler, f"unixgram:{tmp_path}/x", engine=engine, limits=limits) as server,
        reach(server) as deaf,
    ):
        for _ in range(8):
            deaf.send(b"x")
        until(lambda: len(given_up) == 8)
    assert given_up[0].startswith("timed out after 0.1 s while sending to unixgram:@")


def test_a_unix_server_knows_who_asks(engine: str, tmp_path: Path) -> None:
    def handler(datagram: Datagram) -> None:
        who = datagram.credentials
        datagram.reply(b"%d %d" % (who.pid, who.uid) if who is not None else b"unknown")

    with Server(handler, f"unixgram:{tmp_path}/x", engine=engine) as server, reach(server) as there:
        assert ask(there, b"") == (b"%d %d" % (os.getpid(), os.getuid()))


def test_who_is_not_admitted_gets_no_answer(engine: str) -> None:
    admission = Admission(deny=["127.0.0.1"])
    with Server(upper, "udp://127.0.0.1:0", engine=engine, admission=admission) as server:
        with datagrams(server.addresses[0], local="udp://127.0.0.1:0") as refused:
            refused.send(b"x")
            with datagrams(server.addresses[0], local="udp://127.0.0.2:0") as welcome:
                assert ask(welcome, b"y") == b"Y"
            with timeout(0.05), pytest.raises(Timeout):
                refused.receive()
        assert server.refused.total() == 1
        assert server.connections == 0


# -- beginning and end


@pytest.mark.parametrize("engine", CONCURRENT)
def test_what_has_come_is_handled_before_the_end(engine: str) -> None:
    go = Event()

    def handler(datagram: Datagram) -> None:
        go.wait()
        datagram.reply(datagram.data)

    server = Server(handler, "udp://127.0.0.1:0", engine=engine).start()
    with reach(server) as there:
        for number in range(20):
            there.send(b"%d" % number)
        until(lambda: server.connections)
        stopping = threading.Thread(target=server.stop, args=(SECONDS,))
        stopping.start()
        until(lambda: server.listeners[0].closed)
        go.set()
        stopping.join(SECONDS)
        assert {there.receive().data for _ in range(20)} == {b"%d" % number for number in range(20)}
    assert server.cut == []


@pytest.mark.parametrize("engine", ENGINES)
def test_what_does_not_end_in_time_is_cut_and_named(engine: str) -> None:
    forever = Event()
    server = Server(lambda datagram: forever.wait(), "udp://127.0.0.1:0", engine=engine).start()
    with reach(server) as there:
        there.send(b"x")
        until(lambda: server.connections)
        assert server.stop(0.05) == [f"the datagram from {there.local}"]


def test_the_port_is_free_again_afterwards(engine: str) -> None:
    with Server(upper, "udp://127.0.0.1:0", engine=engine) as server:
        where = server.addresses[0]
        with pytest.raises(BindError, match="the address is in use"):
            Server(upper, where).start()
    with Server(upper, where, engine=engine) as server, reach(server) as there:
        assert ask(there, b"x") == b"X"


async def awaited(datagram: aio.Datagram) -> None:
    await asyncio.sleep(0)
    if datagram.data == b"fail":
        raise RuntimeError("asked to fail")
    await datagram.reply(datagram.data.upper())


class Awaited(Handler):
    async def handle(self) -> None:  # type: ignore[override]
        await awaited(self.datagram)  # type: ignore[arg-type]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("handler", [awaited, Awaited])
def test_an_async_handler_answers_on_events(handler: Any, place: str, tmp_path: Path) -> None:
    where = PLACES[place].format(folder=tmp_path)
    with Server(handler, where, engine="events") as server, reach(server) as there:
        for number in range(20):
            assert ask(there, b"hello %d" % number) == b"HELLO %d" % number
        until(lambda: server.connections == 0)


def test_async_handlers_of_datagrams_run_side_by_side_and_what_they_raise_is_reported(
    caplog: pytest.LogCaptureFixture,
) -> None:
    together: list[aio.Datagram] = []

    async def meet(datagram: aio.Datagram) -> None:
        together.append(datagram)
        while len(together) < 10:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        await awaited(datagram)

    with Server(meet, "udp://127.0.0.1:0", engine="events") as server, reach(server) as there:
        for number in range(9):
            there.send(b"x%d" % number)
        there.send(b"fail")
        assert sorted(there.receive().data for _ in range(9)) == [b"X%d" % number for number in range(9)]
        until(lambda: server.connections == 0)
        assert "asked to fail" in caplog.text


def test_a_stop_drains_async_handlers_of_datagrams_and_then_calls_them_off() -> None:
    ended: list[str] = []

    async def slow(datagram: aio.Datagram) -> None:
        try:
            await asyncio.sleep(float(datagram.data))
            ended.append("finished")
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    for seconds, grace in ((b"0.2", SECONDS), (b"1000", 0.1)):
        with Server(slow, "udp://127.0.0.1:0", engine="events") as server, reach(server) as there:
            there.send(seconds)
            until(lambda: server.connections == 1)
            assert len(server.stop(grace)) == (grace < 1)
    assert ended == ["finished", "cancelled"]


def test_a_coroutine_answers_datagrams_in_workers_with_events() -> None:
    server = Server(process_handlers.awaited_upper, "udp://127.0.0.1:0", engine="workers:1/events")
    with server, reach(server) as there:
        assert ask(there, b"hello") == b"HELLO"


@pytest.mark.parametrize(
    ("handler", "address", "why"),
    [
        ("text", "udp://127.0.0.1:0", "not callable"),
        (awaited, "udp://127.0.0.1:0", 'an async function: serve it with engine="events"'),
        (type("NoHandle", (), {}), "udp://127.0.0.1:0", "no method handle"),
        (upper, "udp://127.0.0.1:0?interface=nosuch0", "device|SO_BINDTODEVICE"),
        (upper, "udp://239.255.77.8:0?interface=nosuch0", "no interface 'nosuch0'"),
    ],
)
def test_what_cannot_be_served_is_refused_at_the_start(handler: Any, address: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        Server(handler, address).start()


# -- foreign peers


@pytest.mark.parametrize(
    ("place", "target"),
    [
        ("udp4", "UDP4-SENDTO:127.0.0.1:{port}"),
        ("everywhere", "UDP6-SENDTO:[::1]:{port}"),
        ("unix", "UNIX-SENDTO:{folder}/x,bind={folder}/socat"),
        ("group", "UDP4-DATAGRAM:239.255.77.8:{port},ip-multicast-if=127.0.0.1"),
    ],
)
def test_socat_asks_and_is_answered(engine: str, place: str, target: str, tmp_path: Path) -> None:
    socat = need("socat")
    with Server(upper, PLACES[place].format(folder=tmp_path), engine=engine) as server:
        where = target.format(folder=tmp_path, port=server.addresses[0].port)
        with subprocess.Popen(
            [socat, "STDIO", where], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(b"hello\n")
            process.stdin.flush()
            assert process.stdout.readline() == b"HELLO\n"
            process.terminate()


def test_a_plain_socket_asks_and_is_answered(engine: str) -> None:
    with (
        Server(upper, "udp://127.0.0.1:0", engine=engine) as server,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plain,
    ):
        plain.settimeout(SECONDS)
        plain.sendto(b"hello", ("127.0.0.1", server.addresses[0].port or 0))
        assert plain.recvfrom(100) == (b"HELLO", ("127.0.0.1", server.addresses[0].port))


# -- engines with processes


@pytest.mark.parametrize("engine", ["forks", "workers:2/threads", "workers:1/events"])
@pytest.mark.parametrize("place", PLACES)
def test_processes_answer_each_datagram_once(engine: str, place: str, tmp_path: Path) -> None:
    """Of what is sent to a group, each socket that is in it gets a copy: workers must not have one each."""
    with (
        Server(upper, PLACES[place].format(folder=tmp_path), engine=engine) as server,
        reach(server) as there,
    ):
        there.send(b"fail")
        assert ask(there, b"") == b""
        for number in range(20):
            assert ask(there, b"n%d" % number) == b"N%d" % number
        assert there.try_receive() is None
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("engine", ["forks", "workers:2/threads", "workers:1/events"])
def test_what_processes_drop_is_added_up(engine: str) -> None:
    short = Limits(datagram=10)
    with Server(process_handlers.upper, "udp://127.0.0.1:0", engine=engine, limits=short) as server:
        for many in (3, 6):
            for _ in range(3):
                with reach(server) as there:
                    there.send(b"x" * 11)
            until(lambda many=many: server.dropped == many)  # type: ignore[misc]
            assert server.reload() is None
        assert server.dropped == 6
    assert server.dropped == 6


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_what_the_kernel_dropped_is_counted_once_by_all_that_share_a_socket() -> None:
    with (
        Server(process_handlers.upper, "udp://:0", engine="workers:2/threads") as server,
        reach(server) as there,
    ):
        server.listeners[0].options.receive_buffer = 4096  # type: ignore[attr-defined]
        sent = answered = 0

        def all_accounted_for() -> bool:
            nonlocal sent, answered
            there.send(b"tell")  # the kernel says it with the next one
            sent += 1
            while there.try_receive() is not None:
                answered += 1
            return bool(server.dropped) and server.dropped + answered >= sent

        for _ in range(3):
            for pid in pids(server):
                halt(pid)
            for _ in range(50):
                there.send(bytes(1000))
                sent += 1
            for pid in pids(server):
                os.kill(pid, signal.SIGCONT)
            until(all_accounted_for)
            assert server.dropped + answered == sent
            assert server.reload() is None
            until(all_accounted_for)
            assert server.dropped + answered == sent


def test_workers_answer_a_broadcast_once() -> None:
    with Server(upper, "udp://:0", engine="workers:2/threads") as server:
        where = f"udp://127.255.255.255:{server.addresses[0].port}"
        with datagrams(where, local="udp://127.0.0.1:0", broadcast=True) as there:
            for word in (b"a", b"b", b"c"):
                assert ask(there, word) == word.upper()
            assert there.try_receive() is None
