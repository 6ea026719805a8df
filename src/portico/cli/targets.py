"""What ``portico serve`` is asked to serve: ``[MOUNT=]TARGET``, read and made into a handler.

::

    argument = [mount "="] target       mount: "/app"; "%" escapes, so it never contains "="
    target   = kind ":" where           kind: static cgi wsgi asgi handler
             | folder                   a path that exists
             | module ":" name

Read in this order, so that each argument has one meaning:

1. An argument that begins with ``/`` and contains ``=`` is a mount up to the first ``=``, unless all of it
   is a path that exists (``/srv/a=b``). Where both readings could be served it is refused.
2. A kind in front decides; ``./static:x`` is the folder that is really called so.
3. A path that exists is served as a folder; a file wants its kind, lest a program's source be shown.
4. The rest is ``module:name``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import invalidate_caches
from typing import Any

from portico.cli.programs import is_program, load, told
from portico.engines.children import ask
from portico.errors import ConfigError
from portico.http.exchange import Gateway
from portico.server import Late
from portico.web.cgi import CGI
from portico.web.gateways import as_gateway, is_gateway, kind_of
from portico.web.mounts import Mounts
from portico.web.static import Static
from portico.web.wsgi import WSGI

__all__ = ["KINDS", "Folders", "Served", "Target", "look_at", "make_served", "read_target"]

KINDS = ("static", "cgi", "wsgi", "asgi", "handler")
"""What may stand before a target, with a colon."""


_NO_ASGI = "{} cannot be served as ASGI by this version; wrap it for WSGI (for example with a2wsgi)"


@dataclass(frozen=True, slots=True)
class Target:
    """One argument, read. ``kind`` is ``program`` where it is found out from the object itself."""

    mount: str | None
    kind: str
    where: str


@dataclass(frozen=True, slots=True)
class Folders:
    """How static folders are served: see ``Static``."""

    listing: bool = True
    hidden: bool = False
    fallback: str | None = None

    def gateway(self, path: str) -> Static:
        single = os.path.isfile(path)
        fallback = None if single else self.fallback
        return Static(path, listing=self.listing, hidden=self.hidden, fallback=fallback)


@dataclass(frozen=True, slots=True)
class Served:
    """What a server is made for: a handler, and the wire it speaks (``http`` or ``stream``)."""

    handler: Any
    wire: str
    names: Mapping[str, str] | None = None

    @property
    def mounts(self) -> Mapping[str, str]:
        """What answers at which path."""
        if self.names is not None:
            return self.names
        mounts = self.handler if isinstance(self.handler, Mounts) else ()
        return {each.prefix or "/": each.gateway.name for each in mounts}


def read_target(text: str) -> Target:
    """Read one argument. Looks for paths, imports nothing. Raises ``ConfigError``."""
    mount, rest = _split_mount(text)
    kind, colon, where = rest.partition(":")
    if colon and kind in KINDS:
        if not where:
            raise ConfigError(f"{text!r}: nothing stands after {kind}:; {_example(kind)}")
        return Target(mount, kind, where)
    if os.path.isdir(rest):
        return Target(mount, "static", rest)
    if os.path.exists(rest):
        raise ConfigError(_about_file(rest))
    if is_program(rest):
        return Target(mount, "program", rest)
    raise ConfigError(_about_nothing(text, rest))


def make_served(texts: Sequence[str], folders: Folders) -> Served:
    """All arguments together; none at all is the current folder. Imports what they name.

    Raises ``ConfigError``.
    """
    targets = [read_target(text) for text in texts or ["."]]
    made = [_make(target, folders) for target in targets]
    for target, (wire, value) in zip(targets, made, strict=True):
        if len(made) == 1 and target.mount is None and (wire == "stream" or isinstance(value, Mounts)):
            return Served(value, wire)
        if wire == "stream":
            raise ConfigError(
                f"{target.where} is a handler of raw streams: it is served alone, without a path; "
                "start another portico serve for the rest"
            )
        if isinstance(value, Mounts):
            raise ConfigError(f"{target.where} has mounts of its own: serve it alone, without a path")
    mounts = Mounts([(each.mount or "/", value) for each, (_, value) in zip(targets, made, strict=True)])
    _connect(mounts)
    return Served(mounts, "http")


def look_at(texts: Sequence[str], folders: Folders) -> Served:
    """As ``make_served``, but what is imported is imported elsewhere: here by a process that ends at once,
    and then by each worker that is to serve it. Raises ``ConfigError``."""

    def facts() -> tuple[str, Mapping[str, str]]:
        served = make_served(texts, folders)
        return served.wire, dict(served.mounts)

    wire, names = ask(facts)
    return Served(Late(partial(_make_late, texts, folders)), wire, names)


def _make_late(texts: Sequence[str], folders: Folders) -> Any:
    invalidate_caches()  # there may be files that were not there when the server began
    return make_served(texts, folders).handler


def _connect(mounts: Mounts) -> None:
    """CGI programs may answer by the path of something else that is mounted (RFC 3875, 6.2.2)."""
    for mount in mounts:
        if isinstance(mount.gateway, CGI):
            mount.gateway.redispatch = mounts.redispatch


# -- reading


def _split_mount(text: str) -> tuple[str | None, str]:
    mount, equals, rest = text.partition("=")
    if not equals or not text.startswith("/"):
        return None, text
    if not os.path.exists(text):
        if not rest:
            raise ConfigError(f"{text!r}: nothing stands after the mount {mount}; write {mount}=TARGET")
        return mount, rest
    if os.path.exists(rest):
        raise ConfigError(
            f"{text!r} is a path and also {rest!r} mounted at {mount}: write /={text} for the one, "
            f"{mount}=./{rest} for the other"
        )
    return None, text


def _example(kind: str) -> str:
    place = {"static": "site", "cgi": "cgi-bin"}.get(kind, "shop:app")
    return f"write what to serve, as in {kind}:{place}"


def _about_file(path: str) -> str:
    advice = f"static:{path} serves it as it is, cgi:{path} runs it"
    if path.endswith(".py"):
        module = os.path.normpath(path).removesuffix(".py").replace("/", ".")
        advice += f", {module}:app serves the application in it" if is_program(f"{module}:app") else ""
    return f"{path} is a file, not a folder: {advice}"


def _about_nothing(text: str, rest: str) -> str:
    before, equals, after = rest.partition("=")
    if equals and after and "/" not in before:
        return f"the mount {before!r} must begin with a slash, as in /{rest}"
    if rest.isidentifier() and any(os.path.exists(f"{rest}{end}") for end in (".py", "/__init__.py")):
        return f"there is no folder {rest}; for the application in {rest}.py write {rest}:NAME"
    if ".py:" in rest:
        module, _, name = rest.partition(".py:")
        dotted = module.replace("/", ".")
        return f"there is no {rest}; an application is written without .py, as in {dotted}:{name}"
    return f"there is no folder {rest}; name one that exists, or an application as module:name"


# -- making


def _make(target: Target, folders: Folders) -> tuple[str, Any]:
    """The wire that the target speaks, and its gateway or handler."""
    if target.kind == "static":
        return "http", folders.gateway(target.where)
    if target.kind == "cgi":
        return "http", CGI(target.where)
    value = load(target.where)
    if target.kind == "asgi":
        raise ConfigError(_NO_ASGI.format(target.where))
    if target.kind == "program":
        try:
            return _found_out(target.where, value)
        except ConfigError:
            raise
        except Exception as error:  # an object that does not let itself be looked at: a proxy of nothing
            raise ConfigError(f"cannot tell what {target.where} is: {told(error)}") from error
    if not callable(value):
        raise ConfigError(_not_callable(target.where, value))
    if target.kind == "handler":
        _check_handler(target.where, value)
        return "stream", value
    if kind_of(value) == "asgi":
        return "http", as_gateway(value, target.where)  # raises, and says what to do
    return "http", WSGI(value, name=target.where)


def _check_handler(where: str, value: Any) -> None:
    if isinstance(value, type) and kind_of(value) != "handler":
        raise ConfigError(f"{where} is a class without a method handle(), which a handler needs")
    if kind_of(value) == "asgi":
        raise ConfigError(f"{where} is written with async def; a handler of streams is a plain function")


def _found_out(where: str, value: Any) -> tuple[str, Any]:
    if is_gateway(value):
        return "http", value
    kind = kind_of(value)
    if kind == "handler":
        return "stream", value
    if kind:
        gateway: Gateway = as_gateway(value, where)
        return "http", gateway
    if not callable(value):
        raise ConfigError(_not_callable(where, value))
    advice = f"wsgi:{where} or handler:{where} says what it is"
    if not where.endswith(")"):
        advice += f", {where}() serves what it makes"
    raise ConfigError(f"cannot tell what {where} is by its parameters: {advice}")


def _not_callable(where: str, value: Any) -> str:
    kind = "None" if value is None else f"of type {type(value).__name__}"
    return f"{where} is {kind}, not callable: name a WSGI application or a function of a stream"
