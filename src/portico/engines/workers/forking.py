"""A process for each connection: the inside of the worker that ``forks`` has.

It has one thread, accepts, and forks a child that serves this one connection and ends. While as many
children run as may, nothing is accepted: who comes waits in the kernel's queue, and nothing is lost.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from time import monotonic

from portico.engines.contract import Connection, Listening
from portico.engines.household import LAST_WORDS
from portico.engines.workers.children import death_signal, fork
from portico.engines.workers.forked import UNANSWERED, Forked
from portico.engines.workers.loop import Loop
from portico.engines.workers.worker import Inner, Share
from portico.sockets.transport import Transport

__all__ = ["Forking"]

ACCEPT_PAUSE = 0.1
"""Without descriptors or processes, accepting rests for so long."""
_BATCH = 16
_PIPE = 65536


@dataclass(slots=True)
class _Child:
    connection: Connection
    peer: str
    asked_to_end: bool = False


class Forking(Inner):
    """At most ``size`` children at once."""

    _share: Share
    _loop: Loop

    def __init__(self, size: int) -> None:
        self._size = size
        self._children: dict[int, _Child] = {}
        self._accepting: dict[int, Listening] = {}
        self._bound = inf
        self._ending = False
        self._cutting = False
        self._cut: list[str] = []
        self._done: list[Callable[[list[str]], object]] = []
        self._bury_with = death_signal(signal.SIGTERM)
        self._reports, self._reporting = os.pipe()
        os.set_blocking(self._reports, False)
        self._rest = b""

    def start(self, share: Share, loop: Loop) -> None:
        self._share, self._loop = share, loop
        self._most = min(self._size, share.limits.connections)
        loop.on_signal(signal.SIGCHLD, self._reap)
        loop.watch(self._reports, self._reported)
        self._listen()

    # -- accepting

    def _listen(self) -> None:
        if self._accepting or self._ending:
            return
        for listener in self._share.listeners:
            self._accepting[listener.fileno()] = listener
            self._loop.watch(listener.fileno(), lambda listener=listener: self._accept(listener))  # type: ignore[misc]

    def _rest_from_accepting(self) -> None:
        for descriptor in self._accepting:
            self._loop.forget(descriptor)
        self._accepting.clear()

    def _pause(self) -> None:
        self._rest_from_accepting()
        self._loop.later(ACCEPT_PAUSE, self._listen)

    def _accept(self, listener: Listening, batch: int = _BATCH) -> bool:
        """Take who waits. Whether there may be more."""
        for _ in range(batch):
            if len(self._children) >= self._most:
                self._rest_from_accepting()
                return False
            try:
                transport = listener.accept()
            except OSError as error:
                self._share.accept_failed(listener, error)
                self._pause()
                return False
            if transport is None:
                return False
            self._serve(transport, listener)
        return True

    def _serve(self, transport: Transport, listener: Listening) -> None:
        connection = self._share.connected(transport)
        if connection is None:
            return
        try:
            child = Forked(self._share, connection, self._reporting)
            pid = fork(lambda: self._converse(child), child.terminated)
        except OSError as error:  # no more processes: this one waited for nothing
            self._share.accept_failed(listener, error)
            transport.abort()
            self._share.disconnected(connection)
            self._pause()
            return
        transport.close()  # only our copy: the child goes on with its own
        connection.cut()  # which finds nothing any more that it could reset
        self._children[pid] = _Child(connection, f"the connection from {transport.peer}")

    # -- the end

    def stop(self, grace: float, quiet: float, done: Callable[[list[str]], object]) -> None:
        self._done.append(done)
        if not self._ending:
            self._accept_last()
            self._ending = True
            self._tell()
        until = monotonic() + grace
        if until < self._bound:
            self._bound = until
            self._loop.at(until, self._cut_rest)
        self._finish()

    def _accept_last(self) -> None:
        """Who came before the end is still served, as many as there may be children."""
        for listener in self._share.listeners:
            if not listener.closed:
                while self._accept(listener):
                    pass
        self._rest_from_accepting()
        for listener in self._share.listeners:
            listener.close()
        self._share.stopped_accepting()

    def _tell(self) -> None:
        for pid, child in self._children.items():
            if not child.asked_to_end:
                child.asked_to_end = True
                os.kill(pid, signal.SIGTERM)

    def _cut_rest(self) -> None:
        if not self._cutting and self._children:
            self._cutting = self._share.row.cutting = True
            for pid in self._children:
                os.kill(pid, signal.SIGTERM)
            self._loop.later(LAST_WORDS, self._kill)

    def _kill(self) -> None:
        for pid in self._children:
            os.kill(pid, signal.SIGKILL)

    def _reap(self) -> None:
        for pid in list(self._children):
            try:
                ended, status = os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:  # the handler's module ignores SIGCHLD, or waited for it
                ended, status = pid, 0
            if ended:
                self._reported()
                question = self._children[pid].connection.question
                if question is not None and os.WTERMSIG(status) == UNANSWERED:
                    question.give_up("it did not answer in time")
                self._bury(pid)
        self._listen()
        self._finish()

    def _bury(self, pid: int) -> None:
        child = self._children.pop(pid)
        if self._cutting and not any(what.startswith(f"{pid} ") for what in self._cut):
            self._cut.append(f"{pid} {child.peer}")
        self._share.disconnected(child.connection)

    def _finish(self) -> None:
        if self._ending and not self._children:
            cut = [what.partition(" ")[2] for what in self._cut]
            done, self._done = self._done, []
            for each in done:
                each(cut)

    def _reported(self) -> None:
        """What children said: how many requests they answered and refused, and what was cut."""
        try:
            data = os.read(self._reports, _PIPE)
        except BlockingIOError:
            return
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            pid, answered, cut, refused, refusals = json.loads(line)
            self._share.answered(answered)
            for reason, many in refusals:
                self._share.row.add_refused(reason, many)
            if cut:
                self._cut.append(f"{pid} {cut}")
            if refused and (question := self._children[pid].connection.question) is not None:
                question.refuse(*refused)

    # -- in the child

    def _converse(self, child: Forked) -> None:
        os.close(self._reports)
        self._loop.close()
        for listener in self._share.listeners:
            listener.close()
        self._bury_with()
        child.serve()
