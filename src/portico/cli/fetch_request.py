"""From the words of a command line to a request: method, URL, header fields, query, body."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from portico.cli.fetch_body import body_of
from portico.cli.fetch_items import Item, parse_item
from portico.cli.typed_url import full_url

__all__ = ["Wanted", "read_words", "wanted"]

_METHOD = re.compile(r"[A-Za-z]+(?:-[A-Za-z]+)*")
_JSON_WANTED = ("Accept", "application/json, */*;q=0.5")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a session is asked for. ``headers``: as given, ``None`` takes one away; ``own``: ours, where there
    is none of the name; ``bare``: the URL is all."""

    method: str
    url: str
    headers: list[tuple[str, str | None]]
    own: list[tuple[str, str]]
    params: list[tuple[str, str]]
    body: Any
    bare: bool

    @property
    def scheme(self) -> str:
        """Of the URL, in lower case."""
        return self.url.partition(":")[0].lower()

    def fields(self, kept: Sequence[tuple[str, str]] = ()) -> list[tuple[str, str | None]]:
        """The header fields to be sent, with those ``kept`` of earlier requests: of a name, the caller's come
        first, ours last."""
        found = list(self.headers)
        for more in (kept, self.own):
            names = {name.lower() for name, _ in found}
            found += [field for field in more if field[0].lower() not in names]
        return found


def wanted(words: Sequence[str], options: dict[str, Any]) -> Wanted:
    """The request that a command line asks for. Raises ``ConfigError``."""
    method, url, texts = read_words(words)
    items = [parse_item(text) for text in texts]
    body, kind = body_of(items, options)
    own = [] if kind is None else [("Content-Type", kind)]
    if kind is not None and not options["form"] and not kind.startswith("multipart/"):
        own.append(_JSON_WANTED)
    return Wanted(
        method or ("GET" if body is None else "POST"),
        full_url(url, options["default_scheme"]),
        [_header(item) for item in items if item.kind in (":", ";")],
        own,
        [(item.name, item.read()) for item in items if item.kind == "=="],
        body,
        method in (None, "GET") and not items and body is None,
    )


def read_words(words: Sequence[str]) -> tuple[str | None, str, Sequence[str]]:
    """Method, if there is one, URL, and items: ``[METHOD] URL [ITEM…]``.

    A word of letters with something after it is a method, unless it is ``localhost``.
    """
    first, *others = words
    if others and _METHOD.fullmatch(first) and first.lower() != "localhost":
        return first.upper(), others[0], others[1:]
    return None, first, others


def _header(item: Item) -> tuple[str, str | None]:
    if item.kind == ";":
        return item.name, ""
    value = item.read().strip().encode("utf-8", "surrogateescape").decode("latin-1")
    return item.name, value or None
