"""The reverse proxy: a gateway to HTTP servers behind this one. ``from portico.web.proxy import Proxy``."""

from portico.web.proxy.deadlines import Deadlines
from portico.web.proxy.gateway import Proxy

__all__ = ["Deadlines", "Proxy"]
