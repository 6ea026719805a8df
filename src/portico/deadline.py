"""Deadlines: ``with timeout(seconds)`` covers every wait inside it.

A scope lives in a context variable, so it belongs to one thread, greenlet or asyncio task, and is
inherited by work that copies its context. Scopes nest: the nearest expiry wins. Nothing is
interrupted: Portico's operations ask ``expiry()`` before they wait and after they succeed, and raise
``Timeout``. ``time.sleep`` or C code cannot be cut; ``t.check()`` serves loops of one's own.
"""

from __future__ import annotations

import contextlib
import sys
from contextvars import ContextVar
from math import inf
from time import monotonic
from types import FrameType, TracebackType
from typing import Self

from portico.errors import Timeout

__all__ = ["check", "expiry", "in_force", "timeout"]

_CO_GENERATOR = 0x20 | 0x200  # generator, asynchronous generator
_CONTEXTLIB = vars(contextlib)


class timeout:
    """One deadline over everything inside the ``with``.

    ``seconds``: from entering the block; ``None`` sets no bound. ``shield=True`` hides every outer
    deadline, for clean-up that must be allowed to run after one has passed: give it a bound of its
    own. Raises (at Portico's calls inside the block) ``Timeout``.
    """

    __slots__ = ("_at", "_frame", "_left", "_parent", "_shield", "_started", "seconds")

    def __init__(self, seconds: float | None, *, shield: bool = False) -> None:
        if seconds is not None and not seconds >= 0:
            raise _invalid(seconds)
        self.seconds = seconds
        self._shield = shield
        self._at = inf
        self._started = False
        self._left = False
        self._parent: timeout | None = None
        self._frame: FrameType | None = None

    def __enter__(self) -> Self:
        if self._started:
            raise RuntimeError("this timeout() was already entered; make a new one for each block")
        self._started = True
        if self.seconds is not None:
            self._at = monotonic() + self.seconds
        self._parent = _scope.get()
        frame = sys._getframe(1)
        if frame.f_code.co_flags & _CO_GENERATOR or frame.f_globals is _CONTEXTLIB:
            self._frame = _suspendable(frame)
        _scope.set(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._left = True
        self._at = inf
        self._shield = False
        # A generator may be closed after its consumer entered scopes of its own, so the innermost
        # scope need not be this one; a scope already left is neutral, and skipped when its turn comes.
        current = _scope.get()
        if current is self:
            _scope.set(self._parent)
        else:
            while current is not None:
                if current._parent is self:
                    current._parent = self._parent
                    break
                current = current._parent
        self._frame = None

    def reschedule(self, seconds: float | None) -> None:
        """Let this block's time end ``seconds`` from now; ``None``: not at all. From any thread.

        Who waits in another thread notices when it is next woken.
        """
        if seconds is not None and not seconds >= 0:
            raise _invalid(seconds)
        self.seconds = seconds
        if not self._left:
            self._at = inf if seconds is None else monotonic() + seconds

    @property
    def remaining(self) -> float:
        """Seconds until the nearest deadline in force here (``inf`` without one, never below 0)."""
        return max(0.0, expiry() - monotonic())

    @property
    def expired(self) -> bool:
        """Whether this block's own time is over."""
        return monotonic() >= self._at

    def check(self, doing: str = "computing") -> None:
        """For loops without Portico calls. Raises ``Timeout`` when a deadline has passed."""
        check(doing)

    def __repr__(self) -> str:
        if self._at == inf:
            return f"timeout({self.seconds})"
        return f"<timeout {self.seconds} s, {self._at - monotonic():.3f} s left>"


_scope: ContextVar[timeout | None] = ContextVar("portico_timeout", default=None)


in_force = _scope.get
"""The innermost scope here, or ``None``: the quickest way to know that no deadline has been set."""


def expiry() -> float:
    """The nearest deadline in force here, on ``time.monotonic``'s clock; ``inf`` without one."""
    scope = _scope.get()
    if scope is None:  # the common case, on every operation of every stream
        return inf
    if scope._parent is None and scope._frame is None:  # and the next
        return scope._at
    scope = _nearest()
    return inf if scope is None else scope._at


def _nearest() -> timeout | None:
    """The scope that expires first, of those in force here; ``None`` where none has an end."""
    scope, nearest, at = _scope.get(), None, inf
    while scope is not None:
        frame = scope._frame
        # A suspended generator has no caller: its scope must not reach the code that consumes it.
        if frame is None or frame.f_back is not None:
            if scope._at < at:
                nearest, at = scope, scope._at
            if scope._shield:
                break
        scope = scope._parent
    return nearest


def check(doing: str) -> None:
    """Raise ``Timeout(doing)`` when a deadline in force here has passed."""
    if _scope.get() is not None and expiry() <= monotonic():
        raise expired(doing)


def expired(doing: str, sent: int | None = None) -> Timeout:
    """The error for the deadline that is in force here, naming its length where that is known."""
    scope = _nearest()
    return Timeout(doing, seconds=None if scope is None else scope.seconds, sent=sent)


def settle() -> None:
    """In a copied context: keep the deadline in force now, whoever leaves or suspends its block.

    For work that may outlive the ``with`` in which it was started.
    """
    scope = _nearest()
    if scope is None:
        _scope.set(None)
        return
    kept = timeout(scope.seconds)
    kept._at, kept._started = scope._at, True
    _scope.set(kept)


def _invalid(seconds: float) -> ValueError:
    return ValueError(f"timeout({seconds!r}): expected seconds, zero or more, or None")


def _suspendable(frame: FrameType | None) -> FrameType | None:
    """The generator that can be suspended while the ``with`` is open; ``None`` where there is none.

    A generator made into a context manager by ``contextlib`` is meant to cover its consumer, so what
    counts is whether that is one; likewise for what an ``ExitStack`` enters.
    """
    while frame is not None:
        if _of_contextlib(frame):
            frame = frame.f_back
        elif not frame.f_code.co_flags & _CO_GENERATOR:
            return None
        elif not _of_contextlib(frame.f_back):
            return frame
        else:
            frame = frame.f_back
    return None


def _of_contextlib(frame: FrameType | None) -> bool:
    return frame is not None and frame.f_globals is _CONTEXTLIB
