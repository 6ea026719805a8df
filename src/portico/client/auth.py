"""Proving who asks: Basic, Bearer, Digest, credentials from ``~/.netrc``, or a function of one's own.

Credentials go to the origin they are given for, and never along with a redirect to another one.
"""

from __future__ import annotations

import os
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from portico.client.digest import Digest
from portico.client.params import encoded
from portico.client.request import Request
from portico.client.response import Response
from portico.client.url import URL
from portico.errors import ConfigError

__all__ = ["Auth", "Basic", "Bearer", "Digest", "as_auth", "from_netrc"]


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
    """User and password as they are (RFC 7617): for https, or one's own network. To a proxy with
    ``proxy=True``."""

    def __init__(self, user: str, password: str, *, proxy: bool = False) -> None:
        if ":" in user:
            raise ConfigError("Basic: a user's name cannot have a colon in it (RFC 7617, 2)")
        self.user = user
        self._field = "Proxy-Authorization" if proxy else "Authorization"
        self._value = "Basic " + b64encode(encoded(f"{user}:{password}", "auth")).decode()

    def begin(self, request: Request) -> None:
        """Put it in, unless the request has its own."""
        request.headers.setdefault(self._field, self._value)

    def again(self, request: Request, response: Response) -> None:
        """Nothing else can be tried."""

    @property
    def value(self) -> str:
        """The value of the field."""
        return self._value

    def __repr__(self) -> str:
        return f"<Basic for {self.user!r}>"


class Bearer:
    """A token (RFC 6750)."""

    def __init__(self, token: str) -> None:
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
        user, password = (each.decode() if isinstance(each, bytes) else str(each) for each in given)
        return Basic(user, password)
    if callable(given):
        return _Called(given)
    raise ConfigError(
        "auth=: expected (user, password), Basic(…), Digest(…), Bearer(…) or a function of the request"
    )


def from_netrc(url: URL) -> Auth | None:
    """Credentials for a host from the file that ``NETRC`` names, or ``~/.netrc``. Raises ``ConfigError`` for
    a file that cannot be read."""
    path = Path(os.environ.get("NETRC") or "~/.netrc").expanduser()
    if not url.host or not path.is_file():
        return None
    import netrc

    try:
        found = netrc.netrc(path).authenticators(url.host)
    except (netrc.NetrcParseError, OSError, UnicodeError) as error:
        raise ConfigError(f"{path}: {error}") from None
    if found is None:
        return None
    user, account, password = found
    return Basic(user or account or "", password or "")
