"""Marks for mypyc, which compiles the modules that ``pyproject.toml`` names (``make fast``); elsewhere they
do nothing. ``allow_interpreted_subclasses``: classes that are not compiled inherit from this one."""

from __future__ import annotations

from typing import TYPE_CHECKING

__all__ = ["mypyc_attr"]

if TYPE_CHECKING:
    from mypy_extensions import mypyc_attr
else:

    def mypyc_attr(**_):  # noqa: ANN003, ANN202
        return lambda each: each
