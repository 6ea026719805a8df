"""What a server serves: a handler to be loaded later, and all that can be exchanged while it serves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from portico.address import Address
from portico.admission import Admission
from portico.limits import Limits
from portico.sockets.proxy_protocol import ProxyProtocol
from portico.sockets.tls import ServerTLS

__all__ = ["Fresh", "Late"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fresh:
    """What a server serves, and what can be exchanged beside it while it serves; see ``Server`` for each."""

    handler: Any
    limits: Limits
    tls: ServerTLS | None = None
    admission: Admission | None = None
    access: Callable[..., None] | None = None
    forwarded: Any = None
    request_ids: Any = None
    proxy_protocol: ProxyProtocol | None = None
    addresses: Sequence[Address] | None = None
    """Where to listen from now on; ``None``: as before. Only with ``Server.relistens``."""
    exchange: Callable[[], object] = bool
    """Called when nothing can fail any more, and all this is about to be in force."""


class Late:
    """A handler that is still to be loaded: ``Server(Late(load), …, wire="http")``.

    ``load()`` is called once in the process that runs the handler: with ``workers`` and ``forks`` in each
    worker, so that a reload finds new code. It gives a handler, or all that is ``Fresh``. What it raises
    ends ``start()``.
    """

    def __init__(self, load: Callable[[], Any | Fresh]) -> None:
        self.load = load

    def __repr__(self) -> str:
        return f"Late({self.load!r})"
