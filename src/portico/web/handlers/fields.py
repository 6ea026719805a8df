"""The names and values of a query, as request handlers get them."""

from __future__ import annotations

from portico.http.field_map import Fields
from portico.web.handlers.refusal import Refuse

__all__ = ["Query"]


class _Missing(Refuse, KeyError):
    """What a client left out; for ``get`` and ``in`` a name that is not there, as in any mapping."""


class Query(Fields):
    """The names and values of a query. One that is missing is a mistake of the client's: 400, if let pass."""

    __slots__ = ()

    def __getitem__(self, name: str) -> str:
        try:
            return super().__getitem__(name)
        except KeyError:
            raise _Missing(400, f"The query has no {name!r}.") from None
