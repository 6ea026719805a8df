"""The workers of a supervisor as processes: how they are born, heard, told to end, and buried."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from functools import partial
from time import monotonic

from portico.engines.workers.channel import Channel, Message
from portico.engines.workers.children import fork
from portico.engines.workers.loop import Loop
from portico.engines.workers.plan import Plan
from portico.engines.workers.scoreboard import Scoreboard, State
from portico.engines.workers.slots import Hand, Outline, Slot, listeners_of
from portico.engines.workers.worker import Inner, Share, Worker

__all__ = ["LAST_WORDS", "Staff"]

LAST_WORDS = 1.0
"""Seconds beyond its grace, after which a worker is killed."""


class Staff:
    """All workers that live, whatever they do. ``told(hand, message)`` and ``gone(hand, status)`` are called
    with what they say and how they end; ``cut(what)`` with what a kill cuts."""

    told: Callable[[Hand, Message], object]
    gone: Callable[[Hand, int], object]
    cut: Callable[[str], object]

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
        self._hands: dict[int, Hand] = {}
        self.slots: list[Slot] = []

    def begin(self, loop: Loop) -> None:
        self._loop = loop
        loop.on_signal(signal.SIGCHLD, self._reap)

    @property
    def hands(self) -> list[Hand]:
        return list(self._hands.values())

    # -- birth

    def hire(self, slot: Slot, generation: int) -> Hand | None:
        """A worker that is to stand in a slot; ``None``: there are as many processes as can be, because very
        many drain at the same time. Raises ``OSError``."""
        row = self._board.hire()
        if row is None:
            return None
        row.take(0, slot.number)
        ours, theirs = Channel.pair()
        hand = Hand(slot, row, ours, self._plan, generation)
        try:
            self._bear(hand, theirs)
        except OSError:
            ours.close()
            self._board.retire(row)
            raise
        finally:
            theirs.close()
        return hand

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
        for listener in listeners_of(self.slots):
            listener.disown()
            if listener not in hand.slot.listeners:
                listener.close()
        share = Share(self._outline, hand.slot.listeners, hand.row)
        Worker(share, self._plan, hand.slot.number, channel, partial(self._make, channel)).run()

    # -- life

    def _heard(self, hand: Hand) -> None:
        for message in hand.channel.receive():
            self.told(hand, message)
        if hand.channel.ended:
            self._loop.forget(hand.channel.fileno())

    # -- end

    def dismiss(self, hand: Hand) -> None:
        """Let a worker finish what is begun, and end."""
        self.tell_to_end(hand, self._outline.grace, self._outline.limits.drain_quiet)

    def tell_to_end(self, hand: Hand, grace: float, quiet: float) -> None:
        """The same within ``grace`` seconds; a second time, with less, shortens it."""
        hand.expected = True
        if not hand.going:
            self._kill(hand)  # it has nothing to finish
            return
        hand.row.state = State.DRAINING
        hand.channel.send(grace=grace, quiet=min(quiet, grace))
        until = monotonic() + grace + LAST_WORDS
        if hand.killing is None or hand.killing.at > until:
            if hand.killing is not None:
                hand.killing.cancel()
            hand.killing = self._loop.at(until, partial(self._kill, hand))

    def _kill(self, hand: Hand) -> None:
        hand.expected = True
        open_now = hand.row.opened - hand.row.closed
        if hand.state == State.DRAINING:
            self.cut(f"{hand}, which did not end, with {open_now} connections")
        os.kill(hand.pid, signal.SIGKILL)

    def _reap(self) -> None:
        for hand in self.hands:
            ended, status = os.waitpid(hand.pid, os.WNOHANG)
            if ended:
                self._bury(hand, status)

    def _bury(self, hand: Hand, status: int) -> None:
        self._heard(hand)  # its last words
        del self._hands[hand.pid]
        self._loop.forget(hand.channel.fileno())
        hand.channel.close()
        if hand.killing is not None:
            hand.killing.cancel()
        open_now = hand.row.opened - hand.row.closed
        self._board.retire(hand.row)
        hand.left = open_now
        self.gone(hand, status)
