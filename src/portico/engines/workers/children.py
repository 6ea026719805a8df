"""Processes of our own: a fork that is safe, and the end of a child.

A process is forked only while it has one thread: others would be gone in the child, and the locks that
they hold would be held for ever (Python 3.12 and newer warn of it).
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from contextvars import Context
from time import monotonic, sleep
from typing import Any, NoReturn

from portico.engines import door
from portico.engines.inherited import of_this_process
from portico.errors import ConfigError, PorticoError
from portico.sockets.names import send_idle_threads_home

__all__ = ["ask", "death_signal", "ended_how", "fork", "has_one_thread", "leave", "told"]

log = logging.getLogger("portico.workers")

_OURS = {signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, signal.SIGHUP, signal.SIGTTIN, signal.SIGTTOU}
_NOT_OURS_TO_HEED = _OURS - {signal.SIGTERM, signal.SIGCHLD}
"""The terminal sends them to all of us: the first process decides what they mean."""
_FAILED = 70  # EX_SOFTWARE of sysexits.h
_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
_LEAVING = 0.25  # seconds that threads of ours may take to leave


def has_one_thread() -> bool:
    """Whether this process may be forked. The system counts, for libraries have threads of their own."""
    until = monotonic() + _LEAVING
    try:
        while len(os.listdir("/proc/self/task")) > 1:
            send_idle_threads_home()
            if _others_have_threads() or monotonic() >= until:
                return False
            sleep(0.001)  # those of a server that has stopped take a moment to leave
    except OSError:
        return threading.active_count() == 1
    return True


def _others_have_threads() -> bool:
    us = threading.current_thread()
    return any(not thread.name.startswith("portico") for thread in threading.enumerate() if thread is not us)


def fork(body: Callable[[], object], terminated: Callable[[], object] | None = None) -> int:
    """Run ``body`` in a child, which ends with it; the child's process id. Raises ``OSError``.

    The child has none of our signal handlers, and none of our deadlines. ``terminated``: called there for
    each SIGTERM, from its first moment; without it SIGTERM ends the child.
    """
    _flush()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _OURS)  # none may reach our handlers in the child
    try:
        pid = os.fork()
        if pid == 0:
            _begin(body, terminated, before)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return pid


def _begin(
    body: Callable[[], object], terminated: Callable[[], object] | None, mask: set[int | signal.Signals]
) -> NoReturn:
    status = _FAILED
    try:
        signal.set_wakeup_fd(-1)
        for number in _OURS:
            signal.signal(number, signal.SIG_IGN if number in _NOT_OURS_TO_HEED else signal.SIG_DFL)
        if terminated is not None:
            signal.signal(signal.SIGTERM, of_this_process(lambda number, frame: terminated()))
        signal.pthread_sigmask(signal.SIG_SETMASK, mask - _OURS)
        door.enter(door.THREADS)  # a hub that it was forked in goes on in our parent, and with it all it runs
        Context().run(body)
        status = 0
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else _FAILED
    except BaseException:
        log.exception("a process of the server failed")
    finally:
        leave(status)


def leave(status: int = 0) -> NoReturn:
    """End this process, and nothing of the one it was forked from: no ``atexit``, no ``finally``."""
    try:
        _flush()
        logging.shutdown()
    finally:
        os._exit(status)


def death_signal(number: signal.Signals) -> Callable[[], object]:
    """What a child calls to get this signal when its parent dies, however it dies. Elsewhere than on Linux it
    does nothing."""
    if sys.platform != "linux":
        return _nothing
    import ctypes

    try:
        prctl = ctypes.CDLL(None).prctl
    except (OSError, AttributeError):
        return _nothing
    return lambda: prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)


def _nothing() -> None:
    pass


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            pass  # nobody reads it any more


def ask(question: Callable[[], Any]) -> Any:
    """The answer of a child that ends at once: what it imports stays with it. Any value that JSON knows.

    Where this process cannot be forked the question is asked here. Raises ``ConfigError`` with the words of
    whatever it raised.
    """
    if not has_one_thread():
        return question()
    reading, writing = os.pipe()
    us = os.getpid()
    try:
        pid = fork(lambda: _answer(question, writing, us))
    except BaseException:
        os.close(reading)
        raise
    finally:
        os.close(writing)
    try:
        with open(reading, "rb") as answers:
            answer = answers.read()
    except BaseException:  # Ctrl-C: nobody wants to know any more
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise
    status = os.waitpid(pid, 0)[1]
    if not answer:
        raise ConfigError(f"looking at what is to be served, a process {ended_how(status)}")
    wrong, value = json.loads(answer)
    if wrong is not None:
        raise ConfigError(wrong)
    return value


def _answer(question: Callable[[], Any], descriptor: int, parent: int) -> None:
    wrong = value = None
    death_signal(signal.SIGKILL)()  # what it imports may never come to an end
    if os.getppid() != parent:
        return
    try:
        value = question()
    except BaseException as error:  # noqa: BLE001  (told to whoever asked)
        wrong = told(error)
    with open(descriptor, "wb") as answer:
        answer.write(json.dumps([wrong, value]).encode())


def told(error: BaseException) -> str:
    """An error in one line, for another process to say."""
    if isinstance(error, PorticoError):
        return str(error)
    words = " ".join(str(error).split())
    return type(error).__name__ + (f": {words}" if words else "")


def ended_how(status: int) -> str:
    """A status of ``waitpid``, in words: ``was killed by SIGKILL``, ``exited with 3``."""
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"exited with {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"
