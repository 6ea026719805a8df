"""The supervisor as a fresh interpreter, where the calling process has threads and must not be forked.

It gets the listening sockets by inheritance, and what to serve as a pickle on its standard input, from the
process that started it and from nobody else. What can be found by name, as ``module:qualname``, goes as
that name: the handler is imported there. Logs come back over a socket, and go where they would have gone.
"""

from __future__ import annotations

import io
import json
import logging
import os
import pickle
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from types import FunctionType
from typing import Any

from portico.engines.contract import Listening
from portico.engines.workers.channel import Channel
from portico.engines.workers.children import leave
from portico.errors import ConfigError

__all__ = ["Logs", "main", "pack", "start"]

_LINE = 60_000  # characters of one log record; a datagram has to fit into the socket's buffer
_START = (
    "import sys, json; sys.path[:] = json.loads(sys.stdin.buffer.readline()); "
    "from portico.engines.workers.fresh import main; main()"
)


def start(
    work: Callable[[Channel], None], *descriptors: int, channel: Channel, logs: Logs
) -> subprocess.Popen[bytes]:
    """Run ``work(channel)`` in a fresh interpreter, which keeps ``descriptors`` under their numbers.

    Raises ``ConfigError`` where ``work`` cannot be described. What is ``pack``ed in it stays so there.
    """
    if not sys.executable:
        raise ConfigError(
            f"{_BECAUSE}, and there is no interpreter to start; start the server before any thread"
        )
    description, used = _describe(work)
    ours = (channel.fileno(), logs.theirs.fileno())
    levels = {name: level for name, level in _levels().items() if level}
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", _START],
        stdin=subprocess.PIPE,
        pass_fds=(*descriptors, *used, *ours),
    )
    assert process.stdin is not None
    try:
        with process.stdin as pipe:
            for line in (sys.path, [*ours, levels]):
                pipe.write(json.dumps(line).encode() + b"\n")
            pipe.write(description)
    except BrokenPipeError:
        pass  # it did not come so far; its end is noticed like any other
    return process


def main() -> None:
    """The fresh interpreter's program."""
    channel_number, log_number, levels = json.loads(sys.stdin.buffer.readline())
    _forward_logs(log_number, levels)
    channel = Channel.inherited(channel_number)
    try:
        work = pickle.loads(sys.stdin.buffer.read())
    except Exception as error:  # noqa: BLE001  (the handler's module may raise anything)
        channel.send(failed=f"{type(error).__name__}: {error}")
        leave(1)
    _use_no_input()
    try:
        work(channel)
    finally:
        leave()


def _use_no_input() -> None:
    nowhere = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nowhere, 0)
    os.close(nowhere)


# -- the description

_BECAUSE = (
    "this process has threads already, so that the engine has to start its processes from a fresh interpreter"
)
_ADVICE = (
    "use names that can be imported (a handler defined at the top level of a module), or start the server "
    "before any thread"
)


class _Pickler(pickle.Pickler):
    """Knows what another process can be given: sockets by number, locks as new ones, code by name."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file, protocol=5)
        self.used: list[int] = []

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, socket.socket):
            self.used.append(value.fileno())
            return _socket, (value.fileno(), value.gettimeout())
        if isinstance(value, _LOCK):
            return threading.Lock, ()
        if Listening in type(value).__mro__:  # compiled, abstract classes take each other's for their own
            return _listening, (type(value), _attributes(value))
        if isinstance(value, (type, FunctionType)) and value.__module__ == "__main__":
            raise pickle.PicklingError(
                f"{value.__qualname__} is defined in the program itself, not in a module"
            )
        return NotImplemented


_LOCK = type(threading.Lock())


def _socket(number: int, seconds: float | None) -> socket.socket:
    sock = socket.socket(fileno=number)
    sock.settimeout(seconds)
    os.set_inheritable(number, False)
    return sock


def _attributes(value: object) -> dict[str, Any]:
    """Of all its classes: one that is compiled tells pickle about its own only."""
    own = value.__getstate__()  # a dict, or behind nothing one of what is in slots
    found: dict[str, Any] = dict(own if isinstance(own, dict) else own[1])  # type: ignore[index]
    slots = (name for kind in type(value).__mro__ for name in kind.__dict__.get("__slots__", ()))
    return {**found, **{name: getattr(value, name) for name in slots if hasattr(value, name)}}


def _listening(kind: type[Listening], attributes: dict[str, Any]) -> Listening:
    made = kind.__new__(kind)
    for name, value in attributes.items():
        setattr(made, name, value)
    return made


def pack(value: object) -> bytes:
    """A description of ``value`` for ``pickle.loads`` in a process that is still to come.

    Raises ``ConfigError``.
    """
    description, used = _describe(value)
    if used:
        raise ConfigError(
            f"{_BECAUSE}, and the handler holds an open socket, which cannot go along: {_ADVICE}"
        )
    return description


def _describe(work: object) -> tuple[bytes, list[int]]:
    file = io.BytesIO()
    pickler = _Pickler(file)
    try:
        pickler.dump(work)
    except Exception as error:  # any object may say no in its own way
        raise ConfigError(
            f"{_BECAUSE}, and that cannot be given all it needs ({error}): {_ADVICE}"
        ) from error
    return file.getvalue(), pickler.used


# -- logs


class Logs:
    """Where the log records of the other processes arrive."""

    def __init__(self) -> None:
        self.ours, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.ours.setblocking(False)

    def replay(self) -> None:
        """Give what has come to the loggers of this process."""
        while True:
            try:
                data = self.ours.recv(1 << 18)
            except BlockingIOError:
                return
            record = logging.makeLogRecord(json.loads(data))
            logger = logging.getLogger(record.name)
            if logger.isEnabledFor(record.levelno):
                logger.handle(record)

    def close(self) -> None:
        self.ours.close()
        self.theirs.close()


class _Forward(logging.Handler):
    """Sends records to the process that started us; to stderr, when that is gone."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self._sock = socket.socket(fileno=number)
        self._plain = logging.Formatter()

    def emit(self, record: logging.LogRecord) -> None:
        text = self._plain.format(record)  # with its traceback
        facts = {
            "name": record.name, "levelno": record.levelno, "levelname": record.levelname,
            "created": record.created, "msecs": record.msecs, "process": record.process,
            "processName": record.processName, "threadName": record.threadName,
        }  # fmt: skip
        try:
            self._sock.send(json.dumps({**facts, "msg": text[:_LINE], "args": ()}).encode())
        except OSError:
            sys.stderr.write(f"{record.name}: {text}\n")


def _forward_logs(number: int, levels: dict[str, int]) -> None:
    os.set_inheritable(number, False)
    logging.getLogger().addHandler(_Forward(number))
    for name, level in levels.items():
        logging.getLogger(name or None).setLevel(level)


def _levels() -> dict[str, int]:
    """The levels set here, lest what nobody reads be sent."""
    known = {
        name: logger.level
        for name, logger in logging.root.manager.loggerDict.items()
        if isinstance(logger, logging.Logger)
    }
    return {"": logging.root.level, **known}
