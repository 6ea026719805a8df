"""What is done about a record that is wrong, while the others are read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from portico.errors import ConfigError, DataError

__all__ = ["Errors", "Told", "told_of"]

Errors = Literal["raise"] | list[DataError] | Callable[[DataError], object]
"""It is raised, or collected in a list, or told to a function."""
Told = Callable[[DataError], object] | None
"""The function that is told; ``None``: it is raised."""


def told_of(on_error: Errors) -> Told:
    """The function that is told of errors. Raises ``ConfigError`` for what is none."""
    if on_error == "raise":
        return None
    if isinstance(on_error, list):
        return on_error.append
    if not callable(on_error):
        raise ConfigError(f"on_error={on_error!r}: expected 'raise', a list or a function")
    return on_error
