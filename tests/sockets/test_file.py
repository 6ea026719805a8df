"""A stream as a standard file."""

from __future__ import annotations

import csv
import gc
import io
import json
import pickle
import shutil
import socket
import struct
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from portico.deadline import timeout
from portico.engines import door
from portico.errors import ConfigError, ConnectionLost, StreamClosed, Timeout
from portico.sockets import memory
from portico.sockets.file import StreamFile, open_file
from portico.sockets.stream import Stream
from portico.testing import scripted

Pair = tuple[Stream, Stream]
FLOOD = bytes(1 << 25)
door.waiter()


@pytest.fixture(params=["socket", "memory"])
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    if request.param == "socket":
        near, far = (Stream.from_socket(end) for end in socket.socketpair())
    else:
        near, far = (Stream(end) for end in memory.pair())
    with near, far:
        yield near, far


def waiting(stream: Stream) -> None:
    with timeout(10):
        while not stream.transport.waiters:
            door.sleep(0.001)


# -- what standard code does with a file


def test_json_and_text_lines(pair: Pair) -> None:
    near, far = pair
    with near.as_file("w") as file:
        json.dump({"name": "Zoë"}, file, ensure_ascii=False)
        print(file=file)
        print("second", "line", file=file)
    near.shutdown_write()
    with far.as_file("r") as file:
        assert json.loads(file.readline()) == {"name": "Zoë"}
        assert list(file) == ["second line\n"]


def test_json_load_reads_to_the_end(pair: Pair) -> None:
    near, far = pair
    near.write(b'{"a": [1, 2]}')
    near.shutdown_write()
    assert json.load(far.as_file("rb")) == {"a": [1, 2]}


def test_csv_both_ways(pair: Pair) -> None:
    near, far = pair
    rows = [["a", "b\nc"], ["ü", '"quoted"']]
    with near.as_file("w", newline="") as file:
        csv.writer(file).writerows(rows)
    near.shutdown_write()
    with far.as_file("r", newline="") as file:
        assert list(csv.reader(file)) == rows


def test_pickle_and_struct(pair: Pair) -> None:
    near, far = pair
    with near.as_file("wb") as file:
        pickle.dump({"x": list(range(1000))}, file)
        pickle.dump("second", file)
        file.write(struct.pack("!IH", 7, 8))
    with far.as_file("rb") as file:
        assert pickle.load(file) == {"x": list(range(1000))}
        assert pickle.load(file) == "second"
        assert struct.unpack("!IH", file.read(6)) == (7, 8)


def test_copyfileobj_both_ways(pair: Pair) -> None:
    near, far = pair
    data = bytes(range(256)) * 4000

    def send() -> None:
        with near.as_file("wb") as file:
            shutil.copyfileobj(io.BytesIO(data), file)
        near.shutdown_write()

    task = door.spawn(send)
    got = io.BytesIO()
    with far.as_file("rb") as file:
        shutil.copyfileobj(file, got)
    task.join()
    assert got.getvalue() == data


@pytest.mark.parametrize("mode", ["r+b", "rwb", "rb+", "wb+", "brw"])
def test_both_directions_in_bytes(pair: Pair, mode: str) -> None:
    near, far = pair
    with near.as_file(mode) as file:
        assert isinstance(file, io.BufferedRWPair)
        assert file.readable()
        assert file.writable()
        assert not file.seekable()
        file.write(b"question\n")
        file.flush()
        assert far.read_line() == b"question"
        far.write(b"answer\nmore\n")
        assert file.readline() == b"answer\n"
        assert file.peek()[:2] == b"mo"
        assert file.read(4) == b"more"


@pytest.mark.parametrize("mode", ["rw", "r+", "w+t"])
def test_both_directions_in_text(pair: Pair, mode: str) -> None:
    near, far = pair
    with near.as_file(mode, encoding="latin-1", buffering=1) as file:
        file.write("é\n")
        assert far.read_line() == b"\xe9"
        far.write(b"\xe8\r\n")
        assert file.readline() == "è\n"


def test_text_options_are_those_of_open(pair: Pair) -> None:
    near, far = pair
    far.write(b"a\xff\r\n")
    with near.as_file("r", errors="replace", newline="") as file:
        assert isinstance(file, io.TextIOWrapper)
        assert file.encoding == "utf-8"
        assert file.readline() == "a\N{REPLACEMENT CHARACTER}\r\n"


def test_unbuffered_is_the_raw_file(pair: Pair) -> None:
    near, far = pair
    with near.as_file("r+b", buffering=0) as file:
        assert isinstance(file, StreamFile)
        assert file.write(b"abc") == 3
        assert far.read() == b"abc"
        far.write(b"xyz")
        assert file.read(2) == b"xy"
        far.shutdown_write()
        assert file.readall() == b"z"


def test_the_descriptor_is_the_streams() -> None:
    near, far = (Stream.from_socket(end) for end in socket.socketpair())
    with near, far:
        for mode in ("rb", "wb", "r+b", "r", "rw"):
            with near.as_file(mode) as file:
                assert file.fileno() == near.fileno()
                assert not file.isatty()
    stream, _ = scripted()
    with stream, stream.as_file("rb") as file, pytest.raises(io.UnsupportedOperation):
        file.fileno()


@pytest.mark.parametrize("mode", ["", "b", "x", "rr", "rbt", "a", "U", "+", "r b"])
def test_modes_that_make_no_sense(mode: str) -> None:
    stream, _ = scripted()
    with stream, pytest.raises(ConfigError, match="expected r, w, rw or r"):
        stream.as_file(mode)


def test_combinations_that_make_no_sense() -> None:
    stream, _ = scripted()
    with stream:
        for option in ("encoding", "errors", "newline"):
            with pytest.raises(ConfigError, match="a binary file takes no"):
                open_file(stream, "rb", **{option: "x"})  # type: ignore[arg-type]
        with pytest.raises(ConfigError, match="has to be buffered"):
            open_file(stream, "r", buffering=0)


def test_the_wrong_direction_is_refused() -> None:
    stream, _ = scripted(b"x")
    with stream:
        with stream.as_file("rb") as file, pytest.raises(io.UnsupportedOperation):
            file.write(b"x")
        with stream.as_file("wb") as file, pytest.raises(io.UnsupportedOperation):
            file.read(1)
        with stream.as_file("rb", buffering=0) as raw, pytest.raises(io.UnsupportedOperation):
            raw.write(b"x")


# -- errors


def test_errors_of_the_stream_come_through(pair: Pair) -> None:
    near, far = pair
    with near.as_file("rb") as file:
        with timeout(0.05), pytest.raises(Timeout, match="reading"):
            file.read(1)
        far.abort()
        near.close()
        with pytest.raises(StreamClosed):
            file.read(1)


def test_a_lost_connection_comes_through() -> None:
    stream, _ = scripted(b"abc", ConnectionLost("gone"))
    with stream, stream.as_file("r") as file, pytest.raises(ConnectionLost, match="gone"):
        file.read()


# -- the end


MODES = ["rb", "wb", "r+b", "r", "w", "rw"]


@pytest.mark.parametrize("mode", MODES)
def test_closing_twice_is_fine_and_leaves_the_stream_open(pair: Pair, mode: str) -> None:
    near, far = pair
    file = near.as_file(mode)
    file.close()
    file.close()
    assert file.closed
    near.write(b"still open")
    assert far.read_exactly(10) == b"still open"
    with pytest.raises(ValueError, match="closed file"):
        file.read(1) if "r" in mode else file.write(b"x" if "b" in mode else "x")


@pytest.mark.parametrize("mode", MODES)
def test_closing_may_close_the_stream(pair: Pair, mode: str) -> None:
    near, _ = pair
    with near.as_file(mode, close_stream=True):
        assert not near.closed
    assert near.closed


@pytest.mark.parametrize("mode", ["wb", "r+b", "w", "rw"])
def test_closing_flushes(pair: Pair, mode: str) -> None:
    near, far = pair
    file = near.as_file(mode)
    file.write(b"kept" if "b" in mode else "kept")
    assert far.try_read() is None
    file.close()
    assert far.read_exactly(4) == b"kept"


@pytest.mark.parametrize("mode", ["rb", "r+b"])
def test_what_a_binary_file_read_ahead_goes_back(pair: Pair, mode: str) -> None:
    near, far = pair
    far.write(b"first\nsecond\nthird\n")
    with near.as_file(mode) as file:
        assert file.readline() == b"first\n"
    assert near.read_line() == b"second"
    with near.as_file(mode) as file:
        assert file.readline() == b"third\n"


@pytest.mark.parametrize("mode", ["rb", "r+b", "r", "rw"])
def test_close_does_not_wait_for_a_reader_in_another_thread(pair: Pair, mode: str) -> None:
    near, _ = pair
    file = near.as_file(mode)
    task = door.spawn(file.readline)
    waiting(near)
    with timeout(5):
        file.close()
    with timeout(5), pytest.raises(StreamClosed, match=r"the file .* was closed"):
        task.join()
    assert not near.closed
    assert near.try_read() is None


@pytest.mark.parametrize("mode", ["wb", "r+b", "w", "rw"])
def test_close_is_bounded_when_the_peer_does_not_read(pair: Pair, mode: str) -> None:
    near, _ = pair
    file = near.as_file(mode, buffering=1 << 26, flush_seconds=0.05, close_stream=True)
    file.write(FLOOD if "b" in mode else FLOOD.decode())
    with pytest.raises(Timeout, match="writing"):
        file.close()
    assert file.closed
    assert near.closed
    file.close()


def test_close_leaves_the_stream_open_after_a_flush_that_failed(pair: Pair) -> None:
    near, far = pair
    file = near.as_file("r+b", buffering=1 << 26, flush_seconds=0.05)
    file.write(FLOOD)
    with pytest.raises(Timeout):
        file.close()
    assert not near.closed
    far.write(b"x")
    assert near.read() == b"x"


@pytest.mark.parametrize("mode", ["wb", "r+b", "w", "rw"])
def test_close_is_bounded_when_a_writer_is_stuck_in_another_thread(pair: Pair, mode: str) -> None:
    near, _ = pair
    file = near.as_file(mode, flush_seconds=0.05)
    data: Any = FLOOD if "b" in mode else FLOOD.decode()
    task = door.spawn(file.write, data)
    waiting(near)
    with timeout(5), pytest.raises((Timeout, ConnectionLost)):
        _close_and_join(file, task)
    assert file.closed


def _close_and_join(file: Any, task: door.Task[Any]) -> None:
    """Which of the two is told of the cut depends on who holds the bytes."""
    try:
        file.close()
    finally:
        task.join()


def test_an_outer_deadline_bounds_the_close_too(pair: Pair) -> None:
    near, _ = pair
    file = near.as_file("wb", buffering=1 << 26)
    file.write(FLOOD)
    with timeout(0.05), pytest.raises(Timeout):
        file.close()
    assert file.closed


def test_close_after_the_stream_was_closed(pair: Pair) -> None:
    near, _ = pair
    reader, writer = near.as_file("rb"), near.as_file("wb")
    writer.write(b"never sent")
    near.close()
    reader.close()
    with pytest.raises(StreamClosed):
        writer.close()
    assert writer.closed


@pytest.mark.usefixtures("no_leaks")
@pytest.mark.parametrize("close_stream", [False, True])
@pytest.mark.parametrize("mode", MODES)
def test_a_forgotten_file_leaks_nothing_and_warns_of_nothing(mode: str, close_stream: bool) -> None:
    near, far = (Stream.from_socket(end) for end in socket.socketpair())
    with near, far, warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        file = near.as_file(mode, close_stream=close_stream)
        if "w" in mode or "+" in mode:
            file.write(b"x" if "b" in mode else "x")
        del file
        gc.collect()
        assert near.closed is close_stream
        if "w" in mode or "+" in mode:
            assert far.read() == b"x"
    assert not told


def test_a_file_is_freed_without_the_collector() -> None:
    near, far = (Stream.from_socket(end) for end in socket.socketpair())
    gc.collect()
    gc.disable()
    try:
        with near, far:
            for mode in MODES:
                file = near.as_file(mode, close_stream=mode == "rw")
                del file
            assert near.closed
    finally:
        gc.enable()
