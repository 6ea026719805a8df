"""What ``import portico`` offers, loaded when the first of these names is asked for: see ``portico``."""

from portico.address import Address
from portico.admission import Admission
from portico.client.session import Session
from portico.client.single import delete, get, head, options, patch, post, put, request
from portico.client.timeouts import Timeouts
from portico.client.url import URL
from portico.deadline import timeout
from portico.engines.door import sleep
from portico.engines.run import run
from portico.errors import PorticoError, Timeout
from portico.limits import Limits
from portico.server import Handler, Server, serve
from portico.sockets.datagram import Datagrams
from portico.sockets.datagram_port import Datagram
from portico.sockets.dial import connect
from portico.sockets.dial_datagrams import datagrams
from portico.sockets.listener import Listener, listen
from portico.sockets.stream import Stream, wait_any
from portico.sockets.tls import ClientTLS, ServerTLS
from portico.sync import TaskGroup
from portico.web.handlers import App, Refuse, Request, Response, Routes, Sessions
from portico.web.kinds import as_gateway
from portico.web.mounts import Mounts

__all__ = [
    "URL",
    "Address",
    "Admission",
    "App",
    "ClientTLS",
    "Datagram",
    "Datagrams",
    "Handler",
    "Limits",
    "Listener",
    "Mounts",
    "PorticoError",
    "Refuse",
    "Request",
    "Response",
    "Routes",
    "Server",
    "ServerTLS",
    "Session",
    "Sessions",
    "Stream",
    "TaskGroup",
    "Timeout",
    "Timeouts",
    "as_gateway",
    "connect",
    "datagrams",
    "delete",
    "get",
    "head",
    "listen",
    "options",
    "patch",
    "post",
    "put",
    "request",
    "run",
    "serve",
    "sleep",
    "timeout",
    "wait_any",
]
