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

from collections.abc import Iterator
from itertools import chain
from typing import Any, TypeVar, Unpack, overload

from portico.data.json.cursor import Cursor, sequence
from portico.data.json.decoder import Decoder
from portico.data.json.linewise import OnError, values_of_lines
from portico.data.json.path import path_text, steps_of
from portico.data.json.reading import Options, done, opened_by, read_values, rules_of, whole
from portico.data.json.scanner import Duplicates, Numbers, Refused, Rules, Surrogates
from portico.data.json.text import Text, place_in
from portico.data.json.walk import Walk
from portico.data.json.writing import write, write_json, write_lines
from portico.data.sources import Source
from portico.errors import DataError, LimitExceeded

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

T = TypeVar("T")
Place = tuple[str | int, ...]
"""The keys and indexes that lead to a value: ``("feeds", 3, "id")``."""


@overload
def load(what: Any, *, type: type[T], **options: Unpack[Options]) -> T: ...
@overload
def load(what: Any, *, type: Any = None, **options: Unpack[Options]) -> Any: ...
def load(what: Any, *, type: Any = None, **options: Unpack[Options]) -> Any:  # noqa: A002
    """The value of a whole document, of at most ``Limits.answer`` characters. It is the one that takes memory
    for all of it."""
    opened, rules = opened_by(what, rules_of("load", type, options), options)
    try:
        text = whole(opened, rules.limits.answer)
    finally:
        done(opened, what)
    try:
        return Decoder(rules).value(text)
    except Refused as refused:
        line, column = place_in(text, refused.at)
        path = f"${refused.path}" if refused.path else ""
        raise DataError(refused.reason, opened.name, line=line, column=column, path=path) from None
    except LimitExceeded as error:
        raise LimitExceeded(f"{opened.name}: {error}", error.limit, error.status) from None


@overload
def lines(
    what: Any, *, on_error: OnError | None = None, type: type[T], **options: Unpack[Options]
) -> Iterator[T]: ...
@overload
def lines(
    what: Any, *, on_error: OnError | None = None, type: Any = None, **options: Unpack[Options]
) -> Iterator[Any]: ...
def lines(
    what: Any,
    *,
    on_error: OnError | None = None,
    type: Any = None,  # noqa: A002
    **options: Unpack[Options],
) -> Iterator[Any]:
    """The values of JSON Lines, one by one; or of a JSON text sequence (RFC 7464), if it begins as one.

    Lines end with LF or CRLF, the last one also without; those with nothing in them are passed over.
    ``on_error``: told of each line that is wrong, as a ``DataError``, and the next one follows; without it,
    that is raised. A line has at most ``Limits.json_record`` characters.
    """
    rules = rules_of("lines", type, options)
    return read_values(what, rules, options, lambda given, rules: values_of_lines(given, rules, on_error))


@overload
def documents(what: Any, *, type: type[T], **options: Unpack[Options]) -> Iterator[T]: ...
@overload
def documents(what: Any, *, type: Any = None, **options: Unpack[Options]) -> Iterator[Any]: ...
def documents(what: Any, *, type: Any = None, **options: Unpack[Options]) -> Iterator[Any]:  # noqa: A002
    """The values of documents that follow each other, over any number of lines, with or without space
    between. Each has at most ``Limits.json_record`` characters."""
    rules = rules_of("documents", type, options)
    return read_values(what, rules, options, lambda given, rules: sequence(Text(given), rules))


@overload
def records(what: Any, path: str = "$[*]", *, type: type[T], **options: Unpack[Options]) -> Iterator[T]: ...
@overload
def records(
    what: Any, path: str = "$[*]", *, type: Any = None, **options: Unpack[Options]
) -> Iterator[Any]: ...
def records(
    what: Any,
    path: str = "$[*]",
    *,
    type: Any = None,  # noqa: A002
    **options: Unpack[Options],
) -> Iterator[Any]:
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
    rules = rules_of("records", type, options)
    return read_values(what, rules, options, lambda given, rules: _values(Walk(Text(given), rules, steps)))


@overload
def items(
    what: Any, path: str = "$[*]", *, type: type[T], **options: Unpack[Options]
) -> Iterator[tuple[Place, T]]: ...
@overload
def items(
    what: Any, path: str = "$[*]", *, type: Any = None, **options: Unpack[Options]
) -> Iterator[tuple[Place, Any]]: ...
def items(
    what: Any,
    path: str = "$[*]",
    *,
    type: Any = None,  # noqa: A002
    **options: Unpack[Options],
) -> Iterator[tuple[Place, Any]]:
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

    return read_values(what, rules_of("items", type, options), options, located)


def read_lines(
    what: Source,
    *,
    on_error: OnError | None = None,
    type: Any = None,  # noqa: A002
    **options: Unpack[Options],
) -> Iterator[Any]:
    """``lines``, for ``portico.data.read``."""
    return lines(what, on_error=on_error, type=type, **options)


def read_json(
    what: Any,
    path: str | None = None,
    *,
    type: Any = None,  # noqa: A002
    **options: Unpack[Options],
) -> Iterator[Any]:
    """Records of a document, for ``portico.data.read``: those at ``path``; without one, the elements of an
    array, and anything else is one record."""
    if path is not None:
        return records(what, path, type=type, **options)

    def elements(given: Source, rules: Rules) -> Iterator[Any]:
        text = Text(given)
        begins = Cursor(text, rules).next()
        return _values(Walk(text, rules, steps_of("$[*]" if begins == "[" else "$")))

    return read_values(what, rules_of("read_json", type, options), options, elements)


def _values(walk: Walk) -> Iterator[Any]:
    return chain.from_iterable(walk.runs())
