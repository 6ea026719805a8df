"""A process for each connection: the inside of the worker that ``forks`` has.

It has one thread, accepts, and forks a child that serves this one connection and ends. While as many
children run as may, nothing is accepted: who comes waits in the kernel's queue, and nothing is lost.
"""

from __future__ import annotations

import json
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from time import monotonic, sleep

from portico.engines import door
from portico.engines.contract import Connection, Listening
from portico.engines.drive import admitted, drive
from portico.engines.household import LAST_WORDS, Household
from portico.engines.workers.children import death_signal, fork
from portico.engines.workers.loop import Loop
from portico.engines.workers.worker import Inner, Share
from portico.errors import Cancelled
from portico.sockets.transport import Transport

__all__ = ["Forking"]

ACCEPT_PAUSE = 0.1
"""Without descriptors or processes, accepting rests for so long."""
_BATCH = 16
_UNANSWERED = signal.SIGALRM  # ends a child whose question has had its time
_MARGIN = 0.1  # seconds for a question that can end by itself to do so
_PIPE = 65536
_TOLD_TWICE = 3
"""SIGTERMs by which a child knows that somebody insists: a service manager's goes to all, and the parent's
comes on top of it."""


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
            child = _Conversing(self._share, connection, self._reporting)
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
                if question is not None and os.WTERMSIG(status) == _UNANSWERED:
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

    def _converse(self, child: _Conversing) -> None:
        os.close(self._reports)
        self._loop.close()
        for listener in self._share.listeners:
            listener.close()
        self._bury_with()
        child.serve()


class _Conversing:
    """One connection, in a process of its own."""

    def __init__(self, share: Share, connection: Connection, report: int) -> None:
        self._share = share
        self._connection = connection
        self._question = connection.question
        self._report = report
        self._parent = os.getpid()
        self._waiter: door.ThreadWaiter | None = None
        self._quiet_until: float | None = None
        self._terminations = 0
        self._alone = False
        self._answered = 0
        self._refusals: Counter[int] = Counter()

    def serve(self) -> None:
        self._waiter = door.THREADS.waiter()
        self._share.tell = self._count
        self._share.tell_refused = self._count_refused
        household = Household()
        household.enter()
        try:
            if self._admitted():
                drive(self._connection, lambda: self._quiet_until)
            household.wait()  # what the handler has left would end with this process
        except BaseException as error:  # noqa: BLE001  (what is wrong with one connection ends here)
            self._connection.cut()
            self._connection.advance()
            if not isinstance(error, Cancelled):
                self._share.failed(self._connection, error)
        self._say("")

    def _admitted(self) -> bool:
        """Whether the connection may begin. A child stuck in the code that says so can only be ended."""
        if self._question is None:
            return True
        self._question.silent = True
        signal.signal(_UNANSWERED, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, max(self._question.until - monotonic(), 0.0) + _MARGIN)
        try:
            return admitted(self._connection)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0.0)

    def _count(self, many: int) -> None:
        self._answered += many

    def _count_refused(self, reason: int, number: int) -> None:
        self._refusals[reason] += 1

    def terminated(self) -> None:
        """SIGTERM: to finish what is begun; to leave it, when our parent says so, or somebody insists."""
        self._terminations += 1
        if self._share.row.cutting or self._terminations >= _TOLD_TWICE:
            self._leave()
            return
        # Zero: told before our parent was.
        quiet_until = self._share.row.quiet_until
        self._quiet_until = quiet_until or monotonic() + self._share.limits.drain_quiet
        if not self._alone and os.getppid() != self._parent:  # nobody will come to say that it is enough
            self._alone = True
            threading.Thread(target=self._give_up, daemon=True).start()
        if self._waiter is not None:
            self._waiter.wake()

    def _leave(self) -> None:
        self._say(self._connection.describe())
        self._connection.cut()
        if self._waiter is not None:
            self._waiter.cancel()

    def _give_up(self) -> None:
        sleep(self._share.grace)
        os._exit(1)

    def _say(self, cut: str) -> None:
        answered, self._answered = self._answered, 0
        question = self._question
        refused = [why[:300] for why in (question and question.refused) or ()]
        refusals, self._refusals = list(self._refusals.items()), Counter()
        line = json.dumps([os.getpid(), answered, cut[:1000], refused, refusals]).encode() + b"\n"
        try:
            os.write(self._report, line)  # shorter than PIPE_BUF: no other's line gets into it
        except OSError:
            pass  # our parent is gone, and nobody counts any more
