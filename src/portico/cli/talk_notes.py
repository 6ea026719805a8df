"""What a conversation says about itself, on stderr: stdout belongs to the peer."""

from __future__ import annotations

import hashlib
from json import dumps
from time import monotonic
from typing import Any, NamedTuple, Self

import click

from portico.address import Address
from portico.cli.manners import one_line
from portico.errors import PorticoError
from portico.sockets.stream import Stream
from portico.sockets.tls import TLSInfo

__all__ = ["Facts", "Notes"]


class Facts(NamedTuple):
    """Who talks with whom, and by what TLS."""

    peer: Address | None
    local: Address | None
    tls: TLSInfo | None = None

    @classmethod
    def of(cls, stream: Stream) -> Self:
        """Of a connected stream."""
        return cls(stream.peer, stream.local, stream.tls)

    @property
    def transport(self) -> str:
        """Such as ``tcp``."""
        known = self.local or self.peer
        return "" if known is None else known.transport


class Notes:
    """``verbose``: say what happens; ``json``: as one object a line."""

    def __init__(self, verbose: int, json: bool) -> None:
        self.verbose = bool(verbose)
        self._json = json

    def say(self, event: str, text: str, **facts: Any) -> None:
        """For those who asked for it."""
        if self.verbose:
            self.always(event, text, **facts)

    def always(self, event: str, text: str, **facts: Any) -> None:
        """For everybody."""
        if self._json:
            click.echo(dumps({"event": event, **facts}), err=True)
        else:
            click.echo(f"portico: {one_line(text)}", err=True)

    def failed(self, error: PorticoError) -> None:
        """One conversation of several went wrong."""
        self.always("failed", str(error), error=str(error))

    def connected(self, facts: Facts) -> None:
        """Who talks with whom, and by what TLS."""
        more = {} if facts.tls is None else {"tls": _tls_facts(facts.tls)}
        self.say("connected", f"connected to {facts.peer} (we are {facts.local})",
                 peer=str(facts.peer), local=str(facts.local), **more)  # fmt: skip
        if facts.tls is not None and not self._json:
            self.say("tls", _tls_text(facts.tls))

    def closed(self, sent: int, received: int, since: float) -> None:
        """How much went each way since (``time.monotonic``)."""
        seconds = round(monotonic() - since, 3)
        self.say("closed", f"closed: {sent} bytes sent, {received} received, in {seconds:g} s",
                 sent=sent, received=received, seconds=seconds)  # fmt: skip


def _tls_facts(tls: TLSInfo) -> dict[str, Any]:
    der = tls.peer_certificate_der
    return {
        "version": tls.version,
        "cipher": tls.cipher,
        "alpn": tls.alpn,
        "verified": bool(tls.peer_certificate),
        "name": tls.server_name,
        "fingerprint": None if der is None else hashlib.sha256(der).digest().hex(":").upper(),
    }


def _tls_text(tls: TLSInfo) -> str:
    facts = _tls_facts(tls)
    parts = [tls.version, tls.cipher]
    parts += [f"ALPN {tls.alpn}"] if tls.alpn else []
    if facts["fingerprint"]:
        verdict = f"verified as {tls.server_name}" if facts["verified"] else "NOT verified"
        parts.append(f"certificate {verdict}, SHA-256 {facts['fingerprint']}")
    return ", ".join(parts)
