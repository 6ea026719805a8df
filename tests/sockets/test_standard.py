"""Inherited descriptors as streams: nothing of what is shared with others changes."""

from __future__ import annotations

import fcntl
import os
import pty
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from portico.deadline import timeout
from portico.errors import ConnectionLost, PorticoError, StreamClosed, Timeout
from portico.sockets import standard
from portico.sockets.standard import input_stream, output_stream
from portico.sync import spawn

pytestmark = pytest.mark.usefixtures("no_leaks")
SECONDS = 20.0


@contextmanager
def given(*numbers: int) -> Iterator[None]:
    """Descriptors that the test itself was given, as a program is by its shell."""
    try:
        yield
    finally:
        for number in numbers:
            os.close(number)


@pytest.fixture(params=["opened anew", "as it is"])
def pipe(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[int, int]]:
    """A pipe, on a system that lets it be opened anew and on one that does not."""
    if request.param == "as it is":
        monkeypatch.setattr(standard, "_OPEN_FILES", "/nonesuch")
    reading, writing = os.pipe()
    with given(reading, writing):
        yield reading, writing


def test_bytes_go_through_a_pipe_and_the_end_is_seen(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    data = os.urandom(1 << 20)
    with input_stream(reading) as source, output_stream(writing) as sink, timeout(SECONDS):

        def write() -> None:
            with sink:
                sink.write(data)

        task = spawn(write)
        assert source.read_all() == data
        task.join()


def test_a_full_pipe_blocks_nobody_but_its_writer(pipe: tuple[int, int]) -> None:
    with output_stream(pipe[1]) as sink:
        while sink.try_write(bytes(1 << 16)):
            pass
        with pytest.raises(Timeout), timeout(0.05):
            sink.write(b"more")


def test_an_empty_pipe_is_only_tried(pipe: tuple[int, int]) -> None:
    with input_stream(pipe[0]) as source:
        assert source.try_read() is None
        with pytest.raises(Timeout), timeout(0.05):
            source.read()
        os.write(pipe[1], b"x")
        assert source.try_read() == b"x"


def test_the_flags_of_the_open_file_stay(pipe: tuple[int, int]) -> None:
    with input_stream(pipe[0]), output_stream(pipe[1]) as sink:
        sink.write(b"x")
        for number in pipe:
            assert not fcntl.fcntl(number, fcntl.F_GETFL) & os.O_NONBLOCK


def test_a_reader_that_has_gone_is_told() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with given(writing), output_stream(writing) as sink, pytest.raises(ConnectionLost, match="by its reader"):
        sink.write(b"x")


def test_a_full_disk_is_told() -> None:
    number = os.open("/dev/full", os.O_WRONLY)
    told = "cannot write to stdout: No space left"
    with given(number), output_stream(number) as sink, pytest.raises(PorticoError, match=told):
        sink.write(b"x")


def test_what_cannot_be_read_is_told(tmp_path: object) -> None:
    number = os.open(str(tmp_path), os.O_RDONLY)
    told = "cannot read stdin: Is a directory"
    with given(number), input_stream(number) as source, pytest.raises(PorticoError, match=told):
        source.read()


def test_a_file_is_read_and_written() -> None:
    number = os.memfd_create("file")
    with given(number), output_stream(number) as sink:
        sink.write(bytes(1 << 20))
        os.lseek(sink.fileno(), 0, os.SEEK_SET)
        with input_stream(sink.fileno()) as source:
            assert len(source.read_all()) == 1 << 20


def test_a_terminal_is_read_by_line_and_its_hang_up_is_the_end() -> None:
    master, slave = pty.openpty()
    with given(slave), input_stream(slave) as source, output_stream(slave) as sink, timeout(SECONDS):
        os.write(master, b"line\n")
        assert source.read() == b"line\n"
        sink.write(b"shown")
        seen = b""
        while b"shown" not in seen:
            seen += os.read(master, 100)
        os.close(master)
        assert source.read() == b""


def test_a_socket_is_a_standard_stream_too() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, timeout(SECONDS):
        number = os.dup(theirs.fileno())
        with given(number), input_stream(number) as source, output_stream(number) as sink:
            sink.write(b"x" * 10000)
            ours.sendall(b"you")
            assert source.read() == b"you"
            assert len(ours.recv(10000, socket.MSG_WAITALL)) == 10000


def test_closing_puts_nothing_in_its_place() -> None:
    """So a reader at the other end sees the end, though the number stays in use."""
    reading, writing = os.pipe()
    with given(reading, writing):
        with output_stream(writing) as sink:
            sink.write(b"x")
        assert os.read(reading, 10) == b"x"
        assert os.read(reading, 10) == b""
        os.write(writing, b"into nothing")
        sink.close()
        with input_stream(reading):
            pass
        assert os.read(reading, 10) == b""


def test_whoever_waits_is_called_out_by_close(pipe: tuple[int, int]) -> None:
    with input_stream(pipe[0]) as source:
        task = spawn(source.read)
        threading.Timer(0.05, source.close).start()
        with timeout(SECONDS), pytest.raises(StreamClosed):
            task.join()
