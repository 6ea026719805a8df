"""Datagrams that claim to come from the socket that they reach.

UDP senders can be forged. A handler that answers such a one would answer itself, and that answer, and so on
for ever, with all the processor there is: one packet would be enough to stop a server.
"""

from __future__ import annotations

import socket
from ipaddress import ip_address

from portico.address import Address
from portico.sockets import groups

__all__ = ["Mirror"]

_EVERYWHERE = ("", "0.0.0.0", "::")
_KNOWN = 256  # hosts that are remembered, so that each is looked up once
_ANY_PORT = 9


class Mirror:
    """Tells them apart, for one bound socket. Costs a comparison for all but those with its own port.

    A group's socket gets no answers of its own: those go to single addresses.
    """

    __slots__ = ("_everywhere", "_host", "_known", "port")

    def __init__(self, sock: socket.socket) -> None:
        self.port = -1
        """A sender with another port is somebody else."""
        self._host = ""
        self._known: dict[str, bool] = {}
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            own = Address.of_socket("udp", sock.getsockname())
            self._host = own.host
            self.port = -1 if groups.is_group(own.host) else own.port or -1
        self._everywhere = self._host in _EVERYWHERE

    def shows(self, peer: Address) -> bool:
        """Whether a sender with our port is ourselves."""
        if not self._everywhere:
            return peer.host == self._host
        known = self._known.get(peer.host)
        if known is None:
            known = _is_here(peer.host)
            if len(self._known) < _KNOWN:
                self._known[peer.host] = known
        return known


def _is_here(host: str) -> bool:
    """Whether it is an address of this machine: to such a one the way begins at itself. Nothing is sent."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect((host, _ANY_PORT))
            here, there = sock.getsockname()[0], sock.getpeername()[0]
        except OSError:
            return False  # nor could it be answered
    return bool(here == there) or ip_address(there.partition("%")[0]).is_loopback
