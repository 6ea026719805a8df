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


def _events(size: int | None) -> Engine:
    from portico.engines.events import Events  # greenlets are loaded where they are used

    return Events(size)


def _forks(size: int | None) -> Engine:
    from portico.engines.workers import Forks

    return Forks(size)


def _workers(size: int | None, inner: str = "threads") -> Engine:
    from portico.engines.workers import Workers

    return Workers(size, inner)


def _without_size(name: str, size: int | None, make: Callable[[], Engine]) -> Engine:
    if size is not None:
        raise ConfigError(f"engine {name} takes no number")
    return make()


ENGINES: dict[str, Callable[[int | None], Engine]] = {
    "inline": lambda size: _without_size("inline", size, Inline),
    "threads": Threads,
    "events": _events,
    "forks": _forks,
    "workers": _workers,
}


def make_engine(engine: str | Engine) -> Engine:
    """An engine from ``inline``, ``threads[:N]``, ``events[:N]``, ``forks[:N]``, ``workers[:N][/ENGINE]``.

    Raises ``ConfigError``.
    """
    if isinstance(engine, Engine):
        return engine
    if not isinstance(engine, str):
        raise ConfigError(f"engine {engine!r}: expected a text such as threads:8, or an Engine")
    outer, slash, inner = engine.partition("/")
    name, colon, text = outer.partition(":")
    if name not in ENGINES:
        raise ConfigError(f"no engine is called {name!r}; there are: {', '.join(ENGINES)}")
    if slash and name != "workers":
        raise ConfigError(f"engine {engine!r}: only workers have an engine inside, as in workers:4/{name}")
    if colon and not (text.isascii() and text.isdigit() and int(text)):
        raise ConfigError(f"engine {engine!r}: expected a number above zero after the colon, as in {name}:8")
    size = int(text) if colon else None
    return _workers(size, inner) if slash else ENGINES[name](size)
