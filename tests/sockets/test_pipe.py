"""Pipes and the end of a child as streams."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

from portico.deadline import timeout
from portico.engines import door
from portico.errors import ConfigError, ConnectionLost, LocalProtocolError, StreamClosed, Timeout
from portico.sockets.pipe import PipeTransport, exit_stream, pipe_stream
from portico.sockets.stream import Stream, wait_any

pytestmark = pytest.mark.usefixtures("no_leaks")

door.waiter()  # this thread's own, made at its first wait and kept: not a leak of the test that comes first


def pair() -> tuple[Stream, Stream]:
    reading, writing = os.pipe()
    return pipe_stream(reading, None, "the reading end"), pipe_stream(None, writing, "the writing end")


def test_bytes_go_through_in_order_and_the_end_follows_them():
    source, sink = pair()
    with source:
        with sink:
            sink.write(b"one\ntwo\n")
        assert source.read_all() == b"one\ntwo\n"
        assert source.read() == b""


def test_neither_direction_blocks_when_only_tried():
    source, sink = pair()
    with source, sink:
        assert source.try_read(10) is None
        taken = 0
        while got := sink.try_write(bytes(65536)):
            taken += got
        assert taken > 0
        assert len(source.read(65536)) > 0


def test_a_megabyte_passes_between_threads_while_the_writer_has_to_wait():
    source, sink = pair()
    data = os.urandom(1 << 20)

    def send() -> None:
        with sink:
            sink.write(data)

    thread = threading.Thread(target=send)
    thread.start()
    with source, timeout(20):
        assert source.read_all() == data
    thread.join()


def test_a_reader_that_left_is_a_lost_connection_with_the_name_of_the_pipe():
    source, sink = pair()
    source.close()
    with sink, pytest.raises(ConnectionLost, match="the writing end was closed by its reader"):
        sink.write(b"x")


def test_a_deadline_bounds_the_wait():
    source, sink = pair()
    with source, sink, timeout(0.05), pytest.raises(Timeout):
        source.read(1)


def test_closing_wakes_who_waits():
    source, sink = pair()
    errors: list[Exception] = []

    def read() -> None:
        try:
            source.read(1)
        except StreamClosed as error:
            errors.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    with sink:
        while not source.transport.waiters:
            pass
        source.close()
        thread.join()
    assert len(errors) == 1


def test_each_direction_refuses_the_other():
    source, sink = pair()
    with source, sink:
        with pytest.raises(LocalProtocolError, match="can only be read from"):
            source.write(b"x")
        with pytest.raises(LocalProtocolError, match="can only be written to"):
            sink.read(1)


def test_ending_the_writing_direction_closes_its_descriptor_once():
    source, sink = pair()
    with source, sink:
        sink.write(b"last")
        sink.shutdown_write()
        assert source.read_all() == b"last"


@pytest.mark.parametrize("ends", [(None, None), (0, 1)])
def test_both_ends_or_none_are_refused(ends):
    with pytest.raises(ConfigError, match="one way"):
        PipeTransport(*ends, "stdio")


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="the system cannot watch a process")
def test_the_end_of_a_process_ends_its_stream_and_does_not_reap_it():
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        ending = exit_stream(child.pid)
        assert ending.try_read(1) is None
        with timeout(0.05), pytest.raises(Timeout):
            wait_any([ending])
        child.send_signal(signal.SIGKILL)
        with timeout(20):
            assert wait_any([ending]) == ([ending], [])
        assert ending.read(1) == b""
        assert child.wait() == -signal.SIGKILL
        assert ending.read(1) == b""
        ending.close()
