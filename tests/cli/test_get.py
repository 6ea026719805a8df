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

import portico
from portico.cli.get_progress import Bars, size_text
from portico.cli.get_sums import find_sum, sum_in
from portico.cli.main import cli, run
from portico.client.download import Progress
from portico.client.part_file import PartFile, Segment, Version
from portico.client.session import Session
from portico.errors import ConfigError
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
    with FileServer(CONTENT) as server:
        urls = [server.url.replace("file.bin", f"f{number}") for number in range(6)]
        (here / "urls").write_text("\ufeff" + "\r\n".join(["# a list", "", *urls[2:]]))
        assert run(["get", *urls[:2], "-i", "urls", "-d", "new/files", "-n", "3", "-q"]) == 0
        assert run(["get", server.url, "-d", "new/files", "-o", "other", "-q"]) == 0
    assert names(here / "new" / "files") == [*(f"f{number}" for number in range(6)), "other"]
    assert names(here) == ["new", "urls"]
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
        assert run(["get", "-q", "-o", "other", server.url]) == 0  # it is there, of this size and time
        (here / "other").write_bytes(b"mine")
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
        ["-H", "nothing", "http://a/"],
        ["-o", "", "http://a/"],
        ["-o", "folder/", "http://a/"],
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
    with FileServer(CONTENT) as server:
        said, code = on_a_terminal(100, "--rate", "5M", server.url)
    assert code == 0
    assert b"file.bin" in said
    assert b"of 2.4 MiB" in said
    assert b"file.bin: 2.4 MiB in" in said


# -- what is said, and to whom


def test_urls_without_a_scheme_are_http_for_this_machine_and_https_for_others(here, monkeypatch):
    from portico.cli.get_downloads import Downloader

    asked: list[str] = []

    def fetch(self, url, *args, **options):
        asked.append(url)
        raise ConfigError("no network here")

    monkeypatch.setattr(Downloader, "fetch", fetch)
    urls = ["localhost:8000/a", ":8000/b", "[::1]:8000/c", "example.org/d", "me:secret@10.0.0.1:80/e"]
    assert run(["get", "-q", "-n", "1", *urls]) == 2
    assert run(["get", "-q", "--default-scheme", "http", "example.org/f"]) == 2
    assert asked == [
        "http://localhost:8000/a",
        "http://localhost:8000/b",
        "http://[::1]:8000/c",
        "https://example.org/d",
        "https://me:secret@10.0.0.1:80/e",
        "http://example.org/f",
    ]


def test_of_several_the_line_says_which(here, capfd):
    with FileServer(CONTENT) as server:
        urls = ["http://127.0.0.1:1/x", "http://me:secret@127.0.0.1:1/y"]
        assert run(["get", "--attempts", "1", server.url, *urls]) == 7
    said = capfd.readouterr().err
    assert "portico: http://127.0.0.1:1/x: cannot connect" in said
    assert "portico: http://127.0.0.1:1/y: cannot connect" in said
    assert "secret" not in said


def test_passwords_of_urls_are_not_told(here, capfd):
    with FileServer(CONTENT, status=[503]) as server:
        url = server.url.replace("://", "://me:secret@")
        assert run(["get", url]) == 0
        assert run(["get", "--json", "-f", url]) == 0
    said = capfd.readouterr()
    assert "trying again" in said.err
    assert json.loads(said.out.splitlines()[-1])["url"] == server.url
    assert "secret" not in said.err + said.out


def test_one_url_given_twice_is_one_file(here):
    with FileServer(CONTENT) as server:
        assert run(["get", "-q", server.url, server.url]) == 0
        assert len(server.asked) == 1


def test_two_urls_of_one_name_do_not_replace_each_other(here, capfd):
    with FileServer(CONTENT) as server, FileServer(b"other") as other:
        assert run(["get", "-f", "-q", "-n", "1", server.url, other.url]) == 2
    assert (here / "file.bin").read_bytes() == CONTENT
    assert "is the name of http://" in capfd.readouterr().err


def test_the_same_command_goes_on_with_a_list(here, capfd):
    with FileServer(CONTENT, cut=[None, 1000]) as server:
        urls = [server.url.replace("file.bin", name) for name in ("a", "b")]
        assert run(["get", "-n", "1", "--attempts", "1", *urls]) == 18
        assert names(here) == ["a", "b.part", "b.part.json"]
        assert run(["get", "-n", "1", *urls]) == 0
    assert names(here) == ["a", "b"]
    assert "a: 2.4 MiB, all of it was there already" in capfd.readouterr().err


def test_the_rate_is_for_all_files_together(here, monkeypatch):
    from portico.client import download

    made: list[float] = []
    bucket = download.Bucket
    monkeypatch.setattr(download, "Bucket", lambda rate: made.append(rate) or bucket(rate))
    with FileServer(CONTENT) as server:
        assert run(["get", "-q", "--rate", "1Gi", server.url, f"{server.url}?2"]) in (0, 2)
    assert made == [1 << 30]


def test_a_timeout_leaves_a_part_and_says_so(here, capfd):
    with FileServer(CONTENT) as server:
        arguments = ["--timeout", "2", "--rate", "200k", "-n", "1", server.url, f"{server.url}/second"]
        assert run(["get", *arguments]) == 18
        said = capfd.readouterr().err
        assert said.count("timed out after 2 s") == 2
        assert "trying again" not in said
        assert run(["get", "-q", "--sha256", SUM, server.url]) == 0
    assert server.headers("Range")[-1] is not None
    assert run(["get", "--timeout", "0.2", "--attempts", "99", "http://127.0.0.1:1/"]) in (7, 28)


def test_the_sum_beside_a_file_has_its_name_and_its_query(here):
    with FileServer(f"{SUM}\n".encode()) as server:
        session = Session(env=False)
        with session:
            assert find_sum(session, f"{server.url}?key=1#part", "auto") == SUM
    assert server.asked[0].startswith("GET /file.bin.sha256?key=1 HTTP")


def test_partial_means_that_there_is_a_part(here):
    with FileServer(CONTENT, cut=[1000] * 3, etag=None, modified=None) as server:
        assert run(["get", "-q", "--attempts", "1", server.url]) == 56
    assert names(here) == []


def test_a_full_disk_leaves_a_part(here, monkeypatch, capfd):
    import errno
    import os

    def pwrite(descriptor: int, data: bytes, at: int, write=os.pwrite) -> int:
        if at > 1_000_000:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, data, at)

    with FileServer(CONTENT) as server:
        with monkeypatch.context() as full:
            full.setattr("os.pwrite", pwrite)
            assert run(["get", "-q", server.url]) == 18
        assert "No space left on device" in capfd.readouterr().err
        assert run(["get", "-q", "--sha256", SUM, server.url]) == 0


def test_files_of_this_machine_are_copied_checked_and_gone_on_with(here, capfd):
    (here / "from").mkdir()
    source = here / "from" / "file.bin"
    source.write_bytes(CONTENT)
    (here / "from" / "SHA256SUMS").write_text(f"{SUM}  file.bin\n")
    etag = portico.open(source.as_uri(), method="HEAD").headers["etag"]
    part = PartFile(here / "file.bin")
    part.begin(Version(source.as_uri(), etag, size=len(CONTENT)), [Segment(0, len(CONTENT), 0)])
    part.write(part.segments[0], CONTENT[:2_000_000])
    part.leave()
    assert run(["get", "--sums", "auto", source.as_uri()]) == 0
    assert "488.3 KiB of it now" in capfd.readouterr().err
    assert (here / "file.bin").read_bytes() == CONTENT
    assert run(["get", "-q", "-s", "2", "-o", "again", source.as_uri()]) == 0
    assert (here / "again").read_bytes() == CONTENT
    assert run(["get", "-q", (here / "none").as_uri()]) == 22


# -- into what is no file


def test_what_goes_to_stdout_is_checked(here, capfdbinary):
    with FileServer(CONTENT) as server:
        assert run(["get", "-o", "-", "--sha256", SUM, server.url]) == 0
        assert run(["get", "-o", "-", "--sha256", "0" * 64, server.url]) == 1
        assert run(["get", "-o", "-", "--json", server.url]) == 2
    said = capfdbinary.readouterr()
    assert said.out == CONTENT * 2
    assert b"the SHA-256 is" in said.err


@pytest.mark.parametrize("force", [[], ["-f"]])
def test_a_pipe_or_a_device_is_written_to_and_stays(here, force):
    import os
    import threading

    os.mkfifo(here / "pipe")
    came: list[bytes] = []
    reader = threading.Thread(target=lambda: came.append((here / "pipe").read_bytes()))
    reader.start()
    with FileServer(CONTENT) as server:
        assert run(["get", "-q", *force, "-o", "pipe", server.url]) == 0
        reader.join()
        assert run(["get", "-q", *force, "-o", "/dev/null", server.url]) == 0
    assert came == [CONTENT]
    assert (here / "pipe").is_fifo()
    assert Path("/dev/null").is_char_device()
    assert names(here) == ["pipe"]


@pytest.mark.parametrize(
    ("closed", "arguments", "code"),
    [
        (">&-", "-o -", 2),
        ("2>&-", "", 0),
        (">&- 2>&-", "", 0),
        (">&-", "--json", 0),
        ("<&-", "-i -", 2),
    ],
)
def test_streams_may_be_closed(here, closed, arguments, code):
    with FileServer(b"content") as server:
        line = f"{sys.executable} -m portico get {arguments} {server.url} {closed}"
        done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.count("\n") <= 1
    assert names(here) == ([] if code else ["file.bin"])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_told_to_end_it_leaves_a_part_and_the_terminal_as_it_was(here, number):
    with FileServer(CONTENT) as server:
        said, code = on_a_terminal(80, "--rate", "1M", server.url, until=here / "file.bin.part", send=number)
        assert code == 128 + number
        assert said.rstrip().endswith(b"\x1b[?25h")  # the cursor is shown
        assert run(["get", "-q", "--sha256", SUM, server.url]) == 0
    assert server.headers("Range")[-1] is not None


@pytest.mark.parametrize("columns", [20, 50, 80, 200])
def test_no_bar_is_wider_than_the_terminal(columns, monkeypatch):
    from io import StringIO

    from rich.console import Console

    monkeypatch.setenv("COLUMNS", str(columns))
    bars = Bars()
    note = bars.follow("http://h/")
    note(Progress("http://h/", f"{'long' * 30}.tar.gz", 900 << 30, 300 << 30, state="waiting"))
    shown = StringIO()
    Console(file=shown, width=columns).print(bars._bars.get_renderable())
    (line,) = shown.getvalue().splitlines()
    assert len(line) <= columns
    assert "(waiting) " in line
    assert "33 %" in line


def on_a_terminal(columns: int, *arguments: str, until: Path | None = None, send: int = 0):
    """What ``portico get`` writes on a terminal of so many columns, and its exit code. ``send``: a signal
    for it, once there is something in ``until``."""
    import os
    import pty

    parent, child = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": str(columns)}
    command = [sys.executable, "-m", "portico", "get", *arguments]
    process = subprocess.Popen(command, stderr=child, env=environment)
    os.close(child)
    said = b""
    try:
        while True:
            if until is not None and until.exists() and until.stat().st_size:
                process.send_signal(send)
                until = None
            data = os.read(parent, 65536)
            if not data:
                break
            said += data
    except OSError:
        pass
    os.close(parent)
    return said, process.wait(timeout=20)
