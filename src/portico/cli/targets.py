"""What the command line names to be served: ``[MOUNT=]TARGET``, read as a ``[[mount]]`` of the file is.

::

    argument = [mount "="] target       mount: "/app", "//example.org/app"; "%" escapes, so it has no "="
    target   = kind ":" where           kind: see KINDS
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
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from portico.cli.programs import is_program
from portico.errors import ConfigError
from portico.web.config.mount import MountSettings
from portico.web.config.mount_kinds import (
    AnyProgram,
    AppMount,
    CGIMount,
    Handler,
    ProxyMount,
    RedirectMount,
    RespondMount,
    StaticMount,
    WSGIMount,
)
from portico.web.mounts import read_host, read_prefix

__all__ = ["KINDS", "Folders", "Target", "make_settings", "read_target"]

KINDS = ("static", "cgi", "wsgi", "asgi", "app", "handler", "redirect", "respond", "proxy")
"""What may stand before a target, with a colon. ``app``: of requests; ``handler``: of streams."""


_NO_ASGI = "{} cannot be served as ASGI by this version; wrap it for WSGI (for example with a2wsgi)"


@dataclass(frozen=True, slots=True)
class Target:
    """One argument, read. ``kind`` is ``program`` where it is found out from the object itself."""

    mount: str | None
    kind: str
    where: str


@dataclass(frozen=True, slots=True)
class Folders:
    """How folders named on the command line are served: see ``Static``."""

    listing: bool = True
    hidden: bool = False
    fallback: str | None = None


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


def make_settings(texts: Sequence[str], folders: Folders) -> list[MountSettings]:
    """Arguments as mounts. Raises ``ConfigError``."""
    targets = [read_target(text) for text in texts]
    for target in targets:
        if target.kind == "handler" and (target.mount is not None or len(targets) > 1):
            raise ConfigError(
                f"{target.where} is a handler of raw streams: it is served alone, without a path; "
                "start another portico serve for the rest"
            )
    return [_settings(target, folders) for target in targets]


def _settings(target: Target, folders: Folders) -> MountSettings:
    where, place = target.where, _place(target.mount or "/")
    match target.kind:
        case "static":
            fallback = None if os.path.isfile(where) else folders.fallback
            here = os.path.abspath(where)
            return StaticMount(
                static=here, listing=folders.listing, hidden=folders.hidden, fallback=fallback, **place
            )
        case "cgi":
            return CGIMount(cgi=os.path.abspath(where), **place)
        case "wsgi":
            return WSGIMount(wsgi=where, **place)
        case "app":
            return AppMount(app=where, **place)
        case "handler":
            return Handler(handler=where)
        case "redirect":
            status, colon, rest = where.partition(":")
            known = bool(colon) and status.isdecimal()
            return RedirectMount(
                redirect=rest if known else where, status=int(status) if known else 307, **place
            )
        case "proxy":
            return ProxyMount(proxy=(where,), **place)
        case "respond":
            status, colon, rest = where.partition(":")
            if not (status.isascii() and status.isdigit() and len(status) == 3):
                raise ConfigError(f"respond:{where}: expected a status first, as in respond:200:OK")
            return RespondMount(respond=int(status), body=rest if colon else None, **place)
        case "asgi":
            raise ConfigError(_NO_ASGI.format(where))
    return AnyProgram(program=where, **place)


def _place(mount: str) -> dict[str, Any]:
    """``/app`` or ``//example.org/app`` as the settings of a mount have it."""
    if not mount.startswith("//"):
        read_prefix(mount)
        return {"path": mount}
    host, slash, path = mount[2:].partition("/")
    if not host:
        raise ConfigError(f"the mount {mount!r}: a host stands between the slashes, as in //example.org/app")
    read_prefix(f"/{path}")
    return {"path": f"/{path}" if slash else "/", "host": (read_host(host),)}


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
    places = {
        "static": "site",
        "cgi": "cgi-bin",
        "redirect": "/new{path}",
        "respond": "200:OK",
        "proxy": "http://127.0.0.1:9000",
    }
    place = places.get(kind, "shop:app")
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
        path = os.path.normpath(module)
        if path.startswith(("/", "..")):
            path = f"{os.path.basename(path)}:{name} in its folder"
        else:
            path = f"{path.replace('/', '.')}:{name}"
        return f"there is no {rest}; an application is written without .py, as in {path}"
    return f"there is no folder {rest}; name one that exists, or an application as module:name"
