"""How all that read JSON begin and end: their options, what they open, and that they close it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, TypedDict

from portico.data.json.decoder import Decoder
from portico.data.json.scanner import Duplicates, Numbers, Rules, Surrogates
from portico.data.json.text import Text
from portico.data.sources import Source, source
from portico.errors import LimitExceeded
from portico.limits import Limits

__all__ = ["Options", "done", "opened_by", "read_values", "rules_of", "whole"]


class Options(TypedDict, total=False):
    """Options of all that read, but ``type``: see ``portico.data.json``."""

    numbers: Numbers
    duplicates: Duplicates
    surrogates: Surrogates
    allow_nan: bool
    limits: Limits | None


def rules_of(function: str, kind: Any, options: Options) -> Rules:
    """Rules by the options of a function. Raises ``TypeError`` for one that it does not have, ``ConfigError``
    for a choice that is none."""
    for name in options:
        if name not in Options.__annotations__:
            raise TypeError(f"{function}() got an unexpected keyword argument {name!r}")
    given = {name: value for name, value in options.items() if value is not None}
    return Rules(type=None if kind is Any else kind, **given)  # type: ignore[arg-type]


def opened_by(what: Any, rules: Rules, options: Options) -> tuple[Source, Rules]:
    """What is read, and the rules with its limits, where no others were given."""
    opened = source(what, limits=options.get("limits"))
    return opened, rules if options.get("limits") else replace(rules, limits=opened.limits)


def whole(opened: Source, limit: int) -> str:
    """All of it. Raises ``LimitExceeded``, ``DataError``."""
    text = Text(opened)
    size = 0

    def enough(piece: str) -> bool:
        nonlocal size
        size += len(piece)
        if size > limit:
            raise LimitExceeded(
                f"{opened.name}: more than {limit} characters at once; read it with records() or lines(), or "
                "pass limits=Limits(answer=…)",
                "answer",
                413,
            )
        return False

    while text.refill(enough):  # all at once, unless some of it is broken
        pass
    return text.window


def read_values(
    what: Any, rules: Rules, options: Options, values: Callable[[Source, Rules], Iterator[Any]]
) -> Iterator[Any]:
    """What is wrong with the options is told at once; nothing is opened before the first value is asked for,
    so that what is never asked leaves nothing open."""
    Decoder(rules)

    def read() -> Iterator[Any]:
        opened, known = opened_by(what, rules, options)
        try:
            yield from values(opened, known)
        finally:
            done(opened, what)

    return read()


def done(opened: Source, what: Any) -> None:
    """Close what was opened here."""
    if opened is not what:
        opened.close()
