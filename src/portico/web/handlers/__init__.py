"""Request handlers: a plain function of a request, and what surrounds it."""

from portico.http.field_map import Fields, Headers
from portico.web.handlers.app import App, streaming
from portico.web.handlers.cookies import Cookie
from portico.web.handlers.events import Event
from portico.web.handlers.refusal import Refuse
from portico.web.handlers.request import Request
from portico.web.handlers.response import Response
from portico.web.handlers.routes import Routes
from portico.web.handlers.sessions import Session, Sessions
from portico.web.handlers.signing import BadSignature, Signer

__all__ = [
    "App",
    "BadSignature",
    "Cookie",
    "Event",
    "Fields",
    "Headers",
    "Refuse",
    "Request",
    "Response",
    "Routes",
    "Session",
    "Sessions",
    "Signer",
    "streaming",
]
