"""The supervisor as the server's process has it: started, told, listened to, buried.

It is forked, or a fresh interpreter where this process has threads. One thread here listens to what it says.
"""

from __future__ import annotations

import os
import pickle
import select
import signal
import subprocess
import threading
from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass
from functools import partial
from typing import Any

from portico.engines.contract import Serving
from portico.engines.workers.channel import Channel, Message
from portico.engines.workers.children import ended_how, fork, has_one_thread
from portico.engines.workers.forking import Forking
from portico.engines.workers.fresh import Logs, pack, start
from portico.engines.workers.plan import Plan
from portico.engines.workers.scoreboard import Scoreboard, State, Totals
from portico.engines.workers.slots import Outline
from portico.engines.workers.supervisor import Supervisor
from portico.engines.workers.worker import Inner, WithThreads

__all__ = ["Here", "Link", "here"]


class Link:
    """``told(message)`` is called with all that the supervisor says, and ``ended(how)`` once, at its end."""

    def __init__(self, told: Callable[[Message], object], ended: Callable[[str], object]) -> None:
        self.pid = 0
        self._told = told
        self._ended = ended
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: Channel | None = None
        self._board: Scoreboard | None = None
        self._logs: Logs | None = None
        self._did = Totals()
        self._lock = threading.Lock()
        self._listening: threading.Thread | None = None

    # -- what the processes do

    @property
    def connections(self) -> int:
        """Open, in all of them."""
        with self._lock:
            return 0 if self._board is None else self._board.connections

    @property
    def totals(self) -> Totals:
        """What they have done so far, or did."""
        with self._lock:
            return self._did if self._board is None else self._board.totals

    @property
    def workers(self) -> list[tuple[int, int, State]]:
        """Slot, process id and state of each."""
        with self._lock:
            rows = [] if self._board is None else self._board.living()
            # Read once: a row may become free meanwhile.
            return [(row.slot, row.pid, row.state) for row in rows]

    # -- beginning and end

    def start(self, serving: Serving, plan: Plan) -> None:
        """Raises ``OSError``, ``ConfigError``."""
        named = not has_one_thread()
        ours, theirs = Channel.pair()
        self._channel, self._board = ours, Scoreboard(named=named)
        begin = self._start_afresh if named else self._fork
        try:
            begin(serving, plan, self._board, theirs)
        except BaseException:
            self._release()
            raise
        finally:
            theirs.close()
        self._board.close_descriptor()
        if self._logs is not None:
            self._logs.theirs.close()
        # In a context of its own: a deadline of whoever starts the server is none of the supervisor's.
        listen = partial(threading.Thread, target=self._listen, name="portico supervisor", daemon=True)
        self._listening = Context().run(listen)
        self._listening.start()

    def _fork(self, serving: Serving, plan: Plan, board: Scoreboard, theirs: Channel) -> None:
        outline = Outline(serving.slots, serving.limits, serving.grace, lambda: serving)

        def become() -> None:
            assert self._channel is not None
            self._channel.close()
            _supervise(outline, plan, board, theirs)

        self.pid = fork(become)

    def _start_afresh(self, serving: Serving, plan: Plan, board: Scoreboard, theirs: Channel) -> None:
        found = partial(pickle.loads, pack(serving))
        outline = Outline(serving.slots, serving.limits, serving.grace, found)
        work = partial(_supervise_afresh, outline, plan, board.descriptor)
        self._logs = Logs()
        self._process = start(work, board.descriptor, channel=theirs, logs=self._logs)
        self.pid = self._process.pid

    def order(self, **message: Any) -> bool:
        """``False``: there is nobody any more."""
        with self._lock:
            return self._channel is not None and self._channel.send(**message)

    def kill(self) -> None:
        """Its workers end as soon as they miss it."""
        os.kill(self.pid, signal.SIGKILL)

    def join(self, seconds: float) -> None:
        """Wait for the thread that listens, unless that is the caller."""
        listening = self._listening
        if listening is not None and listening is not threading.current_thread():
            listening.join(seconds)

    # -- listening

    def _listen(self) -> None:
        assert self._channel is not None
        poll = select.poll()
        poll.register(self._channel.fileno(), select.POLLIN)
        if self._logs is not None:
            poll.register(self._logs.ours.fileno(), select.POLLIN)
        while not self._channel.ended:
            poll.poll()
            self._replay()  # first, what was said before
            for message in self._channel.receive():
                self._told(message)
        how = ended_how(self._reap())
        self._replay()
        with self._lock:
            if self._board is not None:
                self._did = self._board.totals
        self._release()
        self._ended(how)

    def _replay(self) -> None:
        if self._logs is not None:
            self._logs.replay()

    def _reap(self) -> int:
        if self._process is None:
            return os.waitpid(self.pid, 0)[1]
        code = self._process.wait()
        return -code if code < 0 else code << 8

    def _release(self) -> None:
        with self._lock:
            channel, board, logs = self._channel, self._board, self._logs
            self._channel = self._board = self._logs = None
        for each in (channel, board, logs):
            if each is not None:
                each.close()


@dataclass(frozen=True, slots=True)
class Here:
    """What a worker's copy of the engine works with. ``channel`` leads to the supervisor."""

    channel: Channel
    board: Scoreboard


_here: Here | None = None


def here() -> Here | None:
    """In a worker: that. A process is one, or is none."""
    return _here


def _supervise_afresh(outline: Outline, plan: Plan, descriptor: int, channel: Channel) -> None:
    """In a fresh interpreter."""
    board = Scoreboard(descriptor=descriptor)
    board.close_descriptor()
    _supervise(outline, plan, board, channel)


def _supervise(outline: Outline, plan: Plan, board: Scoreboard, channel: Channel) -> None:
    Supervisor(outline, plan, board, channel, partial(_make_inner, plan, board)).run()


def _make_inner(plan: Plan, board: Scoreboard, channel: Channel) -> Inner:
    """In a worker: what serves there."""
    from portico.engines import make_engine

    global _here  # noqa: PLW0603  (it is the process itself that becomes a worker)
    _here = Here(channel, board)
    return WithThreads(make_engine(plan.inner)) if plan.forks is None else Forking(plan.forks)
