"""What a server wants to be proved: the challenges of a 401 or 407 (RFC 9110, 11.6.1)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

__all__ = ["Challenge", "parse_challenges", "parse_parameters"]

_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_SCHEME = re.compile(rf"[\s,]*({_TOKEN})(?:[ \t]+|(?=,|$))")
_QUOTED = r'"((?:[^"\\]|\\.)*)"'
# Before it, elements of the list that are empty (RFC 9110, 5.6.1.2).
_PARAMETER = re.compile(rf"[ \t,]*({_TOKEN})[ \t]*=[ \t]*(?:{_QUOTED}|({_TOKEN}))[ \t]*(?:,|$)", re.DOTALL)
_TOKEN68 = re.compile(r"([A-Za-z0-9\-._~+/]+=*)[ \t]*(?:,|$)")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_LONGEST = 8192
"""Characters of one field that are looked at."""


class Challenge(NamedTuple):
    """A scheme, in lower case, and its parameters, names in lower case."""

    scheme: str
    parameters: dict[str, str]

    @property
    def stale(self) -> bool:
        """Whether only the nonce was wrong, and not the password (RFC 7616, 3.3)."""
        return self.parameters.get("stale", "").lower() == "true"


def parse_challenges(values: Iterable[str]) -> list[Challenge]:
    """The challenges of all fields, in order. What cannot be read ends its field; what came before counts."""
    found: list[Challenge] = []
    for value in values:
        found += _of_field(value[:_LONGEST])
    return found


def parse_parameters(value: str) -> dict[str, str]:
    """Parameters alone, as ``Authentication-Info`` has them."""
    return _parameters(value, 0)[0]


def _of_field(value: str) -> list[Challenge]:
    found: list[Challenge] = []
    at = 0
    while match := _SCHEME.match(value, at):
        scheme = match[1].lower()
        parameters, at = _parameters(value, match.end())
        if not parameters and (token := _TOKEN68.match(value, at)):
            parameters, at = {"": token[1]}, token.end()
        found.append(Challenge(scheme, parameters))
    return found


def _parameters(value: str, at: int) -> tuple[dict[str, str], int]:
    found: dict[str, str] = {}
    while match := _PARAMETER.match(value, at):
        name, quoted, token = match.groups()
        found.setdefault(name.lower(), token if quoted is None else _ESCAPE.sub(r"\1", quoted))
        at = match.end()
    return found, at
