"""What is wrong with a configuration: all of it at once, each with its line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from portico.errors import ConfigError

__all__ = ["Problem", "Problems", "suggestion"]


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One mistake. ``line``: counted from 1, 0 where none can be named; ``key``: as in ``mount[2].path``."""

    line: int
    key: str
    message: str

    def __str__(self) -> str:
        return f"{self.key}: {self.message}" if self.key else self.message

    def placed(self, file: str) -> str:
        """With its place in front, as compilers and editors have it."""
        return f"{file}:{self.line}: {self}" if self.line else f"{file}: {self}"


class Problems(ConfigError):
    """A file that cannot be used. ``problems``: in the order of their lines."""

    def __init__(self, file: str, problems: Iterable[Problem]) -> None:
        self.file = file
        self.problems: Sequence[Problem] = sorted(set(problems))
        super().__init__("; ".join(problem.placed(file) for problem in self.problems))

    def __reduce__(self) -> tuple[object, ...]:
        return Problems, (self.file, self.problems)


def suggestion(name: str, known: Iterable[str]) -> str:
    """What may have been meant, to be said after what is unknown."""
    names = sorted(known)
    near = get_close_matches(name, names, n=1)
    return f"did you mean {near[0]}?" if near else f"there are: {', '.join(names)}"
