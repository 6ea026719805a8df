"""Marks for mypyc, which compiles the modules that ``pyproject.toml`` names (``make fast``); elsewhere they
do nothing. ``allow_interpreted_subclasses``: classes that are not compiled inherit from this one.
``native_class=False``: it stays a class of Python's own, which can be pickled for a fresh interpreter."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

__all__ = ["mypyc_attr"]

T = TypeVar("T")

if TYPE_CHECKING:
    from mypy_extensions import mypyc_attr
else:

    def mypyc_attr(**_: object) -> Callable[[T], T]:
        return lambda each: each
