"""JSON (RFC 8259) from any source: whole, by lines, or the elements of a path one by one; and to any sink.

::

    recipe = load("recipe.json", type=Recipe)
    for order in lines("orders.jsonl.gz"):
        ...
    for item in records("https://example.org/huge.json", "recipe.ingredients[*]"):
        ...
    write(recipe, "recipe.json", indent=2)

Options of all that read: ``type``: what each value is checked against and made into, by msgspec (dataclasses,
``Struct``, ``TypedDict``, ``list[int]``...). ``numbers``, where no type says what they are: ``"python"``
(``int`` and ``float``; what is more than a float holds is refused), ``"decimal"`` (``int`` and
``Decimal``), ``"exact"`` (a ``float`` where that is written as the same number, else a ``Decimal``).
``duplicates``: of a key that an object has twice, the ``"last"`` or the ``"first"`` value, or ``"error"``.
``surrogates``: half a pair (``"\\ud800"``) is an ``"error"``, or U+FFFD (``"replace"``), or stays
(``"keep"``). ``allow_nan``: take ``NaN``, ``Infinity`` and ``-Infinity``, which are no JSON, and what is more
than a float holds as infinity. ``limits``: ``json_depth``, ``json_digits``, ``json_values``, ``json_record``
and ``answer`` count, and those of ``source``.

All raise ``DataError`` with line, column and path; ``LimitExceeded``; ``ConfigError`` for an option that
cannot be; and what ``source`` does. The encoding is UTF-8, or UTF-16 or UTF-32 as the first bytes tell.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain
from typing import Any, TypedDict, Unpack

from portico.data.json.cursor import Cursor, sequence
from portico.data.json.decoder import Decoder
from portico.data.json.linewise import OnError, values_of_lines
from portico.data.json.path import path_text, steps_of
from portico.data.json.scanner import Duplicates, Numbers, Refused, Rules, Surrogates
from portico.data.json.text import Text, place_in
from portico.data.json.walk import Walk
from portico.data.json.writing import write, write_json, write_lines
from portico.data.sources import Source, source
from portico.errors import DataError, LimitExceeded
from portico.limits import Limits

__all__ = [
    "Duplicates",
    "Numbers",
    "Surrogates",
    "documents",
    "items",
    "lines",
    "load",
    "path_text",
    "read_json",
    "read_lines",
    "records",
    "write",
    "write_json",
    "write_lines",
]


class Options(TypedDict, total=False):
    """Options of all that read: see the module."""

    type: Any
    numbers: Numbers
    duplicates: Duplicates
    surrogates: Surrogates
    allow_nan: bool
    limits: Limits | None


def load(what: Any, **options: Unpack[Options]) -> Any:
    """The value of a whole document, of at most ``Limits.answer`` characters. It is the one that takes memory
    for all of it."""
    opened, rules = _opened(what, _rules(options), options)
    try:
        text = _whole(opened, rules.limits.answer)
    finally:
        _done(opened, what)
    try:
        return Decoder(rules).value(text)
    except Refused as refused:
        line, column = place_in(text, refused.at)
        path = f"${refused.path}" if refused.path else ""
        raise DataError(refused.reason, opened.name, line=line, column=column, path=path) from None
    except LimitExceeded as error:
        raise LimitExceeded(f"{opened.name}: {error}", error.limit, error.status) from None


def lines(what: Any, *, on_error: OnError | None = None, **options: Unpack[Options]) -> Iterator[Any]:
    """The values of JSON Lines, one by one; or of a JSON text sequence (RFC 7464), if it begins as one.

    Lines end with LF or CRLF, the last one also without; those with nothing in them are passed over.
    ``on_error``: told of each line that is wrong, as a ``DataError``, and the next one follows; without it,
    that is raised. A line has at most ``Limits.json_record`` characters.
    """
    return _reading(what, options, lambda given, rules: values_of_lines(given, rules, on_error))


def documents(what: Any, **options: Unpack[Options]) -> Iterator[Any]:
    """The values of documents that follow each other, over any number of lines, with or without space
    between. Each has at most ``Limits.json_record`` characters."""
    return _reading(what, options, lambda given, rules: sequence(Text(given), rules))


def records(what: Any, path: str = "$[*]", **options: Unpack[Options]) -> Iterator[Any]:
    """The values at a path, one by one, while the document arrives, in memory that does not grow with it.

    ``path``: as in RFC 9535, of names, indexes and ``*``: ``recipe.ingredients[*]``, ``$["a b"][0].c``,
    ``feeds[*].items[*]``; ``.*`` and ``[*]`` are the same, each element of an array or value of an object;
    ``$`` is the document. All of the document is checked, to its end; of what is not asked for, only the
    grammar counts (not halves of pairs, or sizes of numbers). That a step up to the first ``*`` leads nowhere
    is a ``DataError`` at the end; after it, what does not have the step is passed over. Where one object has
    a key of the path twice, which of them counts is not said: ``duplicates="error"`` tells. A value has at
    most ``Limits.json_record`` characters.
    """
    steps = steps_of(path)
    return _reading(what, options, lambda given, rules: _values(Walk(Text(given), rules, steps)))


def items(
    what: Any, path: str = "$[*]", **options: Unpack[Options]
) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """As ``records``, each with its place: the keys and indexes that lead to it, as ``("feeds", 3, "id")``.
    ``path_text`` writes them as a path."""
    steps = steps_of(path)

    def located(given: Source, rules: Rules) -> Iterator[Any]:
        walk = Walk(Text(given), rules, steps, located=True)
        for values in walk.runs():
            place = walk.location()
            if len(values) == 1:
                yield place, values[0]
                continue
            for step, value in zip(walk.steps(len(values)), values, strict=True):
                yield (*place[:-1], step), value

    return _reading(what, options, located)


def read_lines(what: Source, *, on_error: OnError | None = None, **options: Unpack[Options]) -> Iterator[Any]:
    """``lines``, for ``portico.data.read``."""
    return lines(what, on_error=on_error, **options)


def read_json(what: Any, path: str | None = None, **options: Unpack[Options]) -> Iterator[Any]:
    """Records of a document, for ``portico.data.read``: those at ``path``; without one, the elements of an
    array, and anything else is one record."""
    if path is not None:
        return records(what, path, **options)

    def elements(given: Source, rules: Rules) -> Iterator[Any]:
        text = Text(given)
        begins = Cursor(text, rules).next()
        return _values(Walk(text, rules, steps_of("$[*]" if begins == "[" else "$")))

    return _reading(what, options, elements)


def _values(walk: Walk) -> Iterator[Any]:
    return chain.from_iterable(walk.runs())


def _rules(options: Options) -> Rules:
    given = {name: value for name, value in options.items() if value not in (None, Any)}
    return Rules(**given)  # type: ignore[arg-type]


def _opened(what: Any, rules: Rules, options: Options) -> tuple[Source, Rules]:
    opened = source(what, limits=options.get("limits"))
    return opened, rules if options.get("limits") else replace(rules, limits=opened.limits)


def _whole(opened: Source, limit: int) -> str:
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


def _reading(what: Any, options: Options, values: Callable[[Source, Rules], Iterator[Any]]) -> Iterator[Any]:
    """What is wrong with the options is told at once; nothing is opened before the first value is asked for,
    so that what is never asked leaves nothing open."""
    rules = _rules(options)
    Decoder(rules)

    def reading() -> Iterator[Any]:
        opened, known = _opened(what, rules, options)
        try:
            yield from values(opened, known)
        finally:
            _done(opened, what)

    return reading()


def _done(opened: Source, what: Any) -> None:
    """Close what was opened here."""
    if opened is not what:
        opened.close()
