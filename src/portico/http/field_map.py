"""Names with one or more values each: header fields, a query, a form's texts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from typing import Any

from portico.errors import LocalProtocolError

__all__ = ["Fields", "Headers", "OutgoingHeaders", "veiled"]

Pairs = Iterable[tuple[str, str]]

_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_SECRETS = frozenset({"authorization", "proxy-authorization"})
"""Fields whose values are not to be shown."""


def veiled(pairs: Pairs) -> list[tuple[str, str]]:
    """Header fields to be written where anybody may read: of credentials, their scheme only."""
    return [(name, _scheme(value) if name.lower() in _SECRETS else value) for name, value in pairs]


def _scheme(value: str) -> str:
    scheme, blank, _ = value.partition(" ")
    return f"{scheme} …" if blank else "…"  # a word alone is a token


class Fields(Mapping[str, str]):
    """A mapping to the first value of each name; ``all(name)`` has every one, ``pairs`` all as they came."""

    __slots__ = ("pairs",)

    def __init__(self, pairs: Pairs = ()) -> None:
        self.pairs = list(pairs)

    def __getitem__(self, name: str) -> str:
        wanted = self._key(name)
        for known, value in self.pairs:
            if known == wanted:
                return value
        raise KeyError(name)

    def all(self, name: str) -> list[str]:
        """Every value of a name, in order; empty without one."""
        wanted = self._key(name)
        return [value for known, value in self.pairs if known == wanted]

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(name for name, _ in self.pairs))

    def __len__(self) -> int:
        return len({name for name, _ in self.pairs})

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.pairs}>"

    @staticmethod
    def _key(name: str) -> str:
        return name


class Headers(Fields):
    """Header fields: names in lower case, found in any case.

    ``headers[name]`` joins several fields of a name with ``", "``, as RFC 9110, 5.3 lets any recipient do;
    but of ``Set-Cookie``, which cannot be joined, it is the first.
    """

    __slots__ = ()

    def __getitem__(self, name: str) -> str:
        wanted = name.lower()
        found = [value for known, value in self.pairs if known == wanted]
        if not found:
            raise KeyError(name)
        return found[0] if len(found) == 1 or wanted == "set-cookie" else ", ".join(found)

    def __contains__(self, name: object) -> bool:
        wanted = name.lower() if isinstance(name, str) else None
        return any(known == wanted for known, _ in self.pairs)

    @staticmethod
    def _key(name: str) -> str:
        return name.lower()

    def __repr__(self) -> str:
        shown = [(name, "…" if name in _SECRETS else value) for name, value in self.pairs]
        return f"<{type(self).__name__} {shown}>"


class OutgoingHeaders(Headers, MutableMapping[str, str]):
    """Header fields to be sent: ``[name] = value`` replaces, ``add`` keeps what is there.

    A value is text, or bytes, or is written out; where fields are replaced, ``None`` takes them away, and a
    list gives several. Raises ``LocalProtocolError`` for a name or value that cannot be sent, line ends above
    all, and leaves everything as it is then.
    """

    __slots__ = ("_lines",)

    def __init__(self, pairs: Pairs = ()) -> None:
        super().__init__()
        self._lines: list[tuple[str, str]] = []  # as `pairs`, with names as they were given
        for name, value in pairs:
            self.add(name, value)

    def add(self, name: str, value: Any) -> None:
        """One more field, whether or not there is one of the name."""
        if not isinstance(value, str):
            value = _text(value, name)
        if not _NAME.fullmatch(name):
            raise LocalProtocolError(f"not a header name: {name[:80]!r}")
        if not _VALUE.fullmatch(value):
            # The value may be a secret, often one that was read from a file with its line end.
            found = next(character for character in value if not _VALUE.fullmatch(character))
            raise LocalProtocolError(
                f"the value of the header {name} contains {found!r}, which cannot be sent"
            )
        # Never changed in place: copies share both lists.
        self.pairs = [*self.pairs, (name.lower(), value)]
        self._lines = [*self._lines, (name, value)]

    def update(self, more: Any = (), **named: Any) -> None:  # type: ignore[override]
        """Replace the fields of the names in ``more`` (a mapping, or pairs, which may give several of one
        name) and ``named``."""
        new = OutgoingHeaders()
        given = [*_pairs(more), *named.items()]
        for name, value in given:
            for each in value if isinstance(value, (list, tuple)) else () if value is None else (value,):
                new.add(name, each)
        for name, _ in given:
            del self[name]
        self.pairs = [*self.pairs, *new.pairs]
        self._lines = [*self._lines, *new._lines]

    def copy(self) -> OutgoingHeaders:
        """One more of the same, to be changed apart."""
        twin = OutgoingHeaders.__new__(OutgoingHeaders)
        twin.pairs, twin._lines = self.pairs, self._lines
        return twin

    def spelt(self) -> list[tuple[str, str]]:
        """All of them, names as they were given; the same list until a field changes: leave it as it is."""
        return self._lines

    def __setitem__(self, name: str, value: Any) -> None:
        self.update([(name, value)])

    def __delitem__(self, name: str) -> None:
        gone = self._key(name)
        self.pairs = [pair for pair in self.pairs if pair[0] != gone]
        self._lines = [line for line in self._lines if line[0].lower() != gone]

    def setdefault(self, name: str, value: Any = "") -> str:
        """A field, unless there is one of the name."""
        if name not in self:
            self.add(name, value)
        return self[name]


def _pairs(given: Any) -> list[tuple[str, Any]]:
    """Names and values, as a caller gives them."""
    try:
        return [
            (_text(name, ""), value)
            for name, value in (given.items() if isinstance(given, Mapping) else given)
        ]
    except (TypeError, ValueError):
        expected = "expected a mapping, or pairs of a name and a value"
        raise LocalProtocolError(f"headers: {expected}, not {type(given).__name__}") from None


def _text(value: Any, name: str) -> str:
    """A value or name as text; bytes are Latin-1, as they are sent."""
    if value is None:
        raise LocalProtocolError(f"the header {name[:80]} is None")
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)
