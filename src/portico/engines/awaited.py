"""Connections whose code is a coroutine.

A module of its own, because it must not be compiled: mypyc gives an abstract class the cache of
``isinstance`` of the one that it inherits from, and then every connection would be one of these.
"""

from __future__ import annotations

from abc import abstractmethod

from portico.engines.contract import Connection

__all__ = ["Awaited"]


class Awaited(Connection):
    """One whose code is a coroutine: the engine runs ``converse()`` on its asyncio loop, not ``run()``."""

    __slots__ = ()

    @abstractmethod
    async def converse(self) -> None:
        """The user's code."""

    @abstractmethod
    def ended(self, error: BaseException | None) -> None:
        """It has ended, by ``error`` if there was one; ``Cancelled``: it was called off."""
