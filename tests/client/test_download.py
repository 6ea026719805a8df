"""Downloads: the whole file under its name, or a part that can be gone on with; never anything else."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import io
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from portico.client.bucket import Bucket
from portico.client.disposition import name_for, proposed_name
from portico.client.download import Downloader, Progress
from portico.client.part_file import PartFile, Segment, Version
from portico.client.session import Session
from portico.client.timeouts import Timeouts
from portico.client.url import URL
from portico.errors import (
    ChecksumError,
    ConfigError,
    ConnectError,
    EndOfStream,
    HTTPError,
    PorticoError,
    ProtocolError,
    RedirectError,
)
from tests.client.files_server import FileServer

pytestmark = pytest.mark.timeout(60)

CONTENT = random.Random(1).randbytes(3_000_000)
OTHER = random.Random(2).randbytes(3_000_000)
SUM = hashlib.sha256(CONTENT).hexdigest()


def downloader(**options) -> Downloader:
    return Downloader(pause=0.001, **options)


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


@pytest.mark.usefixtures("door")
def test_a_file_arrives_whole_under_its_name_and_with_its_time(tmp_path):
    with FileServer(CONTENT) as server, downloader() as by:
        done = by.fetch(server.url, folder=tmp_path, sha256=SUM)
        assert (done.path, done.size, done.came) == (tmp_path / "file.bin", len(CONTENT), len(CONTENT))
    assert done.path.read_bytes() == CONTENT
    assert int(done.path.stat().st_mtime) == 1640995200
    assert names(tmp_path) == ["file.bin"]
    assert server.headers("Accept-Encoding") == ["identity"]


@pytest.mark.usefixtures("door")
@pytest.mark.parametrize("cuts", [[0], [1], [100_000], [100_000, 0, 1, 2_000_000], [2_999_999]])
def test_what_is_cut_is_gone_on_with(tmp_path, cuts):
    with FileServer(CONTENT, cut=list(cuts)) as server, downloader() as by:
        done = by.fetch(server.url, tmp_path / "out")
    assert done.path.read_bytes() == CONTENT
    assert len(server.asked) == len(cuts) + 1
    begins = [each for each in server.headers("Range") if each is not None]
    assert begins == [f"bytes={sum(cuts[: n + 1])}-2999999" for n in range(len(cuts)) if sum(cuts[: n + 1])]
    assert set(server.headers("If-Range")) <= {None, '"v1"'}


@pytest.mark.parametrize("etag", ['"v1"', None])
def test_a_part_is_gone_on_with_by_another_process(tmp_path, etag):
    with FileServer(CONTENT, cut=[1_000_000], etag=etag) as server:
        with downloader(attempts=1) as by, pytest.raises(EndOfStream):
            by.fetch(server.url, tmp_path / "out")
        assert names(tmp_path) == ["out.part", "out.part.json"]
        with downloader() as by:
            done = by.fetch(server.url, tmp_path / "out")
    assert (done.came, done.path.read_bytes()) == (2_000_000, CONTENT)
    assert server.headers("Range") == [None, "bytes=1000000-2999999"]
    assert names(tmp_path) == ["out"]


def test_a_part_is_found_under_the_name_that_the_server_gives(tmp_path):
    more = {"Content-Disposition": 'attachment; filename="named.bin"'}
    with FileServer(CONTENT, cut=[1_000_000], more=more) as server:
        with downloader(attempts=1) as by, pytest.raises(EndOfStream):
            by.fetch(server.url, folder=tmp_path)
        with downloader() as by:
            done = by.fetch(server.url, folder=tmp_path)
    assert (done.path.name, done.came, done.path.read_bytes()) == ("named.bin", 2_000_000, CONTENT)


@pytest.mark.parametrize("when", [1, 2])
def test_two_versions_are_never_spliced(tmp_path, when):
    server = FileServer(CONTENT, cut=[1_000_000, 500_000])

    def change(number: int) -> None:
        if number == when:
            server.content, server.etag = OTHER, '"v2"'

    server.change = change
    with server, downloader() as by:
        done = by.fetch(server.url, tmp_path / "out")
    assert done.path.read_bytes() == OTHER


def test_a_resource_that_never_rests_is_given_up(tmp_path):
    server = FileServer(CONTENT, cut=[1000] * 20)

    def change(number: int) -> None:
        server.etag = f'"v{number}"'

    server.change = change
    with server, downloader() as by, pytest.raises(ProtocolError, match="changed"):
        by.fetch(server.url, tmp_path / "out")
    assert "out" not in names(tmp_path)


@pytest.mark.parametrize(
    ("options", "begins_anew"),
    [
        ({"etag": None, "modified": None}, True),
        ({"etag": 'W/"weak"', "modified": None}, True),
        ({"etag": None, "modified": "Sat, 28 Nov 2026 00:00:00 GMT"}, True),  # of this very second
        ({"ranges": False}, True),
        ({"length": False}, False),
    ],
)
def test_without_proof_of_the_version_it_begins_anew(tmp_path, options, begins_anew):
    with FileServer(CONTENT, cut=[1_000_000], **options) as server, downloader() as by:
        if options.get("length") is False:
            done = by.fetch(server.url, tmp_path / "out")  # nobody can tell that it was cut
            assert done.size == 1_000_000
            return
        done = by.fetch(server.url, tmp_path / "out")
    assert done.path.read_bytes() == CONTENT
    assert (done.came > len(CONTENT)) is begins_anew


@pytest.mark.parametrize(
    "lie",
    [
        {"Content-Range": "bytes 0-2999999/3000000"},
        {"Content-Range": "bytes 1000001-2999999/3000000"},
        {"Content-Range": "bytes 1000000-2999999/4000000"},
        {"Content-Range": "bytes 1000000-999999/3000000"},
        {"Content-Range": "items 1-2/3"},
        {"Content-Range": ""},
        {"ETag": '"v2"'},
        {"Content-Encoding": "gzip"},
    ],
)
def test_a_part_that_is_not_what_was_asked_for_is_not_used(tmp_path, lie):
    server = FileServer(CONTENT, cut=[1_000_000])

    def tell(headers: dict[str, str], number: int) -> None:
        if number == 1:
            headers.update(lie)

    server.lie = tell
    with server, downloader() as by:
        done = by.fetch(server.url, tmp_path / "out", sha256=SUM)
    assert done.path.read_bytes() == CONTENT
    assert server.headers("Range")[-1] is None


def test_what_is_packed_unasked_is_not_gone_on_with(tmp_path):
    def pack(headers: dict[str, str], number: int) -> None:
        if number == 0:
            headers["Content-Encoding"] = "gzip"

    server = FileServer(CONTENT, cut=[1_000_000], lie=pack)
    with server, downloader() as by:
        by.fetch(server.url, tmp_path / "out", sha256=SUM)
    assert server.headers("Range") == [None, None]


@pytest.mark.parametrize("etag", ['"v1"', None])
def test_a_server_that_does_not_heed_if_range_is_found_out_by_what_it_tells(tmp_path, etag):
    server = FileServer(CONTENT, cut=[1_000_000], etag=etag)

    def change(number: int) -> None:
        if number == 1:
            server.content, server.modified = OTHER, "Sun, 02 Jan 2022 00:00:00 GMT"
            server.etag = etag and '"v2"'
            server.heed = False

    server.change = change
    with server, downloader() as by:
        by.fetch(server.url, tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == OTHER


@pytest.mark.usefixtures("door")
def test_segments_are_loaded_at_once_and_gone_on_with(tmp_path):
    with FileServer(CONTENT, cut=[None, 1000, None, 5000]) as server, downloader(segments=3) as by:
        done = by.fetch(server.url, tmp_path / "out", sha256=SUM)
    assert done.path.read_bytes() == CONTENT
    assert len(server.asked) >= 3  # two segments of at least a megabyte, one of them twice


def test_segments_that_were_cut_are_gone_on_with_later(tmp_path):
    with FileServer(CONTENT, cut=[500_000, 300_000, 200_000]) as server:
        with downloader(segments=3, attempts=1) as by, pytest.raises(EndOfStream):
            by.fetch(server.url, tmp_path / "out")
        part = PartFile(tmp_path / "out")
        assert part.load()
        there = part.size
        with downloader() as by:
            done = by.fetch(server.url, tmp_path / "out", sha256=SUM)
    assert done.path.read_bytes() == CONTENT
    assert done.came == len(CONTENT) - there


def test_a_server_without_ranges_gives_one_segment(tmp_path):
    with FileServer(CONTENT, ranges=False) as server, downloader(segments=3) as by:
        assert by.fetch(server.url, tmp_path / "out", sha256=SUM).size == len(CONTENT)
    assert len(server.asked) == 1


def test_a_server_that_announces_ranges_and_gives_none_is_asked_for_the_whole(tmp_path):
    server = FileServer(CONTENT, ranges=False, more={"Accept-Ranges": "bytes"})
    with server, downloader(segments=2) as by:
        assert by.fetch(server.url, tmp_path / "out", sha256=SUM).size == len(CONTENT)


def test_a_server_without_ranges_that_breaks_off_is_told_as_that_and_not_as_a_change(tmp_path):
    with FileServer(CONTENT, ranges=False, cut=[1000] * 20) as server, downloader(attempts=9) as by:
        with pytest.raises(EndOfStream, match="before the body's end"):
            by.fetch(server.url, tmp_path / "out")
        assert len(server.asked) < 10


def test_answers_that_pass_are_asked_again_and_others_not(tmp_path):
    with FileServer(CONTENT, status=[503, 500, 429]) as server, downloader() as by:
        by.fetch(server.url, tmp_path / "out", sha256=SUM)
    with FileServer(CONTENT, status=[404]) as server, downloader() as by:
        with pytest.raises(HTTPError, match="404"):
            by.fetch(server.url, tmp_path / "other")
        assert len(server.asked) == 1
    with FileServer(CONTENT, status=[503] * 9) as server, downloader(attempts=3) as by:
        with pytest.raises(HTTPError, match="503"):
            by.fetch(server.url, tmp_path / "other")
        assert len(server.asked) == 3
    assert names(tmp_path) == ["out"]


def test_an_empty_file_is_a_file(tmp_path):
    with FileServer(b"") as server, downloader() as by:
        assert by.fetch(server.url, tmp_path / "out").size == 0
    assert (tmp_path / "out").read_bytes() == b""


def test_a_wrong_checksum_leaves_nothing(tmp_path):
    with FileServer(CONTENT) as server, downloader() as by, pytest.raises(ChecksumError, match="not kept"):
        by.fetch(server.url, tmp_path / "out", sha256="0" * 64)
    assert names(tmp_path) == []
    with downloader() as by, pytest.raises(ConfigError, match="64 hexadecimal"):
        by.fetch("http://127.0.0.1:1/", tmp_path / "out", sha256="abc")


def test_a_file_that_is_there_is_kept_unless_told_otherwise(tmp_path):
    (tmp_path / "file.bin").write_bytes(b"mine")
    with FileServer(CONTENT) as server, downloader() as by:
        with pytest.raises(ConfigError, match="is there already"):
            by.fetch(server.url, folder=tmp_path)
        assert (tmp_path / "file.bin").read_bytes() == b"mine"
        by.fetch(server.url, folder=tmp_path, force=True)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


@pytest.mark.parametrize("status", [204, 206, 300, 304])
def test_an_answer_that_is_not_the_whole_file_makes_none(tmp_path, status):
    with FileServer(CONTENT, status=[status]) as server, downloader() as by:
        with pytest.raises(HTTPError, match=f"{status}.* and not the whole file"):
            by.fetch(server.url, tmp_path / "out")
        assert len(server.asked) == 1
    assert names(tmp_path) == []


def test_a_file_that_is_known_to_be_the_same_is_not_loaded_again(tmp_path):
    with FileServer(CONTENT) as server, downloader() as by:
        by.fetch(server.url, folder=tmp_path)
        again = by.fetch(server.url, folder=tmp_path)
        assert (again.path, again.size, again.came) == (tmp_path / "file.bin", len(CONTENT), 0)
        os.utime(again.path, (1, 1))
        with pytest.raises(ConfigError, match="is there already"):
            by.fetch(server.url, folder=tmp_path)
        assert by.fetch(server.url, folder=tmp_path, sha256=SUM).came == 0
        with pytest.raises(ConfigError, match="is there already"):
            by.fetch(server.url, folder=tmp_path, sha256="0" * 64)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


@pytest.mark.parametrize("force", [False, True])
def test_what_is_no_file_is_never_replaced(tmp_path, force):
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    with FileServer(CONTENT) as server, downloader() as by:
        for name, why in (("folder", "is a folder"), ("pipe", "is no regular file")):
            with pytest.raises(ConfigError, match=why):
                by.fetch(server.url, tmp_path / name, force=force)
    assert names(tmp_path) == ["folder", "pipe"]
    assert (tmp_path / "pipe").is_fifo()


def test_a_link_that_leads_nowhere_is_there(tmp_path):
    (tmp_path / "out").symlink_to("nowhere")
    with FileServer(CONTENT) as server, downloader() as by:
        with pytest.raises(ConfigError, match="is there already"):
            by.fetch(server.url, tmp_path / "out")
        by.fetch(server.url, tmp_path / "out", force=True)
    assert names(tmp_path) == ["out"]
    assert not (tmp_path / "out").is_symlink()


@pytest.mark.parametrize("options", [{"cut": [0]}, {"cut": [1000], "etag": None, "modified": None}])
def test_what_cannot_be_gone_on_with_is_not_left(tmp_path, options):
    with FileServer(CONTENT, **options) as server, downloader(attempts=1) as by, pytest.raises(EndOfStream):
        by.fetch(server.url, tmp_path / "out")
    assert names(tmp_path) == []


def test_a_file_without_a_version_that_is_cut_again_and_again_is_told_to_be_cut(tmp_path):
    restless = FileServer(CONTENT, cut=[1000] * 9, etag=None, modified=None)
    with restless as server, downloader() as by, pytest.raises(EndOfStream):
        by.fetch(server.url, tmp_path / "out")


def test_a_full_disk_leaves_a_part_that_resumes(tmp_path, monkeypatch):
    told: list[bool] = []

    def pwrite(descriptor: int, data: bytes, at: int, write=os.pwrite) -> int:
        if at > 1_000_000:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, data, at)

    def replace(source: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with FileServer(CONTENT) as server, downloader() as by:
        with monkeypatch.context() as full:
            full.setattr("os.pwrite", pwrite)
            progress = lambda each: told.append(each.resumable)  # noqa: E731
            first = lambda each: full.setattr("os.replace", replace) or progress(each)  # noqa: E731
            with pytest.raises(ConfigError, match="No space left"):
                by.fetch(server.url, tmp_path / "out", on_progress=first)
        assert (names(tmp_path), told[-1]) == (["out.part", "out.part.json"], True)
        assert by.fetch(server.url, tmp_path / "out", sha256=SUM).came < len(CONTENT)


def test_a_file_that_is_finished_while_another_waits_for_it_stays(tmp_path, monkeypatch):
    first, second = PartFile(tmp_path / "out"), PartFile(tmp_path / "out")
    first.begin(Version("u", etag='"1"', size=4), [Segment(0, 4, 0)])
    first.write(first.segments[0], b"done")
    flock = fcntl.flock

    def finishing(descriptor: int, operation: int) -> None:
        monkeypatch.setattr("fcntl.flock", flock)
        first.finish(None)  # between the other's opening and its lock
        flock(descriptor, operation)

    monkeypatch.setattr("fcntl.flock", finishing)
    with pytest.raises(ConfigError, match="is there already"):
        second.begin(Version("u", etag='"1"', size=4), [Segment(0, 4, 0)])
    second.leave()
    assert (tmp_path / "out").read_bytes() == b"done"
    assert names(tmp_path) == ["out"]


def test_a_part_that_another_finishes_meanwhile_is_not_gone_on_with(tmp_path, monkeypatch):
    with FileServer(CONTENT, cut=[1_000_000]) as server, downloader(attempts=1) as by:
        with pytest.raises(EndOfStream):
            by.fetch(server.url, tmp_path / "out")
        opened = os.open

        def late(path, flags, *mode, **more):
            if str(path).endswith("out.part"):  # its note has been read
                monkeypatch.setattr("os.open", opened)
                (tmp_path / "out.part").unlink()
                (tmp_path / "out.part.json").unlink()
            return opened(path, flags, *mode, **more)

        monkeypatch.setattr("os.open", late)
        done = by.fetch(server.url, tmp_path / "out", force=True)
    assert done.path.read_bytes() == CONTENT
    assert names(tmp_path) == ["out"]


def test_a_whole_part_needs_no_more_than_its_name(tmp_path):
    with FileServer(CONTENT, status=[405]) as server, downloader() as by:
        version = Version(server.url, '"v1"', "Sat, 01 Jan 2022 00:00:00 GMT", 4)
        part = PartFile(tmp_path / "out")
        part.begin(version, [Segment(0, 4, 0)])
        part.write(part.segments[0], b"done")
        part.leave()
        done = by.fetch(server.url, tmp_path / "out")
    assert (done.came, done.path.read_bytes()) == (0, b"done")
    assert int(done.path.stat().st_mtime) == 1640995200
    assert names(tmp_path) == ["out"]


def test_a_folder_that_cannot_be_written_is_one_clear_error(tmp_path):
    with FileServer(CONTENT) as server, downloader() as by, pytest.raises(ConfigError, match="cannot write"):
        by.fetch(server.url, tmp_path / "none" / "out")


def test_a_link_in_place_of_the_part_leads_nowhere(tmp_path):
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    (tmp_path / "out.part").symlink_to(victim)
    with FileServer(CONTENT) as server, downloader() as by, pytest.raises(ConfigError, match="cannot write"):
        by.fetch(server.url, tmp_path / "out")
    assert victim.read_bytes() == b"precious"


@pytest.mark.parametrize("name", ["out.part", "out.part.json", "out.part.json~"])
@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_what_stands_in_place_of_the_part_or_its_note_is_one_clear_error_or_none(tmp_path, name, make):
    make(tmp_path / name)
    with FileServer(CONTENT) as server, downloader() as by:
        if make is os.mkdir or name == "out.part":
            with pytest.raises(ConfigError, match=f"{name}.*: Is a directory|no regular file"):
                by.fetch(server.url, tmp_path / "out")
            assert names(tmp_path) == [name]
        else:
            by.fetch(server.url, tmp_path / "out", sha256=SUM)
            assert names(tmp_path) == ["out"]


@pytest.mark.parametrize("name", ["out.part.json", "out.part.json~"])
def test_a_link_in_place_of_the_note_leads_nowhere(tmp_path, name):
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    (tmp_path / name).symlink_to(victim)
    with FileServer(CONTENT) as server, downloader() as by:
        by.fetch(server.url, tmp_path / "out", sha256=SUM)
    assert victim.read_bytes() == b"precious"
    assert names(tmp_path) == ["out", "victim"]


@pytest.mark.parametrize(
    "note",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"format": 2}',
        '{"format": 1, "version": {"url": "x"}, "segments": [[0, null, 0]]}',
        '{"format": 1, "version": {"url": "x", "etag": "\\"v1\\""}, "segments": [[0, 999, 999], [1, 2, 1]]}',
        '{"format": 1, "version": {"url": "x", "etag": "\\"v1\\""}, "segments": [["a", 1, 2]]}',
        '{"format": 1, "version": {"url": "x", "etag": "\\"v1\\"", "evil": 1}, "segments": [[0, 1, 1]]}',
        '{"format": 1, "version": {"url": "x", "etag": "\\"v1\\""}, "segments": [[-5, 1, -5], [1, 2, 1]]}',
    ],
)
def test_a_note_that_makes_no_sense_is_not_believed(tmp_path, note):
    (tmp_path / "out.part").write_bytes(b"garbage")
    (tmp_path / "out.part.json").write_text(note)
    with FileServer(CONTENT) as server, downloader() as by:
        by.fetch(server.url, tmp_path / "out", sha256=SUM)
    assert names(tmp_path) == ["out"]


def test_two_downloads_never_write_one_part(tmp_path):
    with FileServer(CONTENT, cut=[1_000_000]) as server:
        with downloader(attempts=1) as by, pytest.raises(EndOfStream):
            by.fetch(server.url, tmp_path / "out")
        part = PartFile(tmp_path / "out")
        assert part.load()
        part.go_on()
        with downloader() as by, pytest.raises(ConfigError, match="written by another download"):
            by.fetch(server.url, tmp_path / "out")
        part.close()
        with downloader() as by:
            assert by.fetch(server.url, tmp_path / "out", sha256=SUM).came == 2_000_000


def test_progress_is_told(tmp_path):
    told: list[tuple[str, int, int | None]] = []

    def note(progress: Progress) -> None:
        told.append((progress.state, progress.done, progress.total))

    with FileServer(CONTENT, cut=[1_000_000]) as server, downloader(on_progress=note) as by:
        by.fetch(server.url, tmp_path / "out", sha256=SUM)
    states = [state for state, _, _ in told]
    assert states[0] == "loading"
    assert ("waiting" in states, states[-2:]) == (True, ["checking", "done"])
    assert told[-1][1:] == (len(CONTENT), len(CONTENT))
    assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)


def test_the_rate_is_bounded(tmp_path):
    began = time.monotonic()
    with FileServer(CONTENT[:300_000]) as server, downloader(rate=1_000_000) as by:
        by.fetch(server.url, tmp_path / "out")
    assert time.monotonic() - began >= 0.19


@pytest.mark.usefixtures("door")
@pytest.mark.parametrize("cuts", [[], [0], [1], [1_000_000, 0, 500_000]])
def test_what_goes_into_a_stream_is_gone_on_with(cuts):
    out = io.BytesIO()
    with FileServer(CONTENT, cut=list(cuts)) as server, downloader(segments=3) as by:
        done = by.pour(server.url, out, sha256=SUM)
    assert (out.getvalue(), done.size, out.closed) == (CONTENT, len(CONTENT), False)


def test_what_has_gone_into_a_stream_is_of_one_version():
    server = FileServer(CONTENT, cut=[1_000_000])

    def change(number: int) -> None:
        if number == 1:
            server.content, server.etag = OTHER, '"v2"'

    server.change = change
    out = io.BytesIO()
    with server, downloader() as by, pytest.raises(ProtocolError, match="changed"):
        by.pour(server.url, out)
    assert out.getvalue() == CONTENT[:1_000_000]


@pytest.mark.parametrize("options", [{"etag": None, "modified": None}, {"ranges": False}])
def test_a_stream_that_cannot_be_gone_on_with_is_told_to_be_cut(options):
    out = io.BytesIO()
    with FileServer(CONTENT, cut=[1_000_000], **options) as server, downloader() as by:
        with pytest.raises(EndOfStream):
            by.pour(server.url, out)
        with pytest.raises(ChecksumError, match="all of it has been written"):
            by.pour(server.url, io.BytesIO(), sha256="0" * 64)
    assert out.getvalue() == CONTENT[:1_000_000]


def test_what_is_slowed_down_comes_in_small_steps():
    assert [len(piece) for piece in Bucket(4e9).paced([b"x" * 10, b"", b"y"])] == [10, 1]
    slow = Bucket(40.0)
    slow.take = lambda size: None  # type: ignore[method-assign]
    assert list(slow.paced([b"x" * 25, b"y"])) == [b"x" * 10, b"x" * 10, b"x" * 5, b"y"]


def test_silence_is_cut_and_gone_on_with(tmp_path):
    import socket

    with FileServer(CONTENT, cut=[1_000_000]) as server, socket.create_server(("127.0.0.1", 0)) as silent:
        silent_url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        session = Session(timeout=Timeouts(read=0.2), env=False)
        with session, Downloader(session, pause=0.001, attempts=2) as by:
            by.fetch(server.url, tmp_path / "out", sha256=SUM)
            with pytest.raises(PorticoError, match="timed out"):
                by.fetch(silent_url, tmp_path / "other")


@pytest.mark.parametrize(
    ("asked", "date", "slept"),
    [
        ("7", "", 7),
        ("Sun, 06 Nov 2022 08:49:50 GMT", "Sun, 06 Nov 2022 08:49:37 GMT", 13),
        ("Sun, 06 Nov 2022 08:49:37 GMT", "Sun, 06 Nov 2022 08:49:50 GMT", 0),
        ("soon", "", 0),
    ],
)
def test_a_server_that_says_when_is_asked_then(tmp_path, monkeypatch, asked, date, slept):
    from portico.client import downloading

    pauses: list[float] = []
    monkeypatch.setattr(downloading, "sleep", pauses.append)
    more = {"Retry-After": asked, "Date": date}
    with FileServer(CONTENT, status=[503], more=more) as server, downloader() as by:
        by.fetch(server.url, tmp_path / "out", sha256=SUM)
    assert [round(pause) for pause in pauses] == [slept]


def test_a_server_that_asks_for_hours_is_believed(tmp_path):
    later = FileServer(CONTENT, status=[503], more={"Retry-After": "7200"})
    with later as server, downloader() as by, pytest.raises(HTTPError, match="503"):
        by.fetch(server.url, tmp_path / "out")
    assert len(server.asked) == 1


def test_what_cannot_go_better_is_not_tried_again(tmp_path):
    with downloader() as by:
        for url, kind in (("http://none.invalid/", PorticoError), ("gopher://h/", PorticoError)):
            with pytest.raises(kind):
                by.fetch(url, tmp_path / "out")
    redirecting = FileServer(b"", status=[302], more={"Location": "file:///etc/passwd"})
    with redirecting as server, downloader() as by, pytest.raises(RedirectError):
        by.fetch(server.url, tmp_path / "out")
    with downloader(attempts=2) as by, pytest.raises(ConnectError):
        by.fetch("http://127.0.0.1:1/", tmp_path / "out")


KILLED = """
import sys
from portico.client.download import Downloader
with Downloader(rate=float(sys.argv[3]), segments=int(sys.argv[4])) as by:
    print("go", flush=True)
    by.fetch(sys.argv[1], sys.argv[2])
"""


@pytest.mark.parametrize("segments", [1, 3])
def test_killed_at_any_moment_it_leaves_the_file_or_a_part_that_resumes(tmp_path, segments):
    resumed = 0
    with FileServer(CONTENT) as server:
        for number in range(6):
            target = tmp_path / f"{segments}-{number}"
            arguments = [server.url, str(target), "4e6", str(segments)]
            process = subprocess.Popen([sys.executable, "-c", KILLED, *arguments], stdout=subprocess.PIPE)
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(0.02 + number * 0.15)
            process.send_signal(signal.SIGKILL)
            process.wait()
            process.stdout.close()
            if not target.exists():
                with downloader() as by:
                    done = by.fetch(server.url, target, sha256=SUM)
                resumed += done.came < len(CONTENT)
            assert target.read_bytes() == CONTENT
        assert resumed >= 1


# -- names


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ('attachment; filename="report.pdf"', "report.pdf"),
        ("attachment; filename=report.pdf", "report.pdf"),
        ('attachment; filename="with \\"quotes\\".txt"', "with _quotes_.txt"),
        ("attachment; filename*=UTF-8''%e2%82%ac%20rates.txt", "€ rates.txt"),
        ("attachment; filename=\"fallback.txt\"; filename*=UTF-8''gr%C3%BCn.txt", "grün.txt"),
        ("attachment; filename=\"fallback.txt\"; filename*=klingon''x", "fallback.txt"),
        ("attachment; filename=\"fallback.txt\"; filename*=UTF-8''%ff", "fallback.txt"),
        ('attachment; filename="../../etc/passwd"', "passwd"),
        ('attachment; filename="..\\\\..\\\\boot.ini"', "boot.ini"),
        ('attachment; filename="/etc/cron.d/evil"', "evil"),
        ('attachment; filename="%2e%2e%2fevil"', "evil"),
        ("attachment; filename*=UTF-8''..%2F..%2Fevil", "evil"),
        ('attachment; filename=".bashrc"', "bashrc"),
        ('attachment; filename=".."', "download"),
        ('attachment; filename="con.txt"', "_con.txt"),
        ('attachment; filename="-rf"', "_rf"),
        ('attachment; filename="../--checkpoint-action=x"', "_-checkpoint-action=x"),
        ('attachment; filename="image.iso.part"', "image.iso.part_"),
        ('attachment; filename="image.iso.PART.json"', "image.iso.PART.json_"),
        ('attachment; filename="image.iso.part.json~"', "image.iso.part.json~_"),
        ('attachment; filename="a\x1b[31m.txt"', "a_[31m.txt"),
        ('attachment; filename="\u202etxt.exe"', "_txt.exe"),
        ('attachment; filename="a"; filename="b"', "last"),
        ('attachment; filename=""', "last"),
        ("inline", "last"),
        ("", "last"),
    ],
)
def test_a_name_is_made_safe(disposition, name):
    raw = disposition.encode("utf-8").decode("latin-1")
    assert name_for(URL.parse("http://h/path/last?q"), raw) == name


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("http://h/", "index.html"),
        ("http://h/a/", "a"),
        ("http://h/gr%C3%BCn.txt", "grün.txt"),
        ("http://h/a%2F..%2Fb", "b"),
        ("http://h/..%5Cx", "x"),
        ("http://h/%00", "_"),
        ("http://h/-rf", "_rf"),
        ("http://h/a.part", "a.part_"),
    ],
)
def test_a_name_comes_from_the_url(url, name):
    assert name_for(URL.parse(url)) == name


def test_a_name_is_not_too_long():
    assert len(name_for(URL.parse("http://h/" + "ü" * 5000)).encode()) <= 200
    assert name_for(URL.parse("http://h/"), f'attachment; filename="{"x" * 5000}.tar"').endswith(".tar")
    assert proposed_name("x" * 100_000) is None


def test_a_note_says_what_has_been_written(tmp_path):
    with FileServer(CONTENT, cut=[1_000_000]) as server, downloader(attempts=1) as by:
        with pytest.raises(EndOfStream):
            by.fetch(server.url, tmp_path / "out")
        note = json.loads((tmp_path / "out.part.json").read_text())
    assert note["version"] == {
        "url": server.url,
        "etag": '"v1"',
        "modified": "Sat, 01 Jan 2022 00:00:00 GMT",
        "size": 3_000_000,
    }
    assert os.path.getsize(tmp_path / "out.part") == 1_000_000
