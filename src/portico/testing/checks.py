"""The register of checks, and the few words they are written in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from portico.deadline import timeout
from portico.engines import door
from portico.errors import PorticoError
from portico.sockets.stream import Stream

__all__ = [
    "STREAM_CHECKS",
    "PairFactory",
    "StreamCheck",
    "check_stream",
    "equal",
    "inside",
    "raises",
    "stream_check",
    "true",
]

E = TypeVar("E", bound=BaseException)

PairFactory = Callable[[], tuple[Stream, Stream]]
"""Makes two connected streams, ready for bytes; the checks close them."""
StreamCheck = Callable[[PairFactory], None]

STREAM_CHECKS: dict[str, StreamCheck] = {}
"""Every check by its name, which says the behaviour. Each raises ``AssertionError``, or what went wrong."""

GUARD = 30.0
"""Seconds after which a check has failed: no rule here needs more than moments."""


def check_stream(make_pair: PairFactory) -> None:
    """Run every check on fresh pairs. Raises ``AssertionError`` listing all that failed."""
    failures = []
    for name, check in STREAM_CHECKS.items():
        try:
            check(make_pair)
        except (AssertionError, PorticoError) as error:
            failures.append(f"{name}: {type(error).__name__}: {error}")
    true(not failures, "this is no stream:\n" + "\n".join(failures))


def stream_check(function: Callable[[Stream, Stream], None]) -> StreamCheck:
    """Enter a check on two connected streams into the register."""

    def check(make_pair: PairFactory) -> None:
        near, far = make_pair()
        with near, far, timeout(GUARD):
            function(near, far)

    STREAM_CHECKS[function.__name__] = check
    check.__name__ = function.__name__
    check.__doc__ = function.__doc__
    return check


def true(condition: object, message: str) -> None:
    """An assertion that also holds under ``python -O``."""
    if not condition:
        raise AssertionError(message)


def equal(got: object, wanted: object, what: str) -> None:
    """``got`` must be ``wanted``; long bytes are shortened in the message."""
    true(got == wanted, f"{what}: {_short(got)} instead of {_short(wanted)}")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) < 200 else f"{text[:100]}… ({len(text)} characters)"


def raises(kind: type[E], function: Callable[..., Any], *args: Any) -> E:
    """The error of ``function(*args)``, which must be a ``kind``."""
    try:
        value = function(*args)
    except kind as error:
        return error
    raise AssertionError(
        f"{getattr(function, '__name__', function)}: {_short(value)} instead of {kind.__name__}"
    )


def inside(stream: Stream, tasks: int = 1) -> None:
    """Wait until so many tasks are waiting in an operation of the stream."""
    with timeout(GUARD / 6):
        while len(stream.transport.waiters) < tasks:
            door.sleep(0.001)
