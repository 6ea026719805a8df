"""Workers and forks as a program with threads embeds them: by a fresh interpreter.

What a program without threads does is in ``test_supervisor.py``.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from portico import Limits, Server, connect, timeout
from portico.engines import door, make_engine
from portico.engines.workers import Forks, Workers
from portico.engines.workers import engine as engine_module
from portico.engines.workers import engine as workers
from portico.engines.workers.fresh import pack
from portico.errors import BindError, ConfigError, ConnectError
from portico.server import Late
from portico.sockets import memory
from portico.sockets.memory import Faults
from tests.engines import process_handlers as handlers
from tests.engines.processes import (
    PROCESS_ENGINES,
    alive,
    ask_pid,
    engine_of,
    halt,
    kill,
    pids,
    serving,
    settled,
)
from tests.engines.serving import KINDS, SECONDS, Peer, address_of_kind, ask, dial, get, server_tls, until

pytestmark = pytest.mark.usefixtures("no_leaks")


@pytest.fixture(autouse=True)
def _thread(no_leaks: None) -> Iterator[None]:
    """Another thread, so that it is always a fresh interpreter."""
    over = threading.Event()
    thread = threading.Thread(target=over.wait)
    thread.start()
    yield
    over.set()
    thread.join()


@pytest.fixture(autouse=True)
def _all_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "portico")


# -- serving


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("engine", PROCESS_ENGINES)
def test_a_conversation_on_every_kind_of_address(engine: str, kind: str, tmp_path: Path) -> None:
    tls = server_tls() if kind == "tls" else None
    with serving(handlers.echo, address_of_kind(kind, tmp_path), engine=engine, tls=tls) as server:
        for _ in range(3):
            with timeout(SECONDS), dial(server) as stream:
                stream.write(b"hello\n")
                assert stream.read_line() == b"hello"
        until(lambda: server.connections == 0)
        assert server.accepted == 3
        until(lambda: engine_of(server).requests == 3)  # figures of a worker come one after the other
    assert server.accepted == 3


@pytest.mark.parametrize("engine", PROCESS_ENGINES)
def test_http_on_a_kept_connection(engine: str) -> None:
    with serving(handlers.web, "http://127.0.0.1:0", engine=engine) as server:
        with Peer(server.addresses[0], get()) as peer:
            first = peer.answer().partition(b"\r\n\r\n")[2]
            peer.send(get())
            assert peer.answer().endswith(b"\r\n\r\n" + first)
        until(lambda: engine_of(server).requests == 2)
        assert server.accepted == 1


def test_a_coroutine_is_served_by_workers_with_events() -> None:
    with serving(handlers.coroutine, engine="workers:2/events") as server, timeout(SECONDS):
        for _ in range(3):
            with dial(server) as stream:
                stream.write(b"hello\n")
                assert stream.read_all() == b"hello\n"


def test_a_connection_is_a_process_with_forks() -> None:
    with serving(handlers.wait_for_line, engine="forks") as server:
        with timeout(SECONDS), dial(server) as one, dial(server) as two:
            assert one.read_line() != two.read_line()
            assert server.connections == 2
        until(lambda: server.connections == 0)


def test_forks_beyond_their_number_wait_and_none_is_lost() -> None:
    with serving(handlers.wait_for_line, engine="forks:2") as server, timeout(SECONDS):
        streams = [dial(server) for _ in range(5)]
        for stream in streams[:2]:
            stream.read_line()
        assert server.accepted == 2
        for stream in streams:
            stream.write(b"go\n")
            stream.shutdown_write()
            assert stream.read_all().endswith(b"go")
            stream.close()
        until(lambda: server.connections == 0)
        assert server.accepted == 5


def test_a_handler_that_raises_ends_only_its_own(caplog: pytest.LogCaptureFixture) -> None:
    for engine in ("workers:1/threads", "forks"):
        with serving(handlers.not_here, engine=engine) as server:
            for _ in range(2):
                with timeout(SECONDS), dial(server) as stream:
                    assert stream.read_all() == b""
        assert caplog.text.count("on purpose") >= 2
        caplog.clear()


def test_a_memory_address_of_other_processes_can_have_no_faults() -> None:
    with serving(handlers.echo, "memory:elsewhere"):
        with pytest.raises(ConfigError, match="can have no faults"):
            memory.dial("memory:elsewhere", Faults(delay=1.0))
        with pytest.raises(BindError, match="in use"):
            memory.listen_for_others("memory:elsewhere")


def test_many_may_dial_a_memory_address_at_once() -> None:
    with serving(handlers.echo, "memory:many") as server, timeout(SECONDS):
        streams = [dial(server) for _ in range(100)]
        for stream in streams:
            stream.write(b"x\n")
        assert [stream.read_line() for stream in streams] == [b"x"] * 100
        for stream in streams:
            stream.close()


# -- beginning


def test_an_address_in_use_is_told_by_start_and_leaves_nothing() -> None:
    with serving(handlers.echo) as server:
        port = server.addresses[0].port
        again = Server(handlers.echo, f"tcp://127.0.0.1:{port}", engine="workers:2/threads")
        with pytest.raises(BindError, match="in use"):
            again.start()
        with pytest.raises(BindError, match="in use"):
            Server(handlers.echo, f"tcp://127.0.0.1:{port}").start()


@pytest.mark.parametrize(
    ("handler", "says"),
    [(lambda stream: None, "lambda"), (threading.current_thread, "")],
    ids=["lambda", "ok"],
)
def test_what_cannot_be_named_is_refused_with_advice_where_there_are_threads(
    handler: object, says: str
) -> None:
    if not says:
        assert pack(handler)
        return
    with pytest.raises(
        ConfigError, match=r"(?s)has threads already.*lambda.*top level of a module"
    ) as caught:
        pack(handler)
    assert "\n" not in str(caught.value)


def test_a_handler_that_cannot_be_served_is_told_by_start(tmp_path: Path) -> None:
    (tmp_path / "code.py").write_text("raise LookupError('no such table')\n")
    late = Late(partial(handlers.from_file, str(tmp_path / "code.py")))
    server = Server(late, "tcp://127.0.0.1:0", engine="workers:3/threads", wire="stream")
    with timeout(SECONDS), pytest.raises(ConfigError, match="LookupError: no such table"):
        server.start()
    assert server.stop() == []


def test_a_late_handler_needs_to_be_told_its_wire() -> None:
    with pytest.raises(ConfigError, match="wire="):
        Server(Late(lambda: None), "tcp://127.0.0.1:0")


def test_a_late_handler_is_loaded_at_the_start_on_other_engines_too() -> None:
    server = Server(Late(lambda: handlers.echo), "tcp://127.0.0.1:0", wire="stream")
    assert isinstance(server.handler, Late)
    with server:
        assert server.handler is handlers.echo


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("workers:2/forks", "cannot stand there"),
        ("workers:2/workers", "cannot stand there"),
        ("workers:2/nonsense", "no engine is called 'nonsense'"),
        ("workers:0/threads", "above zero"),
        ("workers:999", "from 1 to 256"),
        ("threads:2/inline", "only workers have an engine inside"),
        ("forks:0", "above zero"),
        ("forks:x", "above zero"),
        (None, "engine None: expected a text such as threads:8"),
    ],
)
def test_specs_that_cannot_work(spec: Any, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        make_engine(spec)


@pytest.mark.parametrize(
    "spec", ["workers", "workers:3", "workers/threads:8", "workers:3/inline", "forks", "forks:7"]
)
def test_specs_that_can(spec: str) -> None:
    assert make_engine(spec).processes


def test_a_server_that_a_worker_starts_has_nothing_to_do_with_that_workers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with serving(handlers.tell_pid, engine="workers:1/inline") as server, monkeypatch.context() as patch:
        patch.setattr(engine_module, "here", lambda: pytest.fail("it asked the worker that it runs in"))
        assert server.connections == 0
        assert ask_pid(server) in pids(server)
        assert server.stop(0.0) == []


def test_bounds_have_to_be_above_zero() -> None:
    for bound in ("max_requests", "max_memory", "max_age"):
        with pytest.raises(ConfigError, match=bound):
            Workers(1, **{bound: 0})  # type: ignore[arg-type]
        with pytest.raises(ConfigError, match=bound):
            Forks(1, **{bound: -1})  # type: ignore[arg-type]


# -- what a worker is


@pytest.mark.parametrize("engine", PROCESS_ENGINES)
@pytest.mark.parametrize("kind", ["tcp", "unix", "memory"])
def test_a_worker_has_no_descriptor_but_its_own(engine: str, kind: str, tmp_path: Path) -> None:
    with (
        open(os.devnull) as strange,
        serving(handlers.facts, address_of_kind(kind, tmp_path), engine=engine) as server,
    ):
        with timeout(SECONDS), dial(server) as stream:
            told = json.loads(stream.read_line())
        strangers = {each: where for each, where in told["descriptors"].items() if int(each) > 2}
        assert str(strange.fileno()) not in strangers or os.devnull not in strangers[str(strange.fileno())]
        sockets = [where for where in strangers.values() if where.startswith("socket:")]
        # The connection, the line to the supervisor, the log; and the listener, where it accepts itself.
        assert len(sockets) <= (3 if engine == "forks" else 4), strangers
        files = [where for where in strangers.values() if where.startswith("/")]
        assert all("portico scoreboard" in where for where in files), strangers
        assert told["ignores_interrupts"]


def test_every_worker_has_random_numbers_of_its_own() -> None:
    with serving(handlers.facts, engine="forks") as server:
        seen = set()
        for _ in range(5):
            with timeout(SECONDS), dial(server) as stream:
                seen.add(json.loads(stream.read_line())["random"])
    assert len(seen) == 5


def test_what_workers_log_goes_where_ours_goes(caplog: pytest.LogCaptureFixture) -> None:
    with serving(handlers.speak, engine="workers:1/threads") as server:
        pid = ask_pid(server)
        until(lambda: "said by a handler" in caplog.text)
    record = next(each for each in caplog.records if "said by a handler" in each.message)
    assert record.message == "said by a handler, 100% sure"
    assert (record.processName, record.process) == ("worker 1", pid)


def test_the_state_is_shown() -> None:
    with serving(handlers.echo, engine="workers:2/threads") as server:
        one, two = sorted(pids(server))
        assert f"{one} serving" in repr(engine_of(server))
        assert f"{two} serving" in repr(engine_of(server))
    assert repr(engine_of(server)) == "<Workers 2/threads>"
    assert repr(Forks(3)) == "<Forks 3>"


# -- replacements


@pytest.mark.parametrize("engine", ["workers:2/threads", "workers:2/inline", "forks"])
def test_a_reload_brings_new_code(engine: str, tmp_path: Path) -> None:
    code = tmp_path / "code.py"
    code.write_text("def handler(stream): stream.write(b'1')\n")
    late = Late(partial(handlers.from_file, str(code)))
    with serving(late, engine=engine, wire="stream") as server, timeout(SECONDS):
        assert said(server) == b"1"
        before = pids(server)
        code.write_text("def handler(stream): stream.write(b'2')\n")
        assert server.reload() is None
        assert {said(server) for _ in range(20)} == {b"2"}  # nobody accepts any more who has the old code
        assert not pids(server) & before


def said(server: Server) -> bytes:
    with dial(server) as stream:
        return stream.read_all()


def test_code_that_fails_to_start_leaves_the_old_serving(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    code = tmp_path / "code.py"
    code.write_text("def handler(stream): stream.write(b'1')\n")
    late = Late(partial(handlers.from_file, str(code)))
    with serving(late, wire="stream") as server, timeout(SECONDS):
        before = pids(server)
        code.write_text("def handler(stream) stream.write(b'2')\n")
        reason = server.reload()
        assert reason is not None
        assert "SyntaxError" in reason
        assert pids(server) == before
        assert said(server) == b"1"
        until(lambda: "the old code goes on" in caplog.text)
        code.write_text("def handler(stream): stream.write(b'3')\n")
        assert server.reload() is None
        assert said(server) == b"3"


def test_after_a_reload_no_old_worker_accepts_however_many_have_something_to_finish(tmp_path: Path) -> None:
    code = tmp_path / "code.py"
    code.write_text("def handler(stream): stream.write(b'1\\n'); stream.read_line()\n")
    late = Late(partial(handlers.from_file, str(code)))
    for engine in ("workers:2/threads", "workers:2/inline", "workers:2/events", "forks"):
        code.write_text(code.read_text().replace("2", "1"))
        with serving(late, engine=engine, wire="stream") as server, timeout(SECONDS), dial(server) as busy:
            assert busy.read_line() == b"1"
            code.write_text(code.read_text().replace("1", "2"))
            assert server.reload() is None
            for _ in range(10):
                with dial(server) as stream:
                    assert stream.read_line() == b"2"
            busy.write(b"\n")
            assert busy.read_all() == b""


def test_a_reload_that_fails_half_way_leaves_the_old_code_in_all_workers(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    code, flag = tmp_path / "code.py", tmp_path / "flag"
    code.write_text("def handler(stream): stream.write(b'1')\n")
    late = Late(partial(handlers.from_file, str(code)))
    with serving(late, engine="workers:3/threads", wire="stream") as server, timeout(SECONDS):
        before = pids(server)
        code.write_text(f"open({str(flag)!r}, 'x').close()\ndef handler(stream): stream.write(b'2')\n")
        reason = server.reload()
        assert reason is not None
        assert "FileExistsError" in reason
        assert flag.exists()
        assert {said(server) for _ in range(20)} == {b"1"}
        assert settled(server, 3) == before
        until(lambda: "the old code goes on in all workers" in caplog.text)


def test_code_that_never_ends_to_load_leaves_the_old_serving(tmp_path: Path) -> None:
    code = tmp_path / "code.py"
    code.write_text("def handler(stream): stream.write(b'1')\n")
    late = Late(partial(handlers.from_file, str(code)))
    with serving(late, wire="stream", limits=Limits(load=1.5)) as server, timeout(SECONDS):
        before = pids(server)
        code.write_text("import time; time.sleep(300)\n")
        assert "has not loaded the handler within 1.5 s" in str(server.reload())
        assert settled(server, 2) == before
        assert said(server) == b"1"


def test_a_worker_told_to_end_while_it_is_prepared_ends_the_reload(tmp_path: Path) -> None:
    code, hangs = tmp_path / "code.py", tmp_path / "hangs"
    code.write_text("def handler(stream): stream.write(b'1')\n")
    late = Late(partial(handlers.from_file, str(code)))
    with serving(late, wire="stream") as server, timeout(SECONDS):
        before = pids(server)
        code.write_text(
            f"import os, time\ntry: open({str(hangs)!r}, 'x').close()\n"
            "except FileExistsError: time.sleep(300)\ndef handler(stream): stream.write(b'2')\n"
        )
        reloading = door.spawn(server.reload)
        until(lambda: len(pids(server, "starting")) == 2 and hangs.exists())
        for pid in pids(server, "starting"):
            os.kill(pid, signal.SIGTERM)
        assert "told it to end" in str(reloading.join())
        assert settled(server, 2) == before


def test_what_a_replaced_worker_has_begun_it_finishes() -> None:
    with serving(handlers.wait_for_line) as server, timeout(SECONDS), dial(server) as stream:
        pid = int(stream.read_line())
        assert server.reload() is None
        assert pid in pids(server, "draining")
        stream.write(b"still there\n")
        assert stream.read_line() == b"still there"
        settled(server, 2, {pid})


def test_a_worker_that_dies_is_replaced_at_once(caplog: pytest.LogCaptureFixture) -> None:
    with serving(handlers.tell_pid) as server:
        before = pids(server)
        for pid in before:
            kill(pid)
        settled(server, 2, before)
        assert ask_pid(server) in pids(server)
        until(lambda: caplog.text.count("was killed by SIGKILL") == 2)
        for pid in before:
            assert not alive(pid), "it was not buried"


def test_who_connects_while_no_worker_is_there_is_served_by_the_next() -> None:
    with serving(handlers.wait_for_line, engine="workers:1/threads") as server, timeout(SECONDS):
        [pid] = pids(server)
        halt(pid)
        streams = [dial(server) for _ in range(10)]
        kill(pid)
        for stream in streams:
            stream.write(b"x\n")
            assert int(stream.read_line()) != pid
            assert stream.read_line() == b"x"
            stream.close()


def test_a_worker_that_somebody_terminates_finishes_and_is_replaced() -> None:
    with serving(handlers.wait_for_line, engine="workers:1/threads") as server, timeout(SECONDS):
        with dial(server) as stream:
            pid = int(stream.read_line())
            os.kill(pid, signal.SIGTERM)
            until(lambda: pids(server) - {pid})
            stream.write(b"done\n")
            assert stream.read_line() == b"done"
        settled(server, 1, {pid})


def test_workers_that_die_again_and_again_are_not_replaced_without_pause(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    late = Late(partial(handlers.once_only, str(tmp_path / "flag")))
    with serving(late, engine="workers:1/threads", wire="stream") as server:
        [pid] = pids(server)
        kill(pid)
        until(lambda: "again and again: the next one in 0.5 s" in caplog.text)
        tries = caplog.text.count("cannot start")
        time.sleep(0.2)
        assert caplog.text.count("cannot start") == tries
        (tmp_path / "flag").unlink()
        settled(server, 1)


def test_after_so_many_requests_a_worker_is_replaced() -> None:
    with serving(handlers.web, "http://127.0.0.1:0", engine=Workers(1, "threads", max_requests=10)) as server:
        seen = {ask(server.addresses[0]) for _ in range(10)}
        assert len(seen) <= 2
        settled(server, 1, {int(pid) for pid in seen if b"%d" % min(map(int, seen)) == pid})
        for _ in range(50):
            assert ask(server.addresses[0])


def test_after_so_long_a_worker_is_replaced() -> None:
    with serving(handlers.tell_pid, engine=Workers(2, "inline", max_age=1.0)) as server:
        before = pids(server)
        until(lambda: pids(server) and not pids(server) & before)
        assert ask_pid(server)


def test_a_worker_that_has_grown_is_replaced() -> None:
    with serving(handlers.grow, engine=Workers(1, "inline", max_memory=100_000_000)) as server:
        before = pids(server)
        for _ in range(4):
            ask_pid(server)
        settled(server, 1, before)


@pytest.mark.parametrize("engine", ["workers", "forks"])
def test_a_memory_bound_below_the_size_at_birth_is_refused_at_the_start(engine: str) -> None:
    made = Workers(2, "threads", max_memory=1 << 20) if engine == "workers" else Forks(max_memory=1 << 20)
    server = Server(handlers.tell_pid, "tcp://127.0.0.1:0", engine=made)
    with pytest.raises(ConfigError, match=r"max_memory is 1 MiB, and a worker holds \d+ MiB as soon as"):
        server.start()


def test_new_code_that_is_too_large_is_refused_and_grown_again_and_again_is_replaced_with_pauses(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    code = tmp_path / "code.py"
    code.write_text("def handler(stream): stream.write(b'1')\n")
    late = Late(partial(handlers.from_file, str(code)))
    made = Workers(1, "threads", max_memory=120 << 20)
    with serving(late, engine=made, wire="stream") as server, timeout(SECONDS):
        code.write_text("kept = b'x' * (150 << 20)\ndef handler(stream): stream.write(b'2')\n")
        assert "max_memory is 120 MiB, and a worker holds" in str(server.reload())
        assert said(server) == b"1"
        [pid] = pids(server)
        kill(pid)  # the next one has to take what there is
        settled(server, 1, {pid})
        assert said(server) == b"2"
        assert "is not replaced for its size before it has grown by half" in caplog.text
        [pid] = pids(server)
        time.sleep(1.5)  # a look at sizes
        assert pids(server) == {pid}


def test_one_more_and_one_less() -> None:
    with serving(handlers.tell_pid, engine="workers:1/threads") as server:
        before = pids(server)
        server.resize(1)
        both = settled(server, 2)
        assert before < both
        server.resize(-1)
        settled(server, 1, both)  # the one that stays is new: it accepts from both sockets
        server.resize(-1)
        seen = {ask_pid(server) for _ in range(20)}
        assert seen == pids(server)


@pytest.mark.skipif(sys.platform != "linux", reason="another process's limit can be set on Linux only")
def test_without_a_descriptor_for_one_more_all_stays_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    with serving(handlers.tell_pid, engine="workers:1/threads") as server:
        before, supervisor = pids(server), engine_of(server).supervisor
        used = {int(name) for name in os.listdir(f"/proc/{supervisor}/fd")}
        free = next(number for number in range(len(used) + 1) if number not in used)
        limits = resource.prlimit(supervisor, resource.RLIMIT_NOFILE)
        resource.prlimit(supervisor, resource.RLIMIT_NOFILE, (free, limits[1]))
        server.resize(1)
        until(lambda: "there cannot be one more worker" in caplog.text)
        resource.prlimit(supervisor, resource.RLIMIT_NOFILE, limits)
        assert ask_pid(server) in before
        server.resize(1)
        settled(server, 2)


def test_only_workers_can_be_more_or_fewer() -> None:
    with Server(handlers.echo, "tcp://127.0.0.1:0") as server, pytest.raises(ConfigError, match="workers"):
        server.resize(1)


# -- the end


@pytest.mark.parametrize("engine", PROCESS_ENGINES)
def test_what_exceeds_the_grace_is_cut_and_named(engine: str) -> None:
    server = Server(handlers.wait_for_line, "tcp://127.0.0.1:0", engine=engine).start()
    with timeout(SECONDS), dial(server) as stream:
        stream.read_line()
        cut = server.stop(0.1)
        assert len(cut) == 1
        assert str(stream.local) in cut[0]
        with pytest.raises(ConnectionError):
            stream.read_all()
    assert server.stop() == cut


@pytest.mark.parametrize("engine", ["workers:2/threads", "forks"])
def test_a_cut_request_is_named_with_its_target(engine: str) -> None:
    server = Server(handlers.web, "http://127.0.0.1:0", engine=engine).start()
    with Peer(server.addresses[0], get("/sleep?300")) as peer:
        until(lambda: server.connections == 1)
        time.sleep(0.1)  # let it be read
        [cut] = server.stop(0.1)
        assert "GET /sleep" in cut
        peer.rest()


@pytest.mark.parametrize("engine", ["workers:1/inline", "forks"])
def test_a_handler_that_does_not_come_back_is_killed(engine: str) -> None:
    server = Server(handlers.deaf, "tcp://127.0.0.1:0", engine=engine).start()
    with timeout(SECONDS), dial(server) as stream:
        pid = int(stream.read_line())
        began = time.monotonic()
        assert server.stop(0.0)
        assert time.monotonic() - began < 10
    until(lambda: not alive(pid))


@pytest.mark.parametrize("engine", PROCESS_ENGINES)
def test_a_request_under_way_is_answered_before_the_end(engine: str) -> None:
    server = Server(handlers.web, "http://127.0.0.1:0", engine=engine).start()
    with Peer(server.addresses[0], get("/sleep?0.5")) as peer:
        until(lambda: server.connections == 1)
        time.sleep(0.1)  # let it be read
        assert server.stop(SECONDS) == []
        answer = peer.answer()
        if "threads" in engine or "events" in engine:  # it knew before the head was made
            assert b"\r\nconnection: close\r\n" in answer.lower()
        assert peer.rest() == b""


@pytest.mark.parametrize("engine", PROCESS_ENGINES)
def test_an_idle_kept_connection_gets_one_more_answer_that_says_close(engine: str) -> None:
    server = Server(handlers.web, "http://127.0.0.1:0", engine=engine).start()
    with Peer(server.addresses[0], get()) as peer:
        assert b"connection: close" not in peer.answer().lower()
        stopping = threading.Thread(target=server.stop, args=(SECONDS, SECONDS))
        stopping.start()
        until(lambda: pids(server) == set())
        time.sleep(0.3)  # nothing outside shows that the worker knows
        peer.send(get())
        assert b"\r\nconnection: close\r\n" in peer.answer().lower()
        assert peer.rest() == b""
        stopping.join()
    assert server.cut == []


def test_a_second_stop_shortens_the_first() -> None:
    server = Server(handlers.wait_for_line, "tcp://127.0.0.1:0", engine="workers:2/threads").start()
    with timeout(SECONDS), dial(server) as stream:
        stream.read_line()
        first = threading.Thread(target=server.stop, args=(300,))
        first.start()
        until(lambda: pids(server) == set())
        assert server.stop(0.0)
        first.join(SECONDS)
        assert not first.is_alive()


def test_stop_twice_and_before_the_start() -> None:
    server = Server(handlers.echo, "tcp://127.0.0.1:0", engine="workers:2/threads")
    assert server.stop() == []
    with serving(handlers.echo) as server:
        assert server.stop() == []
        assert server.stop() == []
        assert server.reload() == "the server has stopped"


@pytest.mark.parametrize("engine", ["workers:2/threads", "workers:2/inline", "forks"])
def test_a_handler_may_stop_the_server(engine: str) -> None:
    with serving(handlers.Stopper, engine=engine) as server:
        with timeout(SECONDS), dial(server) as stream:
            assert stream.read_line() == b"stopping"
            server.wait()
        assert "stopped" in repr(server)


def test_a_deadline_cuts_the_start_short_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "code.py").write_text("import time; time.sleep(300)\n")
    late = Late(partial(handlers.from_file, str(tmp_path / "code.py")))
    server = Server(late, "tcp://127.0.0.1:0", engine="workers:2/threads", wire="stream")
    with pytest.raises(TimeoutError), timeout(1.0):
        server.start()


@pytest.mark.parametrize("engine", ["workers:2/threads", "forks"])
def test_without_their_supervisor_workers_finish_and_end_and_the_server_has_stopped(
    engine: str, caplog: pytest.LogCaptureFixture
) -> None:
    limits = Limits().but(drain_quiet=0.2)
    server = Server(handlers.wait_for_line, "tcp://127.0.0.1:0", engine=engine, limits=limits, grace=SECONDS)
    with timeout(SECONDS), server, dial(server) as stream:
        pid = int(stream.read_line())
        family = pids(server)
        kill(engine_of(server).supervisor)
        server.wait()
        stream.write(b"finished\n")
        assert stream.read_line() == b"finished"
        until(lambda: not any(map(alive, family | {pid})))
    assert "was killed by SIGKILL; the server has stopped" in caplog.text
    with pytest.raises(ConnectError), timeout(SECONDS):
        connect(server.addresses[0])


def test_a_supervisor_that_does_not_answer_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "PATIENCE", 0.1)
    monkeypatch.setattr(workers, "LAST_WORDS", 0.1)
    server = Server(handlers.echo, "tcp://127.0.0.1:0", engine="workers:1/threads").start()
    family = pids(server)
    os.kill(engine_of(server).supervisor, signal.SIGSTOP)
    assert "which did not end" in server.stop(0.1)[0]
    until(lambda: not any(map(alive, family)))


def test_a_socket_file_stays_while_workers_come_and_go_and_goes_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    with serving(handlers.tell_pid, f"unix:{path}") as server:
        assert server.reload() is None
        settled(server, 2)
        assert path.is_socket()
        assert ask_pid(server)
    assert not path.exists()
