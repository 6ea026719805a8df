"""Compresses the answers of any gateway, for clients that accept it.

``Compress(gateway)`` is a gateway itself: mount it in the place of the other.

An attacker who can make somebody's browser send requests, and who sees the length of the answers, can
guess a secret in a page that also repeats what the request says (BREACH), because what is guessed right
compresses better. So nothing is compressed unless it is asked for; leave out pages that hold secrets of
that kind, or let their program say ``Cache-Control: no-transform``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from portico.web.codings import LEAST, check_codings, choose, installed
from portico.web.compressing import Compressing
from portico.web.kinds import as_gateway

if TYPE_CHECKING:
    from portico.http.exchange import Exchange
    from portico.http.messages import RequestHead

__all__ = ["Compress"]


class Compress:
    """Puts what ``handler`` (a gateway or a WSGI application) answers into a content coding.

    ``codings`` are those to choose from, best first; without, all that are installed (zstd, br, gzip).
    Content of ``least`` bytes or more is compressed; where its length is not known, all of it.

    Left alone are: what is no text (by its media type), what has a Content-Encoding, a Content-Range or a
    digest, and what says ``Cache-Control: no-transform``. What is compressed has no Content-Length, unless
    it was answered in one piece; its entity tag becomes weak, so that ``If-Match`` with it fails. Whatever
    could have been compressed says ``Vary: Accept-Encoding``. Each ``write`` can be read at once by the
    client: streams of events are not held back. Raises ``ConfigError``.
    """

    def __init__(self, handler: Any, *, codings: Sequence[str] | None = None, least: int = LEAST) -> None:
        self.gateway = as_gateway(handler)
        self.name = self.gateway.name
        self.blocks = bool(getattr(self.gateway, "blocks", False))
        self._codings = installed() if codings is None else check_codings(codings)
        self._least = least

    def __repr__(self) -> str:
        return f"<Compress {self.name}>"

    def streams(self, request: RequestHead) -> bool:
        """As the gateway says."""
        return self.gateway.streams(request)

    def __call__(self, exchange: Exchange) -> None:
        """Let the gateway answer, in other words."""
        coding = choose(exchange.header("accept-encoding"), self._codings) or ""
        inner = Compressing(exchange, coding, self._least)
        self.gateway(cast("Exchange", inner))
        inner.complete()
