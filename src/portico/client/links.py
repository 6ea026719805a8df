"""Where an answer leads beside its body: the ``Link`` field (RFC 8288), as APIs page by it.

::

    url = "https://api.example.org/items"
    while url:
        answer = session.get(url)
        url = answer.links.get("next", {}).get("url")
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TypeAlias

from portico.client.url import URL
from portico.errors import AddressError

__all__ = ["Links", "links_of"]

Links: TypeAlias = dict[str, dict[str, str]]

_TARGET = re.compile(r"[\s,]*<([^<>]*)>")
_PARAMETER = re.compile(
    r"""\s*;\s*([!#$%&'*+.^_`|~0-9A-Za-z-]+)\s*(?:=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;,"]*)))?"""
)
_ESCAPED = re.compile(r"\\(.)")


def links_of(values: Iterable[str], base: URL) -> Links:
    """By relation in lower case (or by URL where a link has none), the first link of each: its ``"url"``,
    absolute, and its parameters.

    ``values``: of all ``Link`` fields; ``base``: what relative ones are relative to. What cannot be read ends
    its field, a URL that cannot be is left out.
    """
    found: Links = {}
    for value in values:
        for target, parameters in _of_field(value):
            try:
                url = str(base.join(target))
            except AddressError:
                continue
            for relation in parameters.get("rel", "").lower().split() or [url]:
                found.setdefault(relation, {**parameters, "url": url})
    return found


def _of_field(value: str) -> Iterator[tuple[str, dict[str, str]]]:
    at = 0
    while target := _TARGET.match(value, at):
        at, parameters = target.end(), dict[str, str]()
        while parameter := _PARAMETER.match(value, at):
            name, quoted, token = parameter.groups()
            text = token or "" if quoted is None else _ESCAPED.sub(r"\1", quoted)
            parameters.setdefault(name.lower(), text)  # of several, the first counts (3.3)
            at = parameter.end()
        yield target[1], parameters
