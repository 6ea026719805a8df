"""The file of a cache: whose it is, what it survives, and what is never seen of it."""

from __future__ import annotations

import logging
import os
import sqlite3
import subprocess
import sys
import threading
import time
import tracemalloc
from contextlib import nullcontext
from pathlib import Path

import pytest

from portico.client import cache_disk, cache_file
from portico.client.cache import Cache
from portico.deadline import timeout
from portico.engines.run import run
from portico.errors import EndOfStream
from portico.sync import TaskGroup
from tests.client.cache_process import FRESH, URLS, body_of
from tests.client.caching import Clock, Server, fetch, get, reply
from tests.peers import root

HIT, MISS = "hit", "miss"
LARGE = [bytes([number]) * 100_000 for number in range(10)]


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "folder" / "cache.db"


def opened(path: Path, **options) -> Cache:
    return Cache(path, clock=Clock(), **options)


def fill(path: Path, *pieces: bytes) -> None:
    with opened(path) as cache:
        assert fetch(cache, Server(reply(200, FRESH, *pieces)), get())[0] == MISS


def found(path: Path) -> tuple[str | None, bytes]:
    """What is there for the URL that ``fill`` has fetched."""
    with opened(path) as cache:
        return fetch(cache, Server(reply(200, {}, b"new")), get())


def process(what: str, path: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.client.cache_process", what, str(path)],
        cwd=root,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_what_was_kept_is_there_after_a_restart(path):
    fill(path, b"kept")
    assert found(path) == (HIT, b"kept")


def test_a_large_body_is_there_too(path):
    fill(path, *LARGE)
    assert found(path) == (HIT, b"".join(LARGE))


@pytest.mark.parametrize("size", [0, 1, 262143, 262144, 262145, 524287, 524288, 524289])
def test_bodies_around_the_size_of_a_chunk(path, size):
    body = os.urandom(size)
    fill(path, *[body[at : at + 70_000] for at in range(0, size, 70_000)])
    assert found(path) == (HIT, body)


# -- whose it is


def test_the_file_is_its_owners_alone(path):
    with opened(path) as cache:
        fetch(cache, Server(reply(200, FRESH, b"x")), get())
        modes = {each.name: each.stat().st_mode & 0o777 for each in path.parent.iterdir()}
        assert modes == {"cache.db": 0o600, "cache.db-wal": 0o600, "cache.db-shm": 0o600}
        assert path.parent.stat().st_mode & 0o777 == 0o700


def test_a_file_that_others_could_read_is_closed_to_them(path):
    fill(path, b"x")
    path.chmod(0o666)
    assert found(path) == (HIT, b"x")
    assert path.stat().st_mode & 0o777 == 0o600


def test_no_credentials_lie_in_the_file(path):
    with opened(path) as cache:
        fields = {**FRESH, "Vary": "Cookie", "Set-Cookie": "s=hidden3"}
        asks = {"Authorization": "Bearer hidden1", "Cookie": "hidden2"}
        fetch(cache, Server(reply(200, fields, b"x")), get(asks, url="http://me:hidden4@example.org/"))
    assert b"hidden" not in path.read_bytes()


def warned(caplog: pytest.LogCaptureFixture) -> str:
    return "\n".join(each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING)


def refused(path: Path, caplog: pytest.LogCaptureFixture, reason: str) -> None:
    """The cache keeps nothing, says why, once, and fails nobody."""
    with opened(path) as cache:
        for number in range(3):
            assert fetch(cache, Server(reply(200, FRESH, b"%d" % number)), get()) == (MISS, b"%d" % number)
    assert reason in warned(caplog)
    assert warned(caplog).count("could not be used") == 1


def test_a_file_of_another_user_is_not_used(path, caplog, monkeypatch):
    fill(path, b"poison")
    monkeypatch.setattr(os, "geteuid", lambda: 4242)
    refused(path, caplog, "belongs to another user")


def test_a_link_is_not_followed(path, caplog):
    fill(path, b"x")
    link = path.with_name("link.db")
    link.symlink_to(path)
    refused(link, caplog, "no regular file")


def test_somebody_elses_database_is_left_alone(path, caplog):
    path.parent.mkdir()
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE dear (thing)")
    database.close()
    before = path.read_bytes()
    refused(path, caplog, "a database of something else")
    database = sqlite3.connect(path)
    assert database.execute("SELECT name FROM sqlite_schema").fetchall() == [("dear",)]
    database.close()
    assert path.read_bytes()[100:] == before[100:]


def test_a_place_where_no_file_can_be_is_told(path, caplog):
    path.parent.write_text("no folder")
    refused(path, caplog, str(path))


def test_tables_of_another_version_are_made_anew(path):
    fill(path, b"x")
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA user_version = 99")
    database.close()
    assert found(path) == (MISS, b"new")
    fill(path, b"y")
    assert found(path) == (HIT, b"y")


# -- what it survives


def overwrite(path: Path, start: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(start)
        file.write(data)


@pytest.mark.parametrize(
    "harm",
    [
        lambda path: path.write_bytes(b"this was never a database" * 100),
        lambda path: overwrite(path, 0, b"\xff" * 4096),
        lambda path: overwrite(path, 4096, b"\xff" * (path.stat().st_size - 4096)),
        lambda path: os.truncate(path, path.stat().st_size // 2),
    ],
    ids=["noise", "no head", "no tables", "half"],
)
def test_a_damaged_file_is_set_aside_and_begun_anew(path, caplog, harm):
    fill(path, *LARGE[:2])
    harm(path)
    with opened(path) as cache:
        for _ in range(3):  # the damage may show late
            response = cache(get(), Server(reply(200, FRESH, b"new")))
            try:
                response.read()
            except EndOfStream:
                continue
        assert fetch(cache, Server(), get()) == (HIT, b"new")
    assert "is damaged" in warned(caplog)
    assert path.with_name("cache.db.damaged").exists()
    database = sqlite3.connect(path)
    assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    database.close()


def test_a_file_that_is_damaged_while_it_is_open_fails_nobody(path, caplog):
    with opened(path) as cache:
        for url in URLS:
            fetch(cache, Server(reply(200, FRESH, body_of(url))), get(url=url))
        for name in ("cache.db", "cache.db-wal"):
            each = path.with_name(name)
            overwrite(each, 0, os.urandom(each.stat().st_size))
        for url in URLS:
            assert fetch(cache, Server(reply(200, FRESH, body_of(url))), get(url=url))[1] == body_of(url)


def changed(path: Path, statement: str) -> None:
    database = sqlite3.connect(path, isolation_level=None)
    database.execute(statement)
    database.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE chunks SET data = replace(data, 'e', 'x')",
        "UPDATE answers SET head = replace(head, 'max-age', 'min-age')",
        "DELETE FROM chunks",
        "UPDATE answers SET length = 3",
    ],
)
def test_bytes_that_are_not_those_written_are_not_used(path, statement):
    fill(path, b"kept")
    changed(path, statement)
    assert found(path) == (MISS, b"new")


def test_a_large_body_with_a_wrong_byte_breaks_off_and_is_dropped(path):
    fill(path, *LARGE)
    changed(path, "UPDATE chunks SET data = zeroblob(length(data)) WHERE place % 1048576 = 2")
    with opened(path) as cache:
        response = cache(get(), Server())
        with pytest.raises(EndOfStream, match="damaged") as caught:
            response.read()
        assert caught.value.partial == b"".join(LARGE)[:524288]
    assert found(path) == (MISS, b"new")


def test_a_full_disk_fails_nobody(path, caplog, monkeypatch):
    connect = cache_file.CacheFile._connect

    def small(self):
        connection = connect(self)
        connection.execute("PRAGMA max_page_count = 60")
        return connection

    monkeypatch.setattr(cache_file.CacheFile, "_connect", small)
    with opened(path) as cache:
        assert fetch(cache, Server(reply(200, FRESH, b"small")), get()) == (MISS, b"small")
        for _ in range(2):
            whole = fetch(cache, Server(reply(200, FRESH, *LARGE)), get(url=URLS[0]))
            assert whole == (MISS, b"".join(LARGE))
        assert fetch(cache, Server(), get()) == (HIT, b"small")
    assert "full" in warned(caplog)


def test_a_file_that_somebody_holds_fails_nobody(path, monkeypatch):
    fill(path, b"kept")
    monkeypatch.setattr(cache_file, "_PATIENCE", 0.05)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with opened(path) as cache:
        assert fetch(cache, Server(reply(200, FRESH, b"b")), get(url=URLS[0])) == (MISS, b"b")
        assert fetch(cache, Server(), get()) == (HIT, b"kept")
        other.execute("ROLLBACK")
        other.close()
        assert fetch(cache, Server(reply(200, FRESH, b"b")), get(url=URLS[0])) == (MISS, b"b")
        assert fetch(cache, Server(), get(url=URLS[0])) == (HIT, b"b")


def test_who_is_killed_while_storing_leaves_nothing_to_be_seen(path):
    with process("store", path) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "ready\n"
        other.kill()
    assert found(path) == (MISS, b"new")
    database = sqlite3.connect(path)
    assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert database.execute("SELECT count(*), sum(complete) FROM answers").fetchone() == (1, 0)
    database.close()


def test_what_the_dead_have_left_goes_when_room_is_needed(path, monkeypatch):
    with opened(path, size=1_000_000) as cache:
        response = cache(get(), Server(reply(200, FRESH, *LARGE[:4], b"x")))
        response.read(400_000)  # and nothing more is heard of it
        monkeypatch.setattr(cache_disk, "_ABANDONED", -1.0)
        for url in URLS:
            fetch(cache, Server(reply(200, FRESH, body_of(url) * 2)), get(url=url))
        database = sqlite3.connect(path)
        assert database.execute("SELECT count(*) FROM answers WHERE NOT complete").fetchone() == (0,)
        database.close()
        assert response.read() == b"x"


def test_a_body_that_is_given_up_leaves_no_chunks(path):
    with opened(path) as cache:
        with cache(get(), Server(reply(200, FRESH, *LARGE))) as response:
            response.read(600_000)
        database = sqlite3.connect(path)
        assert database.execute("SELECT count(*) FROM chunks").fetchone() == (0,)
        assert database.execute("SELECT size FROM total").fetchone() == (0,)
        database.close()


# -- size


def test_what_was_used_longest_ago_goes_first(path):
    with opened(path, size=300_000) as cache:
        for url in URLS:
            fetch(cache, Server(reply(200, FRESH, body_of(url))), get(url=url))
        database = sqlite3.connect(path)
        (total,) = database.execute("SELECT size FROM total").fetchone()
        (truth,) = database.execute("SELECT sum(size) FROM answers").fetchone()
        kept = [key for (key,) in database.execute("SELECT key FROM answers ORDER BY used")]
        database.close()
    assert total == truth <= 300_000
    assert kept == URLS[-len(kept) :]
    assert path.stat().st_size < 800_000


def test_what_is_larger_than_half_of_it_is_not_kept(path):
    with opened(path, size=1_000_000) as cache:
        body = b"".join(LARGE)
        assert fetch(cache, Server(reply(200, FRESH, *LARGE)), get()) == (MISS, body)
        assert fetch(cache, Server(reply(200, FRESH, b"x")), get()) == (MISS, b"x")


def test_memory_stays_flat_whatever_the_size_of_a_body(path):
    megabyte, count = bytes(1 << 20), 48

    class Long:
        trailers = ()

        def __init__(self) -> None:
            self.left = count

        def piece(self) -> bytes:
            self.left -= 1
            return megabyte if self.left >= 0 else b""

        def close(self) -> None:
            pass

    def answer(request):
        response = reply(200, FRESH)(request)
        response._source = Long()
        return response

    with opened(path) as cache:
        tracemalloc.start()
        try:
            for status in (MISS, HIT):
                response = cache(get(), answer)
                assert response.cache_status == status
                assert sum(map(len, response.iter_bytes())) == count << 20
            assert tracemalloc.get_traced_memory()[1] < 8 << 20
        finally:
            tracemalloc.stop()


# -- many at once


def test_two_processes_share_one_file(path):
    with process("share", path) as one, process("share", path) as two:
        assert [each.communicate()[0] for each in (one, two)] == ["fine\n", "fine\n"]
    with opened(path) as cache:
        assert fetch(cache, Server(), get(url=URLS[399 * 7 % len(URLS)]))[0] == HIT


def test_many_make_the_file_at_once(path, caplog, monkeypatch):
    # As processes would, which do not wait for each other before SQLite's locks.
    monkeypatch.setattr(cache_file, "_opening", nullcontext())
    for attempt in range(8):
        file = path.with_name(f"{attempt}.db")
        together = threading.Barrier(6)

        def work(file: Path = file, together: threading.Barrier = together) -> None:
            with opened(file) as cache:
                together.wait()
                fetch(cache, Server(reply(200, FRESH, b"x")), get())

        threads = [threading.Thread(target=work) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with opened(file) as cache:
            assert fetch(cache, Server(), get()) == (HIT, b"x")
    assert not warned(caplog)


def test_many_threads_share_one_cache(path):
    wrong: list[object] = []
    with opened(path, size=400_000) as cache:

        def work(start: int) -> None:
            for number in range(60):
                url = URLS[(start + number * 3) % len(URLS)]
                try:
                    got = fetch(cache, Server(reply(200, FRESH, body_of(url))), get(url=url))[1]
                    if got != body_of(url):
                        wrong.append(url)
                except BaseException as error:  # noqa: BLE001
                    wrong.append(error)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(32)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong


def test_a_long_body_is_read_to_its_end_though_it_is_dropped_meanwhile(path):
    fill(path, *LARGE)
    with opened(path) as cache:
        response = cache(get(), Server())
        begin = response.read(300_000)
        cache.clear()
        fetch(cache, Server(reply(200, FRESH, *LARGE[::-1])), get())
        assert begin + response.read() == b"".join(LARGE)
        assert fetch(cache, Server(), get()) == (HIT, b"".join(LARGE[::-1]))


def test_a_child_of_a_fork_has_a_connection_of_its_own(path):
    with opened(path) as cache:
        fetch(cache, Server(reply(200, FRESH, b"parent")), get())
        child = os.fork()
        if not child:
            done = 1
            try:
                assert fetch(cache, Server(), get()) == (HIT, b"parent")
                fetch(cache, Server(reply(200, FRESH, b"child")), get(url=URLS[0]))
                done = 0
            finally:
                os._exit(done)
        assert os.waitpid(child, 0)[1] == 0
        assert fetch(cache, Server(), get(url=URLS[0])) == (HIT, b"child")


def test_on_a_hub_the_disk_is_used_by_other_threads(path, monkeypatch):
    seen: set[int] = set()
    work = cache_file.CacheFile._work

    def watched(self, *arguments):
        seen.add(threading.get_ident())
        time.sleep(0.001)
        return work(self, *arguments)

    monkeypatch.setattr(cache_file.CacheFile, "_work", watched)

    def program() -> None:
        with timeout(20), opened(path) as cache, TaskGroup() as group:
            for url in URLS:
                group.start(fetch, cache, Server(reply(200, FRESH, *LARGE)), get(url=url))
            group.start(fetch, cache, Server(reply(200, FRESH, *LARGE)), get())

    run(program)
    assert seen
    assert threading.get_ident() not in seen
    assert found(path) == (HIT, b"".join(LARGE))
