"""``portico get``: what it leaves on disk, says, and exits with."""

from __future__ import annotations

import hashlib
import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from portico.cli.get_progress import size_text
from portico.cli.get_sums import sum_in
from portico.cli.main import cli, run
from tests.client.files_server import FileServer

pytestmark = pytest.mark.timeout(60)

CONTENT = random.Random(3).randbytes(2_500_000)
SUM = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_a_file_is_there_and_a_line_says_so(here, capfd):
    with FileServer(CONTENT) as server:
        assert run(["get", server.url]) == 0
    said = capfd.readouterr()
    assert (here / "file.bin").read_bytes() == CONTENT
    assert said.out == ""
    assert said.err.startswith("file.bin: 2.4 MiB in ")
    assert said.err.count("\n") == 1


def test_many_at_once_into_a_folder(here, capfd):
    (here / "files").mkdir()
    (here / "urls").write_text("# a list\n\n")
    with FileServer(CONTENT) as server:
        urls = [server.url.replace("file.bin", f"f{number}") for number in range(6)]
        (here / "urls").write_text("\n".join(["# a list", "", *urls[2:]]))
        assert run(["get", *urls[:2], "-i", "urls", "-d", "files", "-n", "3", "-q"]) == 0
    assert names(here / "files") == [f"f{number}" for number in range(6)]
    assert capfd.readouterr().err == ""


def test_to_stdout(here, capfdbinary):
    with FileServer(CONTENT) as server:
        assert run(["get", "-o", "-", server.url]) == 0
    assert capfdbinary.readouterr().out == CONTENT
    assert names(here) == []


def test_under_another_name_and_checked(here):
    with FileServer(CONTENT) as server:
        assert run(["get", "-q", "-o", "other", "--sha256", SUM, server.url]) == 0
        assert run(["get", "-q", "-o", "wrong", "--sha256", "0" * 64, server.url]) == 1
        assert run(["get", "-q", "-o", "other", server.url]) == 2
        assert run(["get", "-q", "-f", "-o", "other", server.url]) == 0
    assert names(here) == ["other"]


def test_partial_is_told_from_failed_and_gone_on_with(here, capfd):
    with FileServer(CONTENT, cut=[1_000_000]) as server:
        assert run(["get", "-q", "--attempts", "1", server.url]) == 18
        assert names(here) == ["file.bin.part", "file.bin.part.json"]
        assert run(["get", server.url]) == 0
    assert "1.4 MiB of it now" in capfd.readouterr().err
    assert (here / "file.bin").read_bytes() == CONTENT
    with FileServer(CONTENT, status=[404]) as server:
        assert run(["get", "-q", "-o", "x", server.url]) == 22
    assert run(["get", "-q", "--attempts", "1", "http://127.0.0.1:1/x"]) == 7
    assert run(["get", "-q", "http://none.invalid/x"]) == 6
    assert names(here) == ["file.bin"]


def test_one_that_fails_does_not_stop_the_others(here, capfd):
    with FileServer(CONTENT) as server:
        urls = ["http://none.invalid/x", server.url, "gopher://h/"]
        assert run(["get", "-n", "1", *urls]) == 6
    assert names(here) == ["file.bin"]
    said = capfd.readouterr().err.splitlines()
    assert sum(line.startswith("portico: ") for line in said) == 2


def test_records_for_machines(here, capfd):
    with FileServer(CONTENT) as server:
        assert run(["get", "--json", server.url, "http://none.invalid/x"]) == 6
        records = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
        done = next(each for each in records if each["event"] == "done")
        assert done == {
            "event": "done",
            "url": server.url,
            "path": "file.bin",
            "size": len(CONTENT),
            "came": len(CONTENT),
        }
        failed = next(each for each in records if each["event"] == "failed")
        assert (failed["kind"], failed["code"]) == ("ResolveError", 6)


@pytest.mark.parametrize("how", ["auto", "url", "file"])
def test_sums_beside_a_file_are_checked(here, how):
    with FileServer(CONTENT) as server, FileServer(f"{SUM}  file.bin\n".encode()) as sums:
        (here / "SUMS").write_text(f"SHA256 (other) = {'0' * 64}\nSHA256 (file.bin) = {SUM}\n")
        source = {"auto": "auto", "url": sums.url, "file": "SUMS"}[how]
        if how == "auto":  # the one server gives the file's own bytes for everything: no sum is in them
            assert run(["get", "-q", "--sums", source, server.url]) == 2
            assert names(here) == ["SUMS"]
            return
        assert run(["get", "-q", "--sums", source, server.url]) == 0
    assert names(here) == ["SUMS", "file.bin"]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (f"{SUM}  file.bin", SUM),
        (f"{SUM.upper()} *file.bin", SUM),
        (f"{SUM}  ./file.bin", SUM),
        (SUM, SUM),
        (f"SHA256 (file.bin) = {SUM}", SUM),
        (f"{SUM}  other.bin", None),
        (f"{SUM[:-1]}  file.bin", None),
        ("<html>not found</html>", None),
        ("", None),
    ],
)
def test_a_sum_is_found_in_its_line(line, found):
    assert sum_in(f"# sums\n{line}\n", "file.bin") == found


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["-o", "x", "http://a/", "http://b/"],
        ["--sha256", SUM, "http://a/", "http://b/"],
        ["--rate", "fast", "http://a/"],
        ["--rate", "0", "http://a/"],
        ["--rate", "-1k", "http://a/"],
        ["-u", "nobody", "http://a/"],
        ["-i", "none", "http://a/"],
        ["-n", "0", "http://a/"],
        ["--sha256", "xyz", "http://a/"],
        ["-H", "A B: c", "http://a/"],
        ["-H", "A: b\nC: d", "http://a/"],
        ["--proxy", "nonsense://", "http://a/"],
    ],
)
def test_wrong_usage_is_one_line(here, arguments):
    result = CliRunner().invoke(cli, ["get", *arguments], prog_name="portico")
    assert run(["get", *arguments]) in (1, 2)
    assert "Traceback" not in result.output
    assert names(here) == []


@pytest.mark.parametrize(
    ("text", "rate"),
    [("500", 500), ("500k", 500_000), ("2Mi", 2 << 20), ("1.5M/s", 1_500_000), ("10KB/s", 10_000)],
)
def test_rates_are_read(text, rate):
    from portico.cli import get as module

    assert module._rate(None, None, text) == rate  # type: ignore[arg-type]


def test_sizes_are_told():
    assert [size_text(each) for each in (0, 1023, 1024, 5 << 20, 3 << 40)] == [
        "0 B",
        "1023 B",
        "1.0 KiB",
        "5.0 MiB",
        "3.0 TiB",
    ]


def test_a_name_from_the_server_cannot_move_the_cursor(here, capfd):
    more = {"Content-Disposition": 'attachment; filename="a\x1b[2Jb"'.replace("\x1b", "%1b")}
    with FileServer(b"x", more=more) as server:
        assert run(["get", server.url]) == 0
    assert "\x1b" not in capfd.readouterr().err
    assert names(here) == ["a_[2Jb"]


def test_interrupted_it_leaves_a_part(here):
    with FileServer(CONTENT) as server:
        arguments = [sys.executable, "-m", "portico", "get", "--rate", "1M", server.url]
        process = subprocess.Popen(arguments, stderr=subprocess.PIPE)
        until = time.monotonic() + 20
        while not (here / "file.bin.part").exists() or not (here / "file.bin.part").stat().st_size:
            assert time.monotonic() < until
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=20)
        assert (process.returncode, b"Traceback" in said) == (130, False)
        assert run(["get", "-q", "--sha256", SUM, server.url]) == 0
    assert server.headers("Range")[-1] is not None


def test_bars_on_a_terminal(here):
    import os
    import pty

    parent, child = pty.openpty()
    with FileServer(CONTENT) as server:
        arguments = [sys.executable, "-m", "portico", "get", server.url]
        process = subprocess.Popen(
            arguments, stderr=child, env={**os.environ, "TERM": "xterm", "COLUMNS": "100"}
        )
        os.close(child)
        said = b""
        while True:
            try:
                data = os.read(parent, 65536)
            except OSError:
                break
            if not data:
                break
            said += data
        os.close(parent)
        assert process.wait(timeout=20) == 0
    assert b"file.bin" in said
    assert b"2.5/2.5 MiB" in said or b"2.4/2.4 MiB" in said
