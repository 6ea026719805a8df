"""Paths into JSON documents: those of RFC 9535 that take a name, an index, or each."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from portico.errors import ConfigError

__all__ = ["EACH", "Step", "path_text", "steps_of"]

Step = str | int | None
"""A name in an object, an index in an array, or ``EACH``."""

EACH = None

_PLAIN = re.compile(r"[^\W\d][\w-]*")
_STEP = re.compile(
    r"""\.?\[\s*(?:(?P<each>\*)|(?P<index>0|[1-9][0-9]*)
        |"(?P<double>(?:[^"\\]|\\.)*)"|'(?P<single>(?:[^'\\]|\\.)*)')\s*\]
        |\.(?:(?P<all>\*)|(?P<name>[^\W\d][\w-]*))""",
    re.VERBOSE,
)


def steps_of(path: str) -> tuple[Step, ...]:
    """The steps of ``$.items[*].price``, of which ``$`` and the dot after it may be left out.

    ``.name``, ``["any name"]``, ``[3]``; ``[*]`` and ``.*`` are the same: each element of an array, each
    value of an object (RFC 9535, 2.3.2). Raises ``ConfigError`` for anything else.
    """
    rest = path.strip().removeprefix("$")
    if rest and rest[0] not in ".[":
        rest = f".{rest}"
    steps: list[Step] = []
    at = 0
    while at < len(rest):
        found = _STEP.match(rest, at)
        if found is None:
            wrong = rest[at : at + 20] if rest[at:] in path else rest[1:20]  # without the dot that was added
            raise ConfigError(f'path {path!r}: {wrong!r} is none of .name, ["name"], [3], [*] and .*')
        steps.append(_step(found, path))
        at = found.end()
    return tuple(steps)


def _step(found: re.Match[str], path: str) -> Step:
    if found["name"] is not None:
        return found["name"]
    if found["index"] is not None:
        return int(found["index"][:18])
    text = found["double"]
    if found["single"] is not None:
        text = re.sub(r'\\(\')|(")', lambda one: one[1] or '\\"', found["single"])
    if text is None:
        return EACH
    try:
        return str(json.loads(f'"{text}"'))
    except ValueError:
        raise ConfigError(f"path {path!r}: {text!r} is no string of JSON") from None


def path_text(steps: Iterable[Step]) -> str:
    """A path in writing: ``$.items[3]["a b"]``."""
    return "$" + "".join(map(_written, steps))


def _written(step: Step) -> str:
    if step is EACH:
        return "[*]"
    if isinstance(step, int):
        return f"[{step}]"
    return f".{step}" if _PLAIN.fullmatch(step) else f"[{json.dumps(step, ensure_ascii=False)}]"
