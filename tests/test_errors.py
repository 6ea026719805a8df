"""The tree of errors is the one that its docstring draws."""

from __future__ import annotations

import pickle
import re

import pytest

from portico import errors
from portico.errors import (
    Cancelled,
    ConnectError,
    DatagramTooLong,
    EndOfStream,
    HTTPError,
    LimitExceeded,
    PorticoError,
    ProtocolError,
    RemoteError,
    Timeout,
)

ALL = [getattr(errors, name) for name in errors.__all__]


@pytest.mark.parametrize("kind", [kind for kind in ALL if kind is not Cancelled], ids=str)
def test_everything_but_a_cancellation_is_a_portico_error(kind: type[BaseException]) -> None:
    assert issubclass(kind, PorticoError)


def test_a_cancellation_is_not_swallowed_with_errors() -> None:
    assert not issubclass(Cancelled, Exception)


def drawn() -> dict[str, tuple[str, str]]:
    """Name → (parent in the drawing, standard class in parentheses)."""
    found, path = {}, ["PorticoError"]
    for line in (errors.__doc__ or "").splitlines():
        if match := re.match(r"    ([│ ]*)[├└]── (\w+) +(?:\((\w+)\))?", line):
            depth = len(match[1]) // 4 + 1
            path[depth:] = [match[2]]
            found[match[2]] = (path[depth - 1], match[3] or "")
    return found


def test_the_drawing_is_complete() -> None:
    assert set(drawn()) == set(errors.__all__) - {"PorticoError", "Cancelled"}


@pytest.mark.parametrize(("name", "parents"), drawn().items(), ids=drawn())
def test_the_drawing_is_true(name: str, parents: tuple[str, str]) -> None:
    kind, (parent, standard) = getattr(errors, name), parents
    assert kind.__bases__[0] is getattr(errors, parent)
    if standard:
        builtins = __builtins__ if isinstance(__builtins__, dict) else vars(__builtins__)
        assert issubclass(kind, builtins[standard])


def test_a_timeout_says_how_long_doing_what_and_how_much() -> None:
    assert str(Timeout("reading")) == "timed out while reading"
    late = Timeout("writing to x", seconds=2.5, sent=7)
    assert str(late) == "timed out after 2.5 s while writing to x (7 bytes had gone out)"
    assert (late.doing, late.seconds, late.sent) == ("writing to x", 2.5, 7)


def test_errors_carry_their_facts() -> None:
    assert EndOfStream("short", b"abc").partial == b"abc"
    assert ConnectError("nobody", [("a", "refused")]).failures == (("a", "refused"),)
    assert ProtocolError("bad").status == 400
    assert ProtocolError("bad", 501).status == 501
    over = LimitExceeded("too long", "line", 431)
    assert (over.limit, over.status) == ("line", 431)
    assert RemoteError("boom", "Traceback").traceback == "Traceback"
    assert HTTPError("no", "answer").response == "answer"


@pytest.mark.parametrize(
    "error",
    [
        Timeout("reading", seconds=1.0, sent=3),
        EndOfStream("short", b"abc"),
        ConnectError("nobody", [("a", "refused")]),
        ProtocolError("bad", 501),
        LimitExceeded("too long", "line", 431),
        DatagramTooLong("too long", b"abc", 70000),
        RemoteError("boom", "Traceback"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_survive_the_way_between_processes(error: PorticoError) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert vars(copy) == vars(error)
