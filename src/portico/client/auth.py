"""Proving who asks: Basic, Bearer, Digest, or a function of one's own.

Credentials go to the origin they are given for, and never along with a redirect to another one.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable
from inspect import iscoroutinefunction
from typing import Any, Protocol

from portico.client.digest import Digest
from portico.client.logins import check_basic
from portico.client.request import Request
from portico.client.response import Response
from portico.errors import ConfigError

__all__ = ["Auth", "Basic", "Bearer", "Digest", "as_auth"]

_TOKEN = re.compile(r"[!-~]+")  # more than RFC 6750 has, for what others call tokens


class Auth(Protocol):
    """How a request proves who asks."""

    def begin(self, request: Request) -> Request | None:
        """Put into ``request``, a copy of our own, what can be told before anybody asks; what is returned,
        unless it is ``None``, is sent instead."""
        ...

    def again(self, request: Request, response: Response) -> Request | None:
        """What to send after ``response`` to ``request``; ``None``: it is the answer."""
        ...


class Basic:
    """User and password as they are (RFC 7617), as UTF-8: for https, or one's own network. Raises
    ``ConfigError`` for what it cannot carry."""

    def __init__(self, user: str, password: str) -> None:
        check_basic("Basic", user, password)
        self.user = user
        self.value = "Basic " + b64encode(f"{user}:{password}".encode()).decode()
        """The value of the field."""

    def begin(self, request: Request) -> None:
        """Put it in, unless the request has its own."""
        request.headers.setdefault("Authorization", self.value)

    def again(self, request: Request, response: Response) -> None:
        """Nothing else can be tried."""

    def __repr__(self) -> str:
        return f"<Basic for {self.user!r}>"


class Bearer:
    """A token (RFC 6750). Raises ``ConfigError``, which does not repeat it, for what is none."""

    def __init__(self, token: str) -> None:
        if not _TOKEN.fullmatch(token):
            raise ConfigError("Bearer: a token has no blanks, line ends or letters outside ASCII")
        self._value = f"Bearer {token}"

    def begin(self, request: Request) -> None:
        """Put it in, unless the request has its own."""
        request.headers.setdefault("Authorization", self._value)

    def again(self, request: Request, response: Response) -> None:
        """Nothing else can be tried."""

    def __repr__(self) -> str:
        return "<Bearer>"


class _Called:
    """A function of the request, as ``requests`` has it: it changes it, or returns another."""

    def __init__(self, function: Callable[[Request], Any]) -> None:
        self._function = function

    def begin(self, request: Request) -> Request | None:
        changed = self._function(request)
        return changed if isinstance(changed, Request) else None

    def again(self, request: Request, response: Response) -> None:
        pass

    def __repr__(self) -> str:
        return f"<auth by {self._function!r}>"


def as_auth(given: Any) -> Auth | None:
    """What a caller gives as ``auth=``: ``(user, password)``, an ``Auth``, a function. Raises
    ``ConfigError``."""
    if given is None or (hasattr(given, "begin") and hasattr(given, "again")):
        auth: Auth | None = given
        return auth
    if isinstance(given, (tuple, list)) and len(given) == 2:
        return Basic(*map(_text, given))
    if iscoroutinefunction(given):
        raise ConfigError("auth=: a coroutine function is for portico.aio.Session")
    if callable(given):
        return _Called(given)
    raise ConfigError(
        "auth=: expected (user, password), Basic(…), Digest(…), Bearer(…) or a function of the request"
    )


def _text(part: Any) -> str:
    if isinstance(part, str):
        return part
    try:
        return bytes.decode(part)
    except (TypeError, UnicodeDecodeError):
        raise ConfigError("auth=: expected a user and a password as text, or as UTF-8 bytes") from None
