"""``[[mount]]``: what answers where. The key that names what is served tells the kind."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from portico.web.config.mount import MountSettings
from portico.web.config.mount_kinds import (
    AnyProgram,
    AppMount,
    CGIMount,
    Handler,
    ProxyMount,
    RedirectMount,
    RespondMount,
    StaticMount,
    WSGIMount,
)
from portico.web.config.problems import suggestion
from portico.web.config.reading import Place, Wrong, keys_of, read_table, spelt

__all__ = ["KINDS", "mount"]

KINDS: dict[str, type[MountSettings]] = {
    each.mark: each
    for each in (
        StaticMount,
        CGIMount,
        WSGIMount,
        AppMount,
        AnyProgram,
        Handler,
        RedirectMount,
        RespondMount,
        ProxyMount,
    )
}
"""Kinds of mounts, by the key that marks them."""


def mount(value: Any, place: Place) -> Any:
    """A ``[[mount]]``: its kind is told by the one key that names what is served."""
    if not isinstance(value, Mapping):
        raise Wrong(f"expected a table, not {spelt(value)}")
    marks = [mark for mark in KINDS if mark in value]
    if not marks:
        known = {name for kind in KINDS.values() for name in keys_of(kind)}
        for name in value:
            if name not in known:
                place.below(name).wrong(f"unknown key; {suggestion(name, known)}")
        raise Wrong(f"nothing says what is served: give one of {', '.join(KINDS)}")
    if len(marks) > 1:
        raise Wrong(f"{' and '.join(marks)} in one mount: it can be only one of them")
    return read_table(KINDS[marks[0]], value, place, partial(_unknown, KINDS[marks[0]]))


def _unknown(kind: type[MountSettings], name: str) -> str:
    others = [each.mark for each in KINDS.values() if name in keys_of(each)]
    if others:
        return f"belongs to mounts of the kind {' or '.join(others)}, and this one is {kind.mark}"
    return f"unknown key; {suggestion(name, keys_of(kind))}"
