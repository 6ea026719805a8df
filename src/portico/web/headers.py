"""Changing the header fields of a mount's answers, the server's own error pages included."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from portico.errors import ConfigError

__all__ = ["EMPTY", "HOP_BY_HOP", "Edit", "checked_fields"]

Headers = list[tuple[str, str]]

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_FRAMING = frozenset("connection content-length date keep-alive te trailer transfer-encoding upgrade".split())
"""What says where an answer ends and what becomes of its connection: the server's own."""
HOP_BY_HOP = frozenset("connection keep-alive proxy-connection transfer-encoding te trailer upgrade".split())
"""What is between a server and the next hop, and so no application's (RFC 9110, 7.6.1)."""
EMPTY = ("Content-Length", "0")
"""For an answer that never has content: without it, HEAD would not say so as GET does (RFC 9110, 9.3.2)."""
_ADDED_LATER = frozenset(("server",))


@dataclass(frozen=True, slots=True)
class Edit:
    """What to do with the fields of an answer: first ``remove``, then ``set`` (in place of others of the
    name), then ``add`` (beside them). Raises ``ConfigError``.

    ``Server`` can be set, not removed: it is added later to answers that have none.
    """

    set: Mapping[str, str] = field(default_factory=dict)
    add: Mapping[str, str | Sequence[str]] = field(default_factory=dict)
    remove: Sequence[str] = ()
    _gone: frozenset[str] = field(init=False, repr=False, compare=False, default=frozenset())
    _more: Sequence[tuple[str, str]] = field(init=False, repr=False, compare=False, default=())

    def __post_init__(self) -> None:
        _check_names(self.remove)
        for name in self.remove:
            if name.lower() in _ADDED_LATER:
                raise ConfigError(f"{name} is added by the server to every answer: set it to another value")
        added = [(name, each) for name, value in self.add.items() for each in _each(value)]
        more = [*checked_fields(self.set), *checked_fields(added)]
        object.__setattr__(self, "_more", more)
        object.__setattr__(self, "_gone", frozenset(name.lower() for name in (*self.remove, *self.set)))

    def __bool__(self) -> bool:
        return bool(self._gone or self._more)

    def __call__(self, fields: Sequence[tuple[str, str]]) -> Headers:
        """The fields of an answer as they are to be sent."""
        gone = self._gone
        return [*(each for each in fields if each[0].lower() not in gone), *self._more]

    def after(self, first: Edit) -> Edit:
        """One edit that does what ``first`` does and then this one."""
        mine = {name.lower() for name in (*self.remove, *self.set)}
        kept_set = {name: value for name, value in first.set.items() if name.lower() not in mine}
        kept_add = {name: value for name, value in first.add.items() if name.lower() not in mine}
        added = {name: _each(value) for name, value in kept_add.items()}
        for name, value in self.add.items():
            added[name] = [*added.get(name, ()), *_each(value)]
        return Edit({**kept_set, **self.set}, added, tuple(dict.fromkeys((*first.remove, *self.remove))))


def checked_fields(fields: Mapping[str, str] | Iterable[tuple[str, str]]) -> Headers:
    """Header fields that may be sent. Raises ``ConfigError``."""
    pairs = list(fields.items() if isinstance(fields, Mapping) else fields)
    _check_names(name for name, _ in pairs)
    for name, value in pairs:
        if not _VALUE.fullmatch(value) or value != value.strip():
            raise ConfigError(f"the value of {name}, {value!r}, cannot be sent in a header")
    return pairs


def _check_names(names: Iterable[str]) -> None:
    for name in names:
        if not _TOKEN.fullmatch(name):
            raise ConfigError(f"{name!r} is not the name of a header")
        if name.lower() in _FRAMING:
            raise ConfigError(f"{name} is the server's own: it cannot be changed")


def _each(value: str | Sequence[str]) -> Sequence[str]:
    return (value,) if isinstance(value, str) else value
