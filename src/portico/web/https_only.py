"""A door in front of a gateway that sends clients who ask without TLS to the same place with it."""

from __future__ import annotations

from portico.http.exchange import Exchange, Gateway
from portico.http.messages import RequestHead
from portico.web.redirect import Redirect

__all__ = ["HTTPSOnly"]


class HTTPSOnly:
    """Lets requests through to ``gateway`` that came over TLS, here or at a trusted proxy; others get 308 to
    the same URL as https, at ``port``. Their methods and bodies are for the gateway there."""

    def __init__(self, gateway: Gateway, port: int = 443) -> None:
        self.name = gateway.name
        self.gateway = gateway
        self.strand: bool = getattr(gateway, "strand", False)
        self._redirect = Redirect("https://{host}" + ("" if port == 443 else f":{port}") + "{uri}", 308)

    def streams(self, request: RequestHead) -> bool:
        """As the gateway says."""
        return self.gateway.streams(request)

    def __call__(self, exchange: Exchange) -> None:
        """Let a request through, or send it elsewhere."""
        if exchange.scheme == "https":
            self.gateway(exchange)
        else:
            self._redirect(exchange)

    def __repr__(self) -> str:
        return f"<HTTPSOnly {self.gateway!r}>"
