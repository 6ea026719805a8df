"""What is in a folder, in order, as JSON for programs; ``listing_page`` shows it to people.

A name goes out twice: as text (what is not UTF-8 is shown as U+FFFD) and, exact to the byte, as a
percent-encoded link, so that every file that is listed can also be fetched.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from urllib.parse import quote

__all__ = ["BY_NAME", "Entry", "Order", "moment", "ordered", "prefers_json", "render_json", "shown"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Order(NamedTuple):
    """How a listing is sorted: by ``name``, ``size`` or ``time``."""

    key: str = "name"
    descending: bool = False

    @classmethod
    def of(cls, query: str) -> Order:
        """What ``sort=size&order=desc`` says; what it does not say, or nobody knows, is as always."""
        told = dict(item.partition("=")[::2] for item in query.split("&"))
        key = told.get("sort", "")
        return cls(key if key in _KEYS else "name", told.get("order") == "desc")


_INVISIBLE = dict.fromkeys(
    [*range(0x20), *range(0x7F, 0xA0), 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)],
    "\N{REPLACEMENT CHARACTER}",
)
"""Control characters; those for the direction of text can make ``exe.pdf`` of what ends in ``fdp.exe``."""


def shown(name: bytes) -> str:
    """A name for people: what is not UTF-8, or would not be seen, as U+FFFD."""
    return name.decode("utf-8", "replace").translate(_INVISIBLE)


class Entry(NamedTuple):
    """One line of a listing. ``size`` in bytes; ``modified`` in POSIX seconds."""

    name: bytes
    folder: bool
    size: int
    modified: int

    @property
    def href(self) -> str:
        """A link relative to the folder; ``:`` is encoded, lest a name be read as a scheme."""
        return quote(self.name, safe="") + ("/" if self.folder else "")

    @property
    def text(self) -> str:
        """The name for people."""
        return shown(self.name) + ("/" if self.folder else "")


BY_NAME = Order()


def prefers_json(accept: str | None) -> bool:
    """Whether an Accept header names ``application/json`` and does not like HTML better."""
    weights = dict(_weights(accept or ""))
    wanted = weights.get("application/json", 0.0)
    return wanted > 0 and wanted >= weights.get("text/html", 0.0)


def render_json(entries: Iterable[Entry], order: Order = BY_NAME) -> bytes:
    """A list of objects: name, href, type (``directory`` or ``file``), size, mtime (ISO 8601)."""
    listed = [
        {
            "name": entry.name.decode("utf-8", "replace"),
            "href": entry.href,
            "type": "directory" if entry.folder else "file",
            "size": None if entry.folder else entry.size,
            "mtime": f"{moment(entry.modified):%Y-%m-%dT%H:%M:%SZ}",
        }
        for entry in ordered(entries, order)
    ]
    return json.dumps(listed, ensure_ascii=False, indent=1).encode() + b"\n"


def ordered(entries: Iterable[Entry], order: Order) -> list[Entry]:
    """Sorted by name without regard to case, then as ``order`` says; folders, which have no size, first,
    but for the question what is new."""
    listed = sorted(entries, key=lambda entry: (entry.name.lower(), entry.name))
    listed.sort(key=_KEYS[order.key], reverse=order.descending)
    if order.key != "time":
        listed.sort(key=lambda entry: not entry.folder)
    return listed


_KEYS: dict[str, Callable[[Entry], Any]] = {
    "name": lambda entry: (entry.name.lower(), entry.name),
    "size": lambda entry: 0 if entry.folder else entry.size,
    "time": lambda entry: entry.modified,
}


def moment(seconds: int) -> datetime:
    """A time that a page can show: file systems know years that calendars do not."""
    return _EPOCH + timedelta(seconds=max(-62135596800, min(seconds, 253402300799)))


def _weights(accept: str) -> Iterable[tuple[str, float]]:
    for item in accept.split(","):
        kind, *parameters = (part.strip().lower() for part in item.split(";"))
        weight = [parameter[2:] for parameter in parameters if parameter.startswith("q=")]
        yield kind, _quality(weight[0]) if weight else 1.0


def _quality(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        return 0.0
    return value if 0.0 <= value <= 1.0 else 0.0
