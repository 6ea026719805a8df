"""Which options a format's reader or writer has: what ``read`` and ``write`` say of one that it has not."""

from __future__ import annotations

from collections.abc import Callable, Collection
from inspect import Parameter, signature, unwrap
from typing import Any, get_args, get_type_hints

__all__ = ["check_options"]

_BY_NAME = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)


def check_options(
    given: Collection[str], function: Callable[..., Any], taken: int, whose: str, more: Collection[str] = ()
) -> None:
    """Raise ``TypeError`` for options that a function does not have, whose first parameters are ``taken``.
    ``whose``: what the error begins with; ``more``: what else can be passed. A function made by ``wraps`` has
    those of what it wraps; one that takes any, and does not tell which, is not looked at."""
    known = _options_of(function, taken) if given else None
    if known is None:
        return
    for name in given:
        if name not in known:
            has = ", ".join(sorted({*known, *more})) or "none"
            raise TypeError(f"{whose} has no option {name!r} (it has {has})")


def _options_of(function: Callable[..., Any], taken: int) -> frozenset[str] | None:
    function = unwrap(function)
    names: set[str] = set()
    for at, each in enumerate(signature(function).parameters.values()):
        if each.kind is Parameter.VAR_KEYWORD:
            named = _unpacked(function, each.name)
            if named is None:
                return None
            names |= named
        elif each.kind in _BY_NAME and at >= taken:
            names.add(each.name)
    return frozenset(names)


def _unpacked(function: Callable[..., Any], name: str) -> set[str] | None:
    """Those of the ``TypedDict`` in ``**options: Unpack[…]``."""
    try:
        (kind,) = get_args(get_type_hints(function)[name])
        return set(kind.__annotations__)
    except Exception:  # noqa: BLE001  (hints are anybody's, and may name what is not there)
        return None
