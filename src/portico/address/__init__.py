"""Where something is: one value for every endpoint, whatever it is reached through.

``Address.parse`` reads URLs, ``(host, port)`` tuples and paths. Nothing here opens a socket or asks a
name server: host names stay names until ``portico.sockets.names`` looks them up.
"""

from portico.address.hosts import canonical_host, is_literal
from portico.address.services import port_services, service_port
from portico.address.value import Address

__all__ = ["Address", "canonical_host", "is_literal", "port_services", "service_port"]
