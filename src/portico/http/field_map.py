"""Names with one or more values each: header fields, a query, a form's texts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from portico.errors import LocalProtocolError

__all__ = ["Fields", "Headers", "OutgoingHeaders"]

Pairs = Iterable[tuple[str, str]]

_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


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


class OutgoingHeaders(Headers):
    """Header fields to be sent: ``[name] = value`` replaces, ``add`` keeps what is there.

    Raises ``LocalProtocolError`` for a name or value that cannot be sent, line ends above all.
    """

    __slots__ = ("_spelt",)

    def __init__(self, pairs: Pairs = ()) -> None:
        super().__init__()
        self._spelt: dict[str, str] = {}
        for name, value in pairs:
            self.add(name, value)

    def add(self, name: str, value: str) -> None:
        """One more field, whether or not there is one of the name."""
        if not _NAME.fullmatch(name):
            raise LocalProtocolError(f"not a header name: {name[:80]!r}")
        if not _VALUE.fullmatch(value):
            raise LocalProtocolError(f"the header {name} cannot have the value {value!r:.100}")
        lower = name.lower()
        self._spelt[lower] = name
        self.pairs.append((lower, value))

    def update(self, more: Mapping[str, str] | Pairs) -> None:
        """Replace the fields of the names in ``more``, which may give several of one name."""
        pairs = list(more.items() if isinstance(more, Mapping) else more)
        for name in {name.lower() for name, _ in pairs}:
            del self[name]
        for name, value in pairs:
            self.add(name, value)

    def copy(self) -> OutgoingHeaders:
        """One more of the same, to be changed apart."""
        twin = OutgoingHeaders()
        twin.pairs, twin._spelt = list(self.pairs), dict(self._spelt)
        return twin

    def spelt(self) -> list[tuple[str, str]]:
        """All of them, names as they were given."""
        return [(self._spelt[name], value) for name, value in self.pairs]

    def __setitem__(self, name: str, value: str) -> None:
        kept = [pair for pair in self.pairs if pair[0] != self._key(name)]
        self.add(name, value)
        self.pairs = [*kept, self.pairs[-1]]

    def __delitem__(self, name: str) -> None:
        self.pairs = [pair for pair in self.pairs if pair[0] != self._key(name)]

    def setdefault(self, name: str, value: str) -> None:
        """A field, unless there is one of the name."""
        if name not in self:
            self.add(name, value)
