"""Engines: how many connections are served at once, and by what.

``engine("threads:8")`` makes one from its written form, which is what ``serve(engine=…)`` takes.
"""

from __future__ import annotations

from collections.abc import Callable

from portico.engines.contract import Engine
from portico.engines.inline import Inline
from portico.engines.threads import Threads
from portico.errors import ConfigError

__all__ = ["ENGINES", "Engine", "Inline", "Threads", "make_engine"]

ENGINES: dict[str, Callable[[int | None], Engine]] = {
    "inline": lambda size: _without_size("inline", size, Inline),
    "threads": Threads,
}


def make_engine(engine: str | Engine) -> Engine:
    """An engine from ``inline``, ``threads`` or ``threads:N``. Raises ``ConfigError``."""
    if isinstance(engine, Engine):
        return engine
    name, colon, text = engine.partition(":")
    if name not in ENGINES:
        raise ConfigError(f"no engine is called {name!r}; there are: {', '.join(ENGINES)}")
    if colon and not (text.isascii() and text.isdigit() and int(text)):
        raise ConfigError(f"engine {engine!r}: expected a number above zero after the colon, as in {name}:8")
    return ENGINES[name](int(text) if colon else None)


def _without_size(name: str, size: int | None, make: Callable[[], Engine]) -> Engine:
    if size is not None:
        raise ConfigError(f"engine {name} takes no number")
    return make()
