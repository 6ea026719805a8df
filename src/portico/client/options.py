"""How a request is carried out: what a session decides for all of its requests, and a call for one."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from inspect import iscoroutinefunction
from typing import Any

from portico.client.connection import Trace
from portico.client.redirects import MOST
from portico.client.timeouts import Timeouts
from portico.errors import ConfigError
from portico.limits import Limits
from portico.sockets.names import Resolver
from portico.sockets.tls import ClientTLS

__all__ = ["UNSET", "Hooks", "Options", "as_hooks", "client_tls", "unknown_option"]


class _Unset:
    def __repr__(self) -> str:
        return "as the session has it"


UNSET: Any = _Unset()
"""In place of an argument: as the session has it."""

Hooks = Mapping[str, Sequence[Callable[[Any], Any]]]
"""``"request"``: called with each ``Request`` before it is sent; ``"response"``: with each ``Response`` as
its head has come. What they return, unless it is ``None``, takes the place of what they got."""

_NO_HOOKS: Hooks = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a request is carried out; the arguments of ``Session`` have the same names."""

    timeouts: Timeouts = field(default_factory=Timeouts)
    redirects: int = MOST
    downgrade: bool = False
    check: bool = True
    stream: bool = False
    tls: ClientTLS | None = None
    auth: Any = None
    proxies: Any = None
    retry: Any = None
    cache: Any = None
    hooks: Hooks = field(default_factory=lambda: _NO_HOOKS)
    limits: Limits = field(default_factory=Limits)
    resolve: Resolver | None = None
    trace: Trace | None = None
    memory: str = ""


_SAID = (
    "allow_redirects", "auth", "cache", "cert", "check", "cookies", "data", "downgrade", "files", "headers",
    "hooks", "json", "limits", "params", "proxies", "redirects", "resolve", "retry", "stream", "timeout",
    "trace", "verify",
)  # fmt: skip
"""What a call may say, in the words of its caller."""


def unknown_option(given: Mapping[str, Any]) -> TypeError:
    """The error for options among which is one that there is not."""
    from difflib import get_close_matches

    name = next(each for each in given if each not in Options.__dataclass_fields__)
    near = get_close_matches(name, _SAID, 1)
    hint = f"did you mean {near[0]}=?" if near else f"there are: {', '.join(_SAID)}"
    return TypeError(f"a request has no option {name}=; {hint}")


def as_hooks(value: Mapping[str, Any] | None) -> Hooks:
    """What a caller gives as ``hooks=``. Raises ``ConfigError``."""
    found: dict[str, Sequence[Callable[[Any], Any]]] = {}
    for name, given in (value or {}).items():
        if name not in ("request", "response"):
            raise ConfigError(f'hooks: there is none called {name!r}; there are "request" and "response"')
        found[name] = [given] if callable(given) else list(given)
        if any(map(iscoroutinefunction, found[name])):
            raise ConfigError(f"hooks: a coroutine function for {name!r} is for portico.aio.Session")
    return found


def client_tls(verify: Any, cert: Any) -> ClientTLS:
    """TLS settings from ``verify`` (``True``, ``False``, a file or folder of certificates, an
    ``SSLContext``, a ``ClientTLS``) and ``cert`` (our own: a file, or ``(certificate, key)``). Raises
    ``ConfigError``.

    The same arguments give the same settings, so that connections made by them are shared.
    """
    if isinstance(cert, list):
        cert = tuple(cert)
    if not (cert is None or isinstance(cert, (str, bytes, os.PathLike)) or _is_pair(cert)):
        raise ConfigError(f"cert={cert!r:.60}: expected a file, or (certificate, key)")
    if isinstance(verify, ClientTLS):
        if cert is not None:
            raise ConfigError("cert= belongs into the ClientTLS that verify= gives")
        return verify
    if isinstance(verify, (bool, str)) and isinstance(cert, (str, tuple, type(None))):
        return _known(verify, cert)
    return _made(verify, cert)


def _is_pair(cert: Any) -> bool:
    return isinstance(cert, tuple) and len(cert) == 2


@lru_cache(64)
def _known(verify: bool | str, cert: Any) -> ClientTLS:
    return _made(verify, cert)


def _made(verify: Any, cert: Any) -> ClientTLS:
    own = {} if cert is None else {"certificate": cert}
    if isinstance(verify, bool):
        return ClientTLS(verify=verify, alpn=("http/1.1",), **own)
    if isinstance(verify, (str, bytes, os.PathLike)):
        return ClientTLS(verify, alpn=("http/1.1",), **own)
    try:
        return ClientTLS(verify, **own)
    except TypeError:
        raise ConfigError(
            f"verify={verify!r}: expected True, False, a file or folder of certificates, an SSLContext or a "
            "ClientTLS(…)"
        ) from None
