"""Routes as a tree of segments: finding one costs a look-up a segment, however many there are."""

from __future__ import annotations

from bisect import insort
from typing import Any, NamedTuple, Protocol

from portico.errors import ConfigError
from portico.web.handlers.app import Bounds
from portico.web.handlers.pattern import Pattern, Segment, fits

__all__ = ["Asked", "Branch", "Endpoint", "Found", "Node"]


class Endpoint(NamedTuple):
    """What answers at the end of a path, for one method."""

    pattern: Pattern
    function: Any
    takes: frozenset[str] | None
    """The names of the parameters that the function takes; ``None``: all of them."""
    bounds: Bounds


class Asked:
    """What a request asks of routes beside its path. ``seen`` gets the methods of the places that fit, should
    the request's be none of them."""

    __slots__ = ("host", "method", "seen")

    def __init__(self, method: str, host: str = "") -> None:
        self.method = method
        self.host = host
        self.seen: set[str] = set()


class Branch(Protocol):
    """What answers everything below a path."""

    def find(self, parts: list[str], asked: Asked) -> Found | None: ...


class Found(NamedTuple):
    """Who answers: an ``Endpoint``, or a gateway. ``params`` of the way there; ``trail``: the branches that
    were entered on it, outermost first, each with how many segments lie before it."""

    answers: Any
    params: dict[str, Any]
    trail: tuple[tuple[int, Any], ...] = ()


class _Way(NamedTuple):
    """A child behind parameters."""

    rank: tuple[int, ...]
    shape: str
    segment: Segment
    node: Node


class Node:
    """Where some segments lead. Literal text is tried first, then parameters, the stricter before the laxer,
    then the rest of the path; at last what is mounted here."""

    __slots__ = ("_branch", "_ends", "_literal", "_rests", "_ways")

    def __init__(self) -> None:
        self._literal: dict[str, Node] = {}
        self._ways: list[_Way] = []
        self._rests: list[_Way] = []
        self._ends: dict[str, Endpoint] = {}
        self._branch: tuple[Pattern, Branch] | None = None

    def add(self, method: str, endpoint: Endpoint) -> None:
        """Raises ``ConfigError`` where the place is taken."""
        ends = self._at(endpoint.pattern)._ends
        if method in ends:
            raise ConfigError(
                f"two handlers for {method} {endpoint.pattern.text}"
                + (
                    ""
                    if ends[method].pattern.text == endpoint.pattern.text
                    else f" ({ends[method].pattern.text})"
                )
            )
        ends[method] = endpoint

    def graft(self, pattern: Pattern, branch: Branch) -> None:
        """Let a branch answer everything below a path. Raises ``ConfigError`` where there is one."""
        node = self._at(pattern)
        if node._branch is not None:
            raise ConfigError(f"two things are mounted at {pattern.text or '/'}")
        node._branch = pattern, branch

    def find(self, parts: list[str], asked: Asked) -> Found | None:
        """Who answers a path, given by its decoded segments."""
        return self._find(parts, 0, (), asked)

    def _at(self, pattern: Pattern) -> Node:
        node = self
        for segment in pattern.segments:
            node = node._child(segment)
        return node

    def _child(self, segment: str | Segment) -> Node:
        if isinstance(segment, str):
            return self._literal.setdefault(segment, Node())
        ways = self._rests if segment.rest else self._ways
        for way in ways:
            if way.shape == segment.shape:
                return way.node
        way = _Way(segment.rank, segment.shape, segment, Node())
        insort(ways, way, key=lambda each: each.rank)
        return way.node

    def _find(self, parts: list[str], at: int, values: tuple[Any, ...], asked: Asked) -> Found | None:
        if at == len(parts):
            return self._end(values, asked) or self._below(parts, at, values, asked)
        part = parts[at]
        child = self._literal.get(part)
        found = None if child is None else child._find(parts, at + 1, values, asked)
        if found is None and part and (self._ways or self._rests):
            found = self._by_value(parts, at, values, asked)
        return found or self._below(parts, at, values, asked)

    def _by_value(self, parts: list[str], at: int, values: tuple[Any, ...], asked: Asked) -> Found | None:
        for way in self._ways:
            read = way.segment.read(parts[at])
            if read is not None:
                found = way.node._find(parts, at + 1, (*values, *read), asked)
                if found is not None:
                    return found
        return self._by_rest(parts[at:], values, asked) if self._rests else None

    def _by_rest(self, rest: list[str], values: tuple[Any, ...], asked: Asked) -> Found | None:
        named = rest[:-1] if len(rest) > 1 and not rest[-1] else rest
        # A slash that was encoded would look like one between segments.
        if not fits(named) or any("/" in part for part in rest):
            return None
        return self._rests[0].node._end((*values, "/".join(rest)), asked)

    def _end(self, values: tuple[Any, ...], asked: Asked) -> Found | None:
        endpoint = self._ends.get(asked.method) or (self._ends.get("GET") if asked.method == "HEAD" else None)
        if endpoint is None:
            asked.seen.update(self._ends)
            return None
        return Found(endpoint, _named(endpoint.pattern, values))

    def _below(self, parts: list[str], at: int, values: tuple[Any, ...], asked: Asked) -> Found | None:
        if self._branch is None:
            return None
        pattern, branch = self._branch
        found = branch.find(parts[at:], asked)
        if found is None:
            return None
        trail = tuple((at + before, one) for before, one in found.trail)
        return Found(found.answers, _named(pattern, values) | found.params, ((at, branch), *trail))


def _named(pattern: Pattern, values: tuple[Any, ...]) -> dict[str, Any]:
    return dict(zip(pattern.names, values, strict=True))
