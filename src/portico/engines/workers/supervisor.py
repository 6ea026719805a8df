"""The supervisor of ``workers`` and ``forks``: the process that holds the sockets and minds the workers.

It has one thread, and never runs the handler: what it holds, it holds for as long as the server lives. A
replacement accepts from the sockets of its slot before the one that it replaces stops doing so, and while
nobody stands in a slot, who connects waits in the kernel's queue: no connection is lost.

::

    server's process ── stop, reload, resize ──→ supervisor ── go, drain ──→ workers
                     ←─ ready, reloaded,                    ←─ prepared, ready, full,
                        stopping, stopped ──                   leaving, deaf, cut ──

A worker loads the handler, says that it is prepared, and accepts when it is let go. A reload lets nobody go
before all replacements are prepared: so either all workers have the new code, or all the old one. An end of a
line is an order, too: when the server's process is gone, supervisor and workers finish what is begun and end.
"""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable
from functools import partial

from portico.engines.contract import Listening
from portico.engines.workers.channel import Channel, Message
from portico.engines.workers.children import ended_how
from portico.engines.workers.loop import Loop
from portico.engines.workers.plan import Plan
from portico.engines.workers.reload import Reload
from portico.engines.workers.scoreboard import LOSSES, Scoreboard, State
from portico.engines.workers.slots import Hand, Outline, Slot, listeners_of
from portico.engines.workers.staff import Staff
from portico.engines.workers.worker import Inner, name_log_records

__all__ = ["Supervisor"]

log = logging.getLogger("portico.workers")

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
        self._slots = [Slot(number, list(each)) for number, each in enumerate(outline.slots, 1)]
        self._sockets = 0
        for listener in listeners_of(self._slots):
            self._know(listener)
        self._staff = Staff(outline, plan, board, channel, make)
        self._staff.slots = self._slots
        self._staff.told, self._staff.gone, self._staff.cut = self._told, self._gone, self._has_cut
        self._started = False
        self._stopping = False
        self._failure = ""
        self._cut: list[str] = []
        self._renewal = Reload(self._slots, self._staff, self._hire, self._reloaded)

    def run(self) -> None:
        name_log_records("supervisor")
        self._loop = Loop()
        self._loop.on_signal(signal.SIGTERM, self._stop_by_itself)
        self._staff.begin(self._loop)
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
        try:
            slot.coming = self._staff.hire(slot, self._renewal.generation)
        except OSError as error:
            why = f"the system gives no process: {error.strerror}; raise the limit (ulimit -u)"
            self._did_not_start(slot, f"worker {slot.number}", why)
        else:
            if slot.coming is None:
                slot.retry = self._loop.later(_LOOK, partial(self._hire, slot))
            else:
                hand = slot.coming
                hand.killing = self._loop.later(
                    self._outline.limits.load, partial(self._loads_too_long, hand)
                )

    def _loads_too_long(self, hand: Hand) -> None:
        hand.failure = (
            f"it has not loaded the handler within {self._outline.limits.load:g} s; "
            "see what its code waits for, or allow more (limit load)"
        )
        os.kill(hand.pid, signal.SIGKILL)

    def _told(self, hand: Hand, message: Message) -> None:
        if "prepared" in message:
            self._prepared(hand)
        elif "ready" in message:
            self._ready(hand)
        elif "failed" in message:
            hand.failure = message["failed"]
        elif "full" in message:
            self._renew(hand, message["full"])
        elif "leaving" in message:
            self._leaves(hand)
        elif "deaf" in message:
            hand.deaf = True
            self._renewal.see()
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

    def _prepared(self, hand: Hand) -> None:
        if hand.slot.coming is not hand or hand.expected:
            return
        if hand.killing is not None:
            hand.killing.cancel()
            hand.killing = None
        hand.prepared = True
        if why := hand.weigh():
            self._is_too_large(hand, why)
        elif self._renewal.loading:
            self._renewal.prepared()
        else:
            hand.go()

    def _is_too_large(self, hand: Hand, why: str) -> None:
        """To replace it would not help, for the next one would be as large."""
        if self._started and not self._renewal.loading:
            log.error("%s is not replaced for its size before it has grown by half: %s", hand, why)
            hand.go()
            return
        hand.failure = why
        hand.slot.coming = None
        self._staff.dismiss(hand)
        self._did_not_start(hand.slot, str(hand), why)

    def _ready(self, hand: Hand) -> None:
        slot = hand.slot
        if slot.coming is not hand or hand.expected:
            return
        old, slot.current, slot.coming = slot.current, hand, None
        hand.row.state = State.SERVING
        log.info("%s is ready", hand)
        for each in (old, *slot.stale):
            if each is not None:
                self._staff.dismiss(each)
        if not self._started and all(each.current is not None for each in self._slots):
            self._started = True
            self._channel.send(ready=True)
        self._renewal.see()

    # -- workers go

    def _leaves(self, hand: Hand) -> None:
        """A worker was told to end by somebody else: another takes its place at once."""
        slot = hand.slot
        if slot.coming is hand:
            hand.failure = "somebody told it to end"
            return
        hand.expected = True
        hand.row.state = State.DRAINING
        if slot.current is hand and not self._stopping:
            slot.current = None
            log.info("%s ends on SIGTERM; another takes its place", hand)
            if slot.coming is None:
                self._hire(slot)

    def _gone(self, hand: Hand, status: int) -> None:
        slot = hand.slot
        slot.stale.discard(hand)
        if slot.coming is hand:
            slot.coming = None
            if not hand.expected:
                self._did_not_start(slot, str(hand), hand.failure or f"it {ended_how(status)}", hand.young)
        elif slot.current is hand:
            slot.current = None
            if not self._stopping:
                log.error("%s %s, with %d connections", hand, ended_how(status), hand.left)
                self._after_death(slot, hand.young, served=True)
        self._renewal.see()
        if self._stopping and not self._staff.hands:
            self._loop.stop()

    def _did_not_start(self, slot: Slot, who: str, why: str, young: bool = True) -> None:
        slot.coming = None
        if self._stopping:
            return
        if not self._started:
            self._failure = why
            self._stop(0.0, 0.0)
        elif self._renewal.loading:
            log.error("the old code goes on in all workers: %s cannot start: %s", who, why)
            self._renewal.withdraw()
            self._renewal.end(why)
            for each in self._slots:
                if each.current is None:
                    self._after_death(each, young)
        else:
            log.error("%s cannot start: %s", who, why)
            self._after_death(slot, young)

    def _after_death(self, slot: Slot, young: bool, served: bool = False) -> None:
        """Another takes its place: at once, but not without a pause when that happens again and again."""
        pause = slot.pause_after(young, served)
        if slot.coming is not None:
            return
        if pause:
            log.error("worker %d ends again and again: the next one in %g s", slot.number, pause)
            slot.rest()
            slot.retry = self._loop.later(pause, partial(self._hire, slot))
        else:
            self._hire(slot)

    # -- replacements

    def _renew(self, hand: Hand, why: str, pause: float = 0.0) -> None:
        slot = hand.slot
        if slot.current is not hand or slot.coming is not None or slot.retry is not None or self._stopping:
            return
        if pause:
            log.error(
                "%s is replaced again and again, the next time in %g s: %s; allow more memory",
                hand, pause, why,
            )  # fmt: skip
            slot.retry = self._loop.later(pause, partial(self._hire, slot))
        else:
            log.info("%s is replaced: %s", hand, why)
            self._hire(slot)

    def _look(self) -> None:
        for slot in self._slots:
            hand = slot.current
            if hand is None or slot.coming is not None or slot.retry is not None:
                continue
            if why := hand.too_old:
                self._renew(hand, why)
            elif why := hand.too_large:
                self._renew(hand, why, slot.pause_after(hand.young, served=True))
        self._loop.later(_LOOK, self._look)

    def _reload(self) -> None:
        if self._stopping or not self._started:
            self._reloaded("the server is not serving")
        else:
            self._renewal.begin()

    def _reloaded(self, why: str | None) -> None:
        self._channel.send(reloaded=why)

    def _resize(self, by: int) -> None:
        """One worker more, or one less."""
        if self._stopping or not self._started:
            return
        if self._renewal.going_on:
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
                self._staff.dismiss(coming)
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
        for hand in self._staff.hands:
            self._staff.tell_to_end(hand, grace, quiet)
        for listener in listeners_of(self._slots):
            listener.close()  # a worker serves whom it finds in its own copy, and then nobody listens
        self._renewal.end("the server is stopping")
        if not self._staff.hands:
            self._loop.stop()
