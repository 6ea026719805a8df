"""``portico serve`` with workers: new code without a lost request, and what is said on the command line."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import psutil
import pytest

from tests.cli.serving import PORTICO, Serving, curl, mistake, serving
from tests.engines.processes import alive, kill
from tests.engines.serving import SECONDS, until
from tests.peers import need

LONGER = int(os.environ.get("PORTICO_SOAK", "0")) > 0
ROUNDS = 10
PAUSE = 1.0 if LONGER else 0.2  # seconds between two reloads
pytestmark = pytest.mark.timeout(180)

APP = """
import os
with open("imported", "a") as file:
    file.write(f"{os.getpid()}\\n")

def app(environ, start_response):
    body = b"WORD %d" % os.getpid()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]

def echo(stream):
    for line in stream:
        stream.write(line)
"""


def write(folder: Path, word: str) -> None:
    """The application; never of the same size twice, since the compiler's cache knows only seconds."""
    write.count += 1  # type: ignore[attr-defined]
    (folder / "shop.py").write_text(APP.replace("WORD", word) + "#" * write.count)  # type: ignore[attr-defined]


write.count = 0  # type: ignore[attr-defined]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path, "one")
    return tmp_path


@contextmanager
def served(folder: Path, *args: str) -> Iterator[Serving]:
    with serving(folder, "shop:app", "-v", *args) as running:
        family = [each.pid for each in psutil.Process(running.process.pid).children(recursive=True)]
        yield running
        assert running.stop() == 0, running.stderr
        until(lambda: not any(map(alive, family)), "every process to have ended")


def workers(running: Serving) -> dict[int, set[int]]:
    """The supervisor, and the processes below it."""
    [supervisor] = psutil.Process(running.process.pid).children()
    return {supervisor.pid: {each.pid for each in supervisor.children()}}


def word(running: Serving) -> str:
    return curl(f"{running.url}/").partition(" ")[0]


# -- code


def test_only_workers_import_what_is_served(folder: Path) -> None:
    with served(folder, "--workers", "2") as running:
        [(supervisor, hands)] = workers(running).items()
        assert int(curl(f"{running.url}/").split()[1]) in hands
        imported = {int(line) for line in (folder / "imported").read_text().split()}
        assert hands < imported
        assert not {supervisor, running.process.pid} & imported


def test_a_hangup_brings_new_code_and_broken_code_leaves_the_old(folder: Path) -> None:
    with served(folder, "--workers", "2") as running:
        assert word(running) == "one"
        write(folder, "two")
        running.send(signal.SIGHUP)
        until(lambda: {word(running) for _ in range(8)} == {"two"})
        (folder / "shop.py").write_text("import nothing_of_this_name\n")
        running.send(signal.SIGHUP)
        until(lambda: "the old code goes on" in running.so_far)
        assert word(running) == "two"
        write(folder, "three")
        running.send(signal.SIGHUP)
        until(lambda: word(running) == "three")
    assert re.search(
        r"error portico.workers\[supervisor, \d+\]: the old code goes on in all workers: "
        r"worker \d \(pid \d+\) cannot start: cannot import shop: "
        r"ModuleNotFoundError: No module named 'nothing_of_this_name'",
        running.stderr,
    ), running.stderr


def test_a_reload_that_does_not_come_to_an_end_is_begun_anew_by_the_next(folder: Path) -> None:
    with served(folder, "--workers", "2") as running:
        write(folder, "two")
        with open(folder / "shop.py", "a") as file:
            file.write("\nimport time\nopen('hangs', 'w').close()\ntime.sleep(300)\n")
        running.send(signal.SIGHUP)
        until((folder / "hangs").exists, "the new code to hang")
        assert word(running) == "one"
        write(folder, "three")
        running.send(signal.SIGHUP)
        until(lambda: {word(running) for _ in range(8)} == {"three"})
        assert running.stop() == 0
        assert "error" not in running.stderr


def test_one_more_and_one_less_by_signal(folder: Path) -> None:
    with served(folder, "--workers", "1") as running:
        running.send(signal.SIGTTIN)
        until(lambda: len(next(iter(workers(running).values()))) == 2)
        running.send(signal.SIGTTOU)
        until(lambda: "there are 1 workers now" in errors(running))
        until(lambda: len(next(iter(workers(running).values()))) == 1)
        assert word(running) == "one"


def errors(running: Serving) -> str:
    return running._read_errors()


@pytest.mark.parametrize("engine", ["forks", "workers:2/inline", "workers/threads:2", "workers:1"])
def test_engines(folder: Path, engine: str) -> None:
    with served(folder, "--engine", engine) as running:
        assert word(running) == "one"
        assert "is ready" in errors(running)


def test_a_handler_of_streams(folder: Path) -> None:
    with (
        serving(folder, "shop:echo", "--workers", "2", at="tcp://127.0.0.1:0") as running,
        socket.create_connection(("127.0.0.1", running.port), timeout=SECONDS) as client,
    ):
        client.sendall(b"hello\n")
        assert client.recv(100) == b"hello\n"


def test_the_facts_of_a_start_are_the_same(folder: Path) -> None:
    (folder / "site").mkdir()
    facts = []
    for more in ([], ["--workers", "2"]):
        with serving(folder, "site", "/app=shop:app", "--json", *more) as running:
            facts.append(json.loads(running.lines[0])["mounts"])
    assert facts[0] == facts[1] == {"/": f"static:{folder}/site", "/app": "wsgi:shop:app"}


def test_the_access_log_of_all_workers_comes_to_one_place(folder: Path) -> None:
    with served(folder, "--workers", "2", "--access-log") as running:
        for number in range(10):
            curl(f"{running.url}/{number}")
        until(lambda: errors(running).count('"GET /') == 10, "the last line")


# -- mistakes


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["shop:nothing", "--workers", "2"], "the module shop has no 'nothing'"),
        (["shop:app", "--workers", "0"], "expected a number from 1"),
        (["shop:app", "--workers", "2", "--engine", "forks"], "leave out --workers"),
        (["shop:app", "--max-requests", "5"], "add --workers"),
        (["shop:app", "--workers", "1", "--max-memory", "lots"], "expected a size, as in 1000 or"),
        (["shop:app", "--workers", "1", "--max-age", "-1"], "--max-age -1.0: expected a number above zero"),
        (["shop:app", "--engine", "workers:2/forks"], "cannot stand there"),
        (["shop:app", "--workers", "2", "--at", "http://192.0.2.1:80"], "this machine has no such address"),
    ],
)
def test_a_mistake_is_one_line(folder: Path, args: list[str], says: str) -> None:
    assert says in mistake(folder, *args)


def test_code_that_fails_only_in_workers_ends_the_start(folder: Path) -> None:
    """It was well when it was looked at."""
    (folder / "shop.py").write_text(
        "import os\n"
        "if os.path.exists('seen'): raise KeyError('the second time')\n"
        "open('seen', 'w').close()\n"
        "def app(environ, start_response): pass\n"
    )
    assert "KeyError: 'the second time'" in mistake(
        folder, "shop:app", "--workers", "2", "--at", "http://127.0.0.1:0"
    )


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a child does not notice")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_who_is_ended_while_it_looks_at_the_code_leaves_no_process(folder: Path, number: int) -> None:
    (folder / "shop.py").write_text("import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(300)\n")
    command = [*PORTICO, "shop:app", "--workers", "1", "--at", "http://127.0.0.1:0"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        looking = int(process.stdout.readline())
        process.send_signal(number)
        assert process.wait(SECONDS) == -number
        until(lambda: not alive(looking), "the child to end")


# -- nothing is lost


class Load:
    """``wrk`` against a server; ``failed`` is what it counted that was no answer."""

    def __init__(self, url: str, seconds: float, *more: str) -> None:
        command = [need("wrk"), "-t1", "-c8", f"-d{max(int(seconds), 2)}s", *more, f"{url}/"]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def end(self) -> tuple[int, int]:
        """Requests answered, and what failed."""
        said = self._process.communicate(timeout=120)[0]
        answered = re.search(r"(\d+) requests in", said)
        assert answered, said
        self.said = said
        errors = re.findall(r"(?:connect|read|write|timeout) (\d+)", said)
        bad = re.findall(r"Non-2xx or 3xx responses: (\d+)", said)
        return int(answered[1]), sum(map(int, [*errors, *bad]))


@pytest.mark.parametrize("inner", ["threads", "events", "inline"])
def test_ten_reloads_under_load_fail_no_request(folder: Path, inner: str) -> None:
    engine = f"workers:2/{inner}"
    with served(folder, "--engine", engine, "--grace", "30") as running:
        seconds = ROUNDS * (PAUSE + 0.3) + 1
        loads = [Load(running.url, seconds), Load(running.url, seconds, "-H", "Connection: close")]
        for number in range(ROUNDS):
            before = errors(running).count("reloaded: 2 workers")
            time.sleep(PAUSE)
            running.send(signal.SIGHUP)
            until(
                lambda before=before: errors(running).count("reloaded: 2 workers") > before,
                f"reload {number}",
            )
        for load in loads:
            answered, failed = load.end()
            assert answered > 100
            assert failed == 0, f"{load.said}\n{errors(running)}"


def test_ten_kills_under_load_lose_only_what_that_worker_was_running(folder: Path) -> None:
    """Each client asks, and asks once more when its connection breaks: the second answer always comes."""
    over = threading.Event()
    failed: list[BaseException] = []
    retries = [0]
    with served(folder, "--workers", "2") as running:

        def client(keep: bool) -> None:
            connection = HTTPConnection("127.0.0.1", running.port, timeout=SECONDS)
            try:
                while not over.is_set():
                    try:
                        ask(connection, keep)
                    except (OSError, HTTPException):
                        retries[0] += 1
                        connection.close()
                        ask(connection, keep)
            except (OSError, HTTPException, AssertionError) as error:
                failed.append(error)
            finally:
                connection.close()

        clients = [threading.Thread(target=client, args=(number % 2 == 0,)) for number in range(8)]
        for each in clients:
            each.start()
        for _ in range(ROUNDS):
            time.sleep(PAUSE)
            [hands] = workers(running).values()
            kill(min(hands))
            until(lambda before=hands: len(next(iter(workers(running).values())) - before) == 1)
        over.set()
        for each in clients:
            each.join(SECONDS)
        assert failed == []
        assert retries[0] <= ROUNDS * len(clients)


def ask(connection: HTTPConnection, keep: bool) -> None:
    connection.request("GET", "/", headers={} if keep else {"Connection": "close"})
    answer = connection.getresponse()
    assert answer.status == 200
    assert answer.read().startswith(b"one ")
    if not keep:
        connection.close()


def test_workers_that_are_replaced_all_the_time_lose_nothing(folder: Path) -> None:
    with served(folder, "--workers", "2", "--max-requests", "300", "--grace", "30") as running:
        loads = [Load(running.url, 3), Load(running.url, 3, "-H", "Connection: close")]
        for load in loads:
            answered, failed = load.end()
            assert answered > 100
            assert failed == 0
        assert errors(running).count("is replaced") > 4
