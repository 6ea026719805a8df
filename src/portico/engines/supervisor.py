"""The supervisor of ``workers`` and ``forks``: the process that holds the sockets and minds the workers.

It has one thread, and never runs the handler: what it holds, it holds for as long as the server lives. A
replacement accepts from the sockets of its slot before the one that it replaces stops doing so, and while
nobody stands in a slot, who connects waits in the kernel's queue: no connection is lost.

::

    server's process ── stop, reload, resize ──→ supervisor ── drain ──→ workers
                     ←─ ready, reloaded,                    ←─ ready, full, leaving, cut ──
                        stopping, stopped ──

An end of a line is an order, too: when the server's process is gone, supervisor and workers finish what is
begun and end.
"""

from __future__ import annotations

import logging
import os
import signal
from collections import deque
from collections.abc import Callable
from functools import partial
from time import monotonic

from portico.engines.channel import Channel, Message
from portico.engines.children import ended_how, fork
from portico.engines.contract import Listening
from portico.engines.loop import Loop
from portico.engines.plan import Plan
from portico.engines.scoreboard import LOSSES, Scoreboard, State
from portico.engines.slots import Hand, Outline, Slot, listeners_of
from portico.engines.worker import Inner, Share, Worker, name_log_records

__all__ = ["Supervisor"]

log = logging.getLogger("portico.workers")

LAST_WORDS = 1.0
"""Seconds beyond its grace, after which a worker is killed."""
_LOOK = 1.0  # seconds between two looks at ages and sizes


class Supervisor:
    """Minds the workers of one server. ``run()`` returns when all of them have ended."""

    def __init__(
        self,
        outline: Outline,
        plan: Plan,
        board: Scoreboard,
        channel: Channel,
        make: Callable[[Channel], Inner],
    ) -> None:
        self._outline = outline
        self._plan = plan
        self._board = board
        self._channel = channel
        self._make = make
        self._slots = [Slot(number, list(each)) for number, each in enumerate(outline.slots, 1)]
        self._sockets = 0
        for listener in listeners_of(self._slots):
            self._know(listener)
        self._hands: dict[int, Hand] = {}
        self._started = False
        self._stopping = False
        self._failure = ""
        self._cut: list[str] = []
        self._renewing: deque[Slot] | None = None

    def run(self) -> None:
        name_log_records("supervisor")
        self._loop = Loop()
        self._loop.on_signal(signal.SIGTERM, self._stop_by_itself)
        self._loop.on_signal(signal.SIGCHLD, self._reap)
        self._loop.watch(self._channel.fileno(), self._ordered)
        for slot in self._slots:
            self._hire(slot)
        if self._plan.watched:
            self._loop.later(_LOOK, self._look)
        self._loop.run()
        for listener in listeners_of(self._slots):
            listener.close()
        self._channel.send(failed=self._failure) if self._failure else self._channel.send(stopped=self._cut)

    def _know(self, listener: Listening) -> None:
        """Let its workers, one after the other or together, count once what the kernel drops there."""
        if self._sockets < LOSSES:
            listener.count_lost_in(self._board.loss(self._sockets))
            self._sockets += 1

    # -- orders

    def _ordered(self) -> None:
        for message in self._channel.receive():
            if "stop" in message:
                self._stop(*message["stop"])
            elif "reload" in message:
                self._reload()
            elif "resize" in message:
                self._resize(message["resize"])
        if self._channel.ended:
            self._loop.forget(self._channel.fileno())
            if not self._stopping:
                log.error("the supervisor (pid %d) ends: the server's process is gone", os.getpid())
            self._stop_by_itself()

    # -- workers come

    def _hire(self, slot: Slot) -> None:
        """Start a worker for a slot; it takes the place of the one who stands there when it is ready."""
        slot.rest()
        if self._stopping:
            return
        row = self._board.hire()
        if row is None:  # very many drain at the same time
            slot.retry = self._loop.later(_LOOK, partial(self._hire, slot))
            return
        row.take(0, slot.number)
        ours, theirs = Channel.pair()
        hand = slot.coming = Hand(slot, row, ours, self._plan)
        try:
            self._bear(hand, theirs)
        except OSError as error:
            ours.close()
            self._board.retire(row)
            why = f"the system gives no process: {error.strerror}; raise the limit (ulimit -u)"
            self._did_not_start(hand, why)
        finally:
            theirs.close()

    def _bear(self, hand: Hand, theirs: Channel) -> None:
        hand.pid = fork(lambda: self._become_worker(hand, theirs))
        hand.row.pid = hand.pid  # and no more: the worker may be writing there by now
        self._hands[hand.pid] = hand
        self._loop.watch(hand.channel.fileno(), partial(self._heard, hand))

    def _become_worker(self, hand: Hand, channel: Channel) -> None:
        """In the child: leave everything that is not its own, and work."""
        self._loop.close()
        self._channel.close()
        for each in (hand, *self._hands.values()):
            each.channel.close()
        for listener in listeners_of(self._slots):
            listener.disown()
            if listener not in hand.slot.listeners:
                listener.close()
        share = Share(self._outline, hand.slot.listeners, hand.row)
        Worker(share, self._plan, hand.slot.number, channel, partial(self._make, channel)).run()

    def _heard(self, hand: Hand) -> None:
        for message in hand.channel.receive():
            self._told(hand, message)
        if hand.channel.ended:
            self._loop.forget(hand.channel.fileno())

    def _told(self, hand: Hand, message: Message) -> None:
        if "ready" in message:
            self._ready(hand)
        elif "failed" in message:
            hand.failure = message["failed"]
        elif "full" in message:
            self._renew(hand, message["full"])
        elif "leaving" in message:
            self._leaves(hand)
        elif "stop" in message:  # the handler called stop()
            self._stop(*message["stop"])
        else:
            for what in message["cut"]:
                self._has_cut(f"{hand}: {what}")

    def _has_cut(self, what: str) -> None:
        if self._stopping:
            self._cut.append(what)  # said by whoever stops the server
        else:
            log.warning("cut %s", what)

    def _ready(self, hand: Hand) -> None:
        slot = hand.slot
        if slot.coming is not hand or hand.expected:
            return
        old, slot.current, slot.coming = slot.current, hand, None
        hand.row.state = State.SERVING
        log.info("%s is ready", hand)
        for each in (old, *slot.stale):
            if each is not None:
                self._dismiss(each)
        if not self._started and all(each.current is not None for each in self._slots):
            self._started = True
            self._channel.send(ready=True)
        if self._renewing is not None:
            self._renew_next(slot)

    # -- workers go

    def _dismiss(self, hand: Hand) -> None:
        """Let a worker finish what is begun, and end."""
        grace, quiet = self._outline.grace, self._outline.limits.drain_quiet
        self._tell_to_end(hand, grace, min(quiet, grace))

    def _tell_to_end(self, hand: Hand, grace: float, quiet: float) -> None:
        hand.expected = True
        if hand.state == State.STARTING and not hand.row.accepting:
            self._kill(hand)  # it has nothing to finish
            return
        hand.row.state = State.DRAINING
        hand.channel.send(grace=grace, quiet=quiet)
        until = monotonic() + grace + LAST_WORDS
        if hand.killing is None or hand.killing.at > until:
            if hand.killing is not None:
                hand.killing.cancel()
            hand.killing = self._loop.at(until, partial(self._kill, hand))

    def _kill(self, hand: Hand) -> None:
        hand.expected = True
        open_now = hand.row.opened - hand.row.closed
        if hand.state == State.DRAINING:
            self._has_cut(f"{hand}, which did not end, with {open_now} connections")
        os.kill(hand.pid, signal.SIGKILL)

    def _leaves(self, hand: Hand) -> None:
        """A worker was told to end by somebody else: another takes its place at once."""
        hand.expected = True
        hand.row.state = State.DRAINING
        slot = hand.slot
        if slot.current is hand and not self._stopping:
            slot.current = None
            log.info("%s ends on SIGTERM; another takes its place", hand)
            if slot.coming is None:
                self._hire(slot)

    def _reap(self) -> None:
        for pid in list(self._hands):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                self._gone(self._hands[pid], status)
        if self._stopping and not self._hands:
            self._loop.stop()

    def _gone(self, hand: Hand, status: int) -> None:
        self._heard(hand)  # its last words
        del self._hands[hand.pid]
        self._loop.forget(hand.channel.fileno())
        hand.channel.close()
        if hand.killing is not None:
            hand.killing.cancel()
        slot, open_now = hand.slot, hand.row.opened - hand.row.closed
        self._board.retire(hand.row)
        slot.stale.discard(hand)
        if slot.coming is hand:
            slot.coming = None
            if not hand.expected:
                self._did_not_start(hand, hand.failure or f"it {ended_how(status)}")
        elif slot.current is hand:
            slot.current = None
            if not self._stopping:
                log.error("%s %s, with %d connections", hand, ended_how(status), open_now)
                self._after_death(hand)

    def _did_not_start(self, hand: Hand, why: str) -> None:
        slot = hand.slot
        slot.coming = None
        if self._stopping:
            return
        if not self._started:
            self._failure = why
            self._stop(0.0, 0.0)
        elif self._renewing is not None and slot is self._renewing[0]:
            log.error("the old code goes on: %s cannot start: %s", hand, why)
            self._reloaded(why)
            if slot.current is None:
                self._after_death(hand)
        else:
            log.error("%s cannot start: %s", hand, why)
            self._after_death(hand)

    def _after_death(self, hand: Hand) -> None:
        """Another takes its place: at once, but not without a pause when that happens again and again."""
        slot = hand.slot
        slot.young_deaths = slot.young_deaths + 1 if hand.young else 1
        pause = slot.pause()
        if slot.coming is not None:
            return
        if pause:
            log.error("worker %d ends again and again: the next one in %g s", slot.number, pause)
            slot.rest()
            slot.retry = self._loop.later(pause, partial(self._hire, slot))
        else:
            self._hire(slot)

    # -- replacements

    def _renew(self, hand: Hand, why: str) -> None:
        slot = hand.slot
        if slot.current is hand and slot.coming is None and slot.retry is None and not self._stopping:
            log.info("%s is replaced: %s", hand, why)
            self._hire(slot)

    def _look(self) -> None:
        for slot in self._slots:
            if slot.current is not None and (why := slot.current.too_much):
                self._renew(slot.current, why)
        self._loop.later(_LOOK, self._look)

    def _reload(self) -> None:
        """Worker by worker. One more meanwhile begins anew: what is being loaded may be old, or never end."""
        if self._stopping or not self._started:
            self._channel.send(reloaded="the server is not serving")
            return
        if self._renewing and (coming := self._renewing[0].coming) is not None:
            self._renewing[0].coming = None
            self._dismiss(coming)
        self._renewing = deque(self._slots)
        self._renew_first()

    def _renew_first(self) -> None:
        assert self._renewing is not None
        slot = self._renewing[0]
        if slot.coming is not None:  # begun before the reload was asked for: it may have the old code
            self._dismiss(slot.coming)
        self._hire(slot)

    def _renew_next(self, slot: Slot) -> None:
        if self._renewing and self._renewing[0] is slot:
            self._renewing.popleft()
            if self._renewing:
                self._renew_first()
            else:
                log.info("reloaded: %d workers", len(self._slots))
                self._reloaded(None)

    def _reloaded(self, why: str | None) -> None:
        self._renewing = None
        self._channel.send(reloaded=why)

    def _resize(self, by: int) -> None:
        """One worker more, or one less."""
        if self._stopping or not self._started:
            return
        if self._renewing is not None:
            log.warning("the number of workers stays as it is: a reload is going on")
            return
        if by > 0:
            self._add_slot()
        elif len(self._slots) > 1:
            self._merge(self._slots.pop(), self._slots[0])
        log.info("there are %d workers now", len(self._slots))

    def _add_slot(self) -> None:
        slot = Slot(len(self._slots) + 1, [])
        try:
            for listener in self._outline.slots[0]:
                slot.listeners.append(listener.again())
        except OSError as error:
            for made in listeners_of([slot]) - listeners_of(self._slots):
                made.close()
            log.error("there cannot be one more worker: no socket for it: %s", error.strerror)
            return
        for made in listeners_of([slot]) - listeners_of(self._slots):
            self._know(made)
        self._slots.append(slot)
        self._hire(slot)

    def _merge(self, slot: Slot, into: Slot) -> None:
        """A slot is given up. Its sockets are not, lest who waits there be lost: another slot's next worker
        accepts from them, too, and its own ends when that one is ready."""
        slot.rest()
        into.listeners += [each for each in slot.listeners if each not in into.listeners]
        for coming in (slot.coming, into.coming):
            if coming is not None:
                self._dismiss(coming)
        if slot.current is not None:
            slot.current.slot = into
            into.stale.add(slot.current)
        self._hire(into)

    # -- the end

    def _stop_by_itself(self) -> None:
        self._stop(self._outline.grace, self._outline.limits.drain_quiet)

    def _stop(self, grace: float, quiet: float) -> None:
        """Tell all to finish within ``grace`` seconds; a second time, with less, shortens it."""
        if not self._stopping:
            self._stopping = True
            self._channel.send(stopping=True)
        for slot in self._slots:
            slot.rest()
        for hand in self._hands.values():
            self._tell_to_end(hand, grace, min(quiet, grace))
        for listener in listeners_of(self._slots):
            listener.close()  # a worker serves whom it finds in its own copy, and then nobody listens
        if self._renewing is not None:
            self._renewing = None
            self._channel.send(reloaded="the server is stopping")
        if not self._hands:
            self._loop.stop()
