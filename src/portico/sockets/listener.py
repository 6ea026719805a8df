"""Accepting by hand: for programs that want one peer, or their own loop, instead of a ``Server``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

from portico.address import Address
from portico.deadline import check
from portico.engines import door
from portico.engines.contract import Listening
from portico.errors import StreamClosed
from portico.limits import Limits
from portico.sockets import listen as listening
from portico.sockets.stream import Stream, TLSSettings
from portico.sockets.transport import READ

__all__ = ["Listener", "listen"]


class Listener:
    """Something that listens at an address; made by ``listen``. A context manager that closes it.

    Iterating gives streams until it is closed. One thread may accept at a time.
    """

    def __init__(self, listeners: list[Listening], tls: TLSSettings | None = None) -> None:
        self._listeners = listeners
        self._tls = tls

    @property
    def addresses(self) -> list[Address]:
        """Where it listens, with the real ports."""
        return [listener.address for listener in self._listeners]

    def accept(self) -> Stream:
        """The next peer's stream; with TLS, after its handshake. The caller closes it.

        Raises ``Timeout``, ``StreamClosed`` after ``close()``, ``TLSError`` for a handshake that fails.
        """
        transport = None
        while transport is None:
            check(f"accepting on {self}")
            for listener in self._listeners:
                if listener.closed:
                    raise StreamClosed(f"{self} is closed")
                transport = listener.accept()
                if transport is not None:
                    break
            else:
                door.wait_any([(listener, READ) for listener in self._listeners], f"accepting on {self}")
        stream = Stream(transport)
        if self._tls is not None:
            try:
                stream.start_tls(self._tls)
            except BaseException:
                stream.abort()
                raise
        return stream

    def __iter__(self) -> Iterator[Stream]:
        while True:
            try:
                stream = self.accept()
            except StreamClosed:
                return
            yield stream

    def close(self) -> None:
        """Stop listening; from any thread, and twice. Who waits in ``accept`` gets ``StreamClosed``."""
        for listener in self._listeners:
            listener.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __str__(self) -> str:
        return ", ".join(map(str, self.addresses))

    def __repr__(self) -> str:
        state = "closed" if all(listener.closed for listener in self._listeners) else "listening"
        return f"<Listener {self}, {state}>"


def listen(
    address: Address | str | tuple[str, int] | os.PathLike[str],
    *,
    tls: TLSSettings | None = None,
    backlog: int = Limits().backlog,
) -> Listener:
    """Listen at an address (``tcp unix memory fd``, and with ``tls``, a ``ServerTLS``, ``tls``).

    Raises ``AddressError``, ``BindError``, ``ConfigError``.
    """
    where: Any = Address.parse(address)
    return Listener(listening.listen(where, backlog), tls)
