"""What the tests of process engines serve: found by name in a fresh interpreter, as a user's module is."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import runpy
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from portico import Address, Datagram, Handler, Stream, TaskGroup, connect, timeout, wait_any
from portico.errors import LocalProtocolError
from portico.http.exchange import Exchange
from portico.sync import Event, sleep, spawn
from tests.engines.serving import Gateway

log = logging.getLogger("portico.test")


def echo(stream: Stream) -> None:
    for line in stream:
        stream.write(line)


def tell_pid(stream: Stream) -> None:
    stream.write(b"%d\n" % os.getpid())


def wait_for_line(stream: Stream) -> None:
    """Say who we are, then wait; what is waited for may never come."""
    stream.write(b"%d\n" % os.getpid())
    stream.write(stream.read_line())


def deaf(stream: Stream) -> None:
    """Code that no cancellation reaches, and that holds SIGTERM back."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    stream.write(b"%d\n" % os.getpid())
    time.sleep(300)


def facts(stream: Stream) -> None:
    """What this process is made of, as JSON."""
    descriptors = {}
    for entry in os.listdir("/proc/self/fd"):
        try:
            descriptors[entry] = os.readlink(f"/proc/self/fd/{entry}")
        except FileNotFoundError:
            continue
    interrupted = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    told = {"descriptors": descriptors, "random": random.random(), "ignores_interrupts": interrupted}
    stream.write(json.dumps(told).encode() + b"\n")


def speak(stream: Stream) -> None:
    log.warning("said by a handler, 100% sure")
    stream.write(b"%d\n" % os.getpid())


def grow(stream: Stream) -> None:
    kept.append(b"x" * 30_000_000)
    stream.write(b"%d\n" % os.getpid())


kept: list[bytes] = []


async def coroutine(stream: Any) -> None:
    await stream.write(await stream.read_line() + b"\n")


class Stopper(Handler):
    def handle(self) -> None:
        self.stream.write(b"stopping\n")
        self.server.stop(5.0)


def only_familiar(peer: Address) -> bool:
    return peer.host == "127.0.0.1"


def upper(datagram: Datagram) -> None:
    datagram.reply(datagram.data.upper())


async def awaited_upper(datagram: Any) -> None:
    await datagram.reply(datagram.data.upper())


def _answer(exchange: Exchange) -> bytes:
    if exchange.path == "/sleep":
        time.sleep(float(exchange.query))
    return b"%d" % os.getpid()


web = Gateway(_answer)


def not_here(stream: Stream) -> None:
    raise ValueError("on purpose")


def from_file(path: str) -> Callable[[Stream], Any]:
    """The function ``handler`` of a file, as it is now."""
    found: Callable[[Stream], Any] = runpy.run_path(path)["handler"]
    return found


def once_only(path: str) -> Callable[[Stream], Any]:
    """The second time that it is loaded, the process dies."""
    try:
        Path(path).open("x").close()
    except FileExistsError:
        os.kill(os.getpid(), signal.SIGKILL)
    return tell_pid


BLOCKING: dict[str, Callable[[Stream], object]] = {
    "read": lambda stream: stream.read(1),
    "read within a time": lambda stream: _within_a_second(lambda: stream.read(1)),
    "sleep": lambda stream: sleep(0.001),
    "sleep for nothing": lambda stream: sleep(0),
    "wait for an event": lambda stream: Event().wait(),
    "wait for one of two": lambda stream: wait_any([stream]),
    "wait for a task": lambda stream: spawn(sleep, 0.2).join(),
    "wait for tasks": lambda stream: _sleep_in_a_group(),
    "look up a name": lambda stream: connect("tcp://localhost.invalid:1"),
}
"""What a coroutine must not do, by name."""


def block_a_loop(stream: Stream) -> None:
    """For each line, do what it names within ``asyncio.run``; say what came of it."""
    for line in iter(stream.read_line, b"over"):

        async def blocks(what: str = line.decode()) -> None:
            BLOCKING[what](stream)

        try:
            asyncio.run(blocks())
        except LocalProtocolError as error:
            stream.write(f"{error}\n".encode())
        else:
            stream.write(b"it was not refused\n")
    sleep(0.001)
    stream.write(b"and still here\n")


def _within_a_second(act: Callable[[], object]) -> None:
    with timeout(1.0):
        act()


def _sleep_in_a_group() -> None:
    with TaskGroup() as group:
        group.start(sleep, 0.2)  # long enough to have to be waited for


def leave_tasks(stream: Stream) -> None:
    """Leave a task that makes a file in a while."""
    path = stream.read_line().decode()
    spawn(_make_late, path)
    stream.write(b"left\n")


def _make_late(path: str) -> None:
    sleep(0.3)
    Path(path).touch()
