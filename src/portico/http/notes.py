"""What is known of an exchange beyond its two messages, for those who want to know more than most."""

from __future__ import annotations

from portico.address import Address

__all__ = ["Notes"]


class Notes:
    """Made only where something is to be noted: an exchange without notes pays nothing for them.

    ``peer``, ``scheme``, ``host``: who asks and for what, as a trusted proxy told it; ``None``: as it looks.
    ``trusted``: whether the other end of the connection is such a proxy. ``request_id``: what the request is
    called. ``upstream``: who answered it for us, ``upstream_seconds``: how long the head of that took.
    """

    __slots__ = (
        "host",
        "peer",
        "request_id",
        "scheme",
        "trusted",
        "upstream",
        "upstream_seconds",
    )

    def __init__(self) -> None:
        self.peer: Address | None = None
        self.scheme: str | None = None
        self.host: str | None = None
        self.trusted = False
        self.request_id = ""
        self.upstream = ""
        self.upstream_seconds: float | None = None
