"""Values of JSON texts, by the rules that the caller chose.

What msgspec accepts is taken; whatever it refuses is looked at again by the standard library's scanner, which
knows the place of an error, and by which the rules are defined: it accepts all that msgspec does.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any, NamedTuple, Union

from portico.data.json import places
from portico.data.json.depth import deeper, value_deeper
from portico.data.json.path import EACH, Step
from portico.data.json.scanner import FLOATS, Refused, Rules, scanned, scanner, skimmer, too_deep
from portico.data.json.text import more_follows
from portico.errors import ConfigError, LimitExceeded
from portico.limits import Limits

__all__ = ["Batch", "Decoder", "Key", "Many"]

_DIGITS = Limits().json_digits
_SPACE = re.compile(r"[ \t\n\r]*")


class Key:
    """Of an object. Each is another, so that a dictionary keeps values whose keys are the same."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


def _key(kind: Any, name: Any) -> Key:
    if kind is not Key:
        raise NotImplementedError
    return Key(name)


class Batch(NamedTuple):
    """Of that ``number`` of texts, the values that are asked for, and the keys, where they have some."""

    number: int
    values: list[Any]
    keys: list[Key]


Many = Callable[[str], Batch | None]
"""From texts that have commas between; ``None``: they are to be looked at one by one."""


class Decoder:
    """Makes values. Raises ``Refused``, and ``LimitExceeded`` for what is too deep or too much, and
    ``ConfigError`` where a type is asked for and msgspec is not there."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._limits = rules.limits
        self._msgspec = _msgspec(needed=rules.type is not None)
        self._scan = scanner(rules)
        self._skim = skimmer(rules.allow_nan)
        if self._msgspec is not None:
            self._made = partial(self._msgspec.json.Decoder, float_hook=FLOATS[rules.numbers])
            try:
                self._one = self._made(Any if rules.type is None else rules.type)
            except TypeError as error:
                raise ConfigError(f"type={rules.type!r}: {error}") from None

    @property
    def batches(self) -> bool:
        """Whether values can be made at once."""
        # msgspec has a limit of its own for digits.
        known = self._limits.json_digits >= _DIGITS
        return self._msgspec is not None and self._rules.duplicates == "last" and known

    def value(self, text: str) -> Any:
        """What a whole text means."""
        self._check_count(text)
        data = text.encode("utf-8", "replace")  # msgspec would do that itself, and keep it with the text
        if deeper(data, self._limits.json_depth):
            raise too_deep(self._limits)
        if not self.batches:
            return self._carefully(text)
        try:
            return self._one.decode(data)
        except self._msgspec.ValidationError as error:
            if self._rules.type is None or "out of range" in str(error):  # a number that is too large for it
                return self._carefully(text)
            raise self._mistyped(error, text) from None
        except (ValueError, ArithmeticError):
            return self._carefully(text)
        except RecursionError:
            raise too_deep(self._limits) from None

    def one(self, texts: list[bytes]) -> Callable[[bytes], Any] | None:
        """What makes a value of one of these at once, or raises a ``ValueError`` for one that ``value`` is to
        look at; ``None``: ``value`` is to look at all of them."""
        depth = self._limits.json_depth
        if not self.batches or (max(map(len, texts)) > depth and any(deeper(each, depth) for each in texts)):
            return None
        decode: Callable[[bytes], Any] = self._one.decode
        return decode

    def many(self, tail: tuple[Step, ...] = (), *, keyed: bool = False) -> Many | None:
        """For the values at a path into each of many texts, which follow a key each, but for the first, if
        they are ``keyed``; ``None``: none can be made at once."""
        if not self.batches or any(isinstance(step, int) for step in tail):
            return None
        kind = _many_of(_holder(self._msgspec, self._rules.type, tail), Key if keyed else None)
        try:
            decode = self._made(kind, dec_hook=_key).decode
        except TypeError:  # a type that does not go together with others
            return None
        return partial(self._several, decode, tail, keyed)

    def passed(self, *, keyed: bool = False) -> Many | None:
        """As ``many``, of values that nobody wants."""
        if not self.batches:
            return None
        kind = _many_of(self._msgspec.Raw, str if keyed else None)
        decode = self._msgspec.json.Decoder(kind).decode
        return partial(self._several, decode, (), keyed)

    def skim(self, text: str, at: int, *, deep: bool = False) -> int:
        """Where the value ends that begins at ``at``: only its grammar counts. ``deep``: it may be deeper
        than the limit."""
        if deep and value_deeper(text, at, self._limits.json_depth):
            raise too_deep(self._limits)
        return scanned(self._skim, text, at, self._limits)[1]

    def _several(
        self, decode: Callable[[str], Any], tail: tuple[Step, ...], keyed: bool, text: str
    ) -> Batch | None:
        if deeper(text, self._limits.json_depth):
            return None
        try:
            made = decode(f'{{"":{text}}}' if keyed else f"[{text}]")
            values = list(made.values()) if keyed else made
            return Batch(len(values), _held(values, tail, self._msgspec.UNSET), list(made) if keyed else [])
        except (ValueError, ArithmeticError, RecursionError, NotImplementedError):
            return None

    def _carefully(self, text: str) -> Any:
        """By the standard library, which is slower and tells where an error is."""
        at = _SPACE.match(text).end()  # type: ignore[union-attr]
        if at == len(text):
            raise Refused("there is nothing in it", at)
        lone = places.lone_surrogate(text)
        if lone is not None and self._rules.surrogates == "replace":
            text = places.without_surrogates(text)
        value, end = scanned(self._scan, text, at, self._limits)
        more = _SPACE.match(text, end).end()  # type: ignore[union-attr]
        if more < len(text):
            raise Refused(more_follows(in_another_line="\n" in text[end:more]), more)
        if lone is not None and self._rules.surrogates == "error":
            raise Refused("half a surrogate pair is no character", lone)
        return value if self._rules.type is None else self._converted(value, text)

    def _converted(self, value: Any, text: str) -> Any:
        if self._rules.duplicates == "error":  # it was checked for those
            with_types = partial(self._one.decode, text)
        else:
            with_types = partial(self._msgspec.convert, value, self._rules.type, str_keys=True)
        try:
            return with_types()
        except self._msgspec.ValidationError as error:
            raise self._mistyped(error, text) from None
        except self._msgspec.DecodeError:
            return self._msgspec.convert(value, self._rules.type, str_keys=True)

    def _mistyped(self, error: Exception, text: str) -> Refused:
        reason, path = places.of_validation(str(error))
        return Refused(reason, places.offset_of(path, text, self._skim), path)

    def _check_count(self, text: str) -> None:
        limit = self._limits.json_values
        if len(text) < limit:  # each takes a character, and one that separates it
            return
        # Counting is cheap where it is too much even with what stands in strings; else it is done exactly.
        if _count(text) > limit and _count(places.without_strings(text)) > limit:
            raise LimitExceeded(
                f"more than {limit} values at once; read them one by one with records(), or pass "
                "limits=Limits(json_values=…)",
                "json_values",
                413,
            )


def _holder(msgspec: Any, kind: Any, tail: tuple[Step, ...]) -> Any:
    """A type that holds what is at a path, and nothing else: the rest is not even made."""
    holder: Any = Any if kind is None else kind
    for step in reversed(tail):
        if step is EACH:
            holder = list[holder]
        else:
            field = msgspec.field(name=step, default=msgspec.UNSET)
            held: Any = holder if holder is Any else Union[holder, msgspec.UnsetType]  # noqa: UP007  (of any type)
            holder = msgspec.defstruct("Holder", [("held", held, field)])
    return holder


def _many_of(kind: Any, key: Any = None) -> Any:
    return list[kind] if key is None else dict[key, kind]


def _held(values: list[Any], tail: tuple[Step, ...], unset: Any) -> list[Any]:
    for step in tail:
        if step is EACH:
            values = [each for value in values for each in value]
        else:
            values = [value.held for value in values if value.held is not unset]
    return values


def _count(text: str) -> int:
    return 1 + text.count(",") + text.count("[") + text.count("{")


def _msgspec(needed: bool) -> Any:
    try:
        return import_module("msgspec")
    except ImportError:
        if needed:
            raise ConfigError("type= takes msgspec: pip install 'portico[data]'") from None
        return None
