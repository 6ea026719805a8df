"""``[[mount]]``: what answers where. One class for each kind; the key that it is named after is its mark."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from portico.http.exchange import Gateway
from portico.web.basic_auth import BasicAuth, read_users
from portico.web.caching import CacheRules
from portico.web.cgi import CGI
from portico.web.cgi_environ import PASSED
from portico.web.codings import check_codings
from portico.web.config.kinds import (
    body,
    existing,
    file,
    flag,
    limits,
    listed,
    named,
    number,
    one_or_more,
    size,
    table,
    text,
    whole,
)
from portico.web.config.problems import suggestion
from portico.web.config.reading import Place, Wrong, keys_of, read_table, setting, spelt
from portico.web.headers import Edit, checked_fields
from portico.web.mounts import read_host, read_prefix
from portico.web.passwords import read_hash
from portico.web.redirect import STATUSES, Redirect
from portico.web.respond import Respond
from portico.web.static import Static
from portico.web.wsgi import WSGI

__all__ = ["HIDDEN", "KINDS", "AnyProgram", "AppMount", "Auth", "CGIMount", "Handler", "Headers", "Load",
           "MountSettings", "RedirectMount", "RespondMount", "StaticMount", "WSGIMount", "mount"]  # fmt: skip

Load = Callable[[str, str], Any]
"""From a kind (``wsgi app program handler``) and ``module:name`` to what can be served as such."""


def _prefix(value: Any, place: Place) -> str:
    read_prefix(text(value, place))
    return str(value)


def _host(value: Any, place: Place) -> str:
    return read_host(text(value, place))


HIDDEN = "hidden"
"""Stands for a hash where settings are shown; it is none, so that a file made of that lets nobody in."""


def _password(value: Any, place: Place) -> str:
    if value == HIDDEN:
        raise Wrong("the hash is not shown: put that of the original file here")
    read_hash(text(value, place))
    return str(value)


def _target(value: Any, place: Place) -> str:
    Redirect(text(value, place))
    return str(value)


def _status(value: Any, place: Place) -> int:
    if value not in STATUSES:
        raise Wrong(f"{spelt(value)} is no status of a redirect; there are: {', '.join(map(str, STATUSES))}")
    return int(value)


def _compress(value: Any, place: Place) -> bool | tuple[str, ...]:
    return value if isinstance(value, bool) else check_codings(listed(text)(value, place))


def _cache(value: Any, place: Place) -> str | dict[str, str]:
    rules: str | dict[str, str] = (named(text) if isinstance(value, Mapping) else text)(value, place)
    CacheRules(rules)
    return rules


def _memory(value: Any, place: Place) -> int:
    return 0 if value == 0 and not isinstance(value, bool) else int(size(value, place))


def _pages(value: Any, place: Place) -> dict[int, str]:
    found = named(text)(value, place)
    for name in found:
        if not (name.isascii() and name.isdigit() and 400 <= int(name) <= 599):
            place.below(name).wrong("is not the status of an error, such as 404")
    return {int(name): page for name, page in found.items() if name.isascii() and name.isdigit()}


OWN_LIMITS = frozenset((
    "body", "body_grace", "body_memory", "body_rate", "cgi_header_bytes", "cgi_output", "cgi_seconds",
    "request", "response_memory", "write_stall",
))  # fmt: skip
"""Limits that a mount may have of its own: those that count once a request's head has come."""


def _limits(value: Any, place: Place) -> dict[str, Any]:
    found: dict[str, Any] = limits(value, place)
    for name in found.keys() - OWN_LIMITS:
        place.below(name).wrong(
            f"is the server's as a whole: set it in [limits]; a mount has {', '.join(sorted(OWN_LIMITS))}"
        )
    return found


def _field(value: Any, place: Place) -> str:
    checked_fields([(str(place.path[-1]), text(value, place))])
    return str(value)


@dataclass(frozen=True, kw_only=True)
class Headers:
    """``[headers]``: changes to the fields of answers."""

    set: Mapping[str, str] = setting(named(_field), dict, "Fields in place of others of the name.")
    add: Mapping[str, Sequence[str]] = setting(named(one_or_more(text)), dict, "Fields beside others.")
    remove: Sequence[str] = setting(listed(text), tuple, "Names of fields that are not sent.")

    def __post_init__(self) -> None:
        self.edit()

    def edit(self) -> Edit:
        """The same, as it is applied."""
        return Edit(self.set, self.add, self.remove)


@dataclass(frozen=True, kw_only=True)
class Auth:
    """``[auth]``: who is let in, by name and password."""

    realm: str = setting(text, "portico", "What clients show when they ask for the password.")
    users: Mapping[str, str] = setting(
        named(_password), dict, "Each name's hash, as 'portico hash-password' makes it."
    )
    users_file: str | None = setting(
        existing, None, "A file of such lines: name:hash. Read when the server starts or reloads."
    )

    def guard(self, gateway: Gateway) -> Gateway:
        """The gateway behind a door. Raises ``ConfigError``."""
        users = dict(self.users)
        if self.users_file is not None:
            users = {**read_users(self.users_file), **users}
        return BasicAuth(gateway, users, self.realm)


def _auth(value: Any, place: Place) -> Auth | bool:
    if value is False:
        return False
    if value is True:
        raise Wrong("expected a table of users, or false for none")
    found: Auth | bool = read_table(Auth, value, place)
    return found


@dataclass(frozen=True, kw_only=True)
class MountSettings:
    """What every mount has, whatever its kind."""

    mark: ClassVar[str] = ""

    path: str = setting(_prefix, "/", "Where it answers: this path and all below it.")
    host: Sequence[str] = setting(
        one_or_more(_host), tuple, "For which names: example.org, *.example.org; all without."
    )
    headers: Headers = setting(table(Headers), Headers, "Changes to its answers, after those of [headers].")
    auth: Auth | bool | None = setting(_auth, None, "Who is let in, instead of [auth]; false: everybody.")
    limits: Mapping[str, Any] = setting(_limits, dict, "Limits of its own, such as body and request.")
    compress: bool | Sequence[str] = setting(
        _compress, False, "Compress texts for clients that take it: true, or codings of zstd, br and gzip."
    )
    threads: int | None = setting(whole(1), None, "So many of its requests run at once.")
    queue: int | None = setting(whole(0), None, "So many more wait, by default as many; beyond them 503.")

    def make(self, load: Load) -> Any:
        """The gateway (or handler) itself. Raises ``ConfigError``."""
        raise NotImplementedError

    @property
    def what(self) -> str:
        """What is served, as it was written."""
        return str(getattr(self, self.mark))


@dataclass(frozen=True, kw_only=True)
class StaticMount(MountSettings):
    """Files of a folder, or one file."""

    mark: ClassVar[str] = "static"

    static: str = setting(existing, about="The folder, or the file.")
    index: Sequence[str] = setting(
        one_or_more(text), lambda: ("index.html",), "Files that answer for a folder."
    )
    listing: bool = setting(flag, False, "Show what is in folders without such a file.")
    hidden: bool = setting(flag, False, "Serve names that begin with a dot, too.")
    types: Mapping[str, str] = setting(
        named(text), dict, 'Media types by ending, as in { ".foo" = "text/x-foo" }.'
    )
    cache: str | Mapping[str, str] = setting(
        _cache, "", 'Cache-Control of files: one for all, or { "*.html" = "no-cache" } by pattern.'
    )
    immutable: bool = setting(flag, False, "Names that carry a hash are kept for ever.")
    hide: Sequence[str] = setting(listed(text), tuple, "Patterns of names that are not there, as *.bak.")
    links: bool = setting(flag, True, "Follow symbolic links that stay inside.")
    precompressed: bool = setting(flag, True, "Send page.html.br, .zst or .gz that lies beside page.html.")
    memory: int = setting(_memory, 8 << 20, "Bytes of small files that are kept in memory; 0: none.")
    pages: Mapping[int, str] = setting(
        _pages, dict, 'Pages of the folder by status, as in { 404 = "404.html" }.'
    )
    not_found: str | None = setting(text, None, "A page of the folder, sent with 404.")
    fallback: str | None = setting(
        text, None, "A page that stands in for what is not there: single-page applications."
    )

    def make(self, load: Load) -> Gateway:
        return Static(
            self.static, index=self.index, listing=self.listing, hidden=self.hidden, hide=self.hide,
            links=self.links, types=self.types, cache=self.cache, immutable=self.immutable,
            precompressed=self.precompressed, compress=self.compress, memory=self.memory, pages=self.pages,
            not_found=self.not_found, fallback=self.fallback,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class CGIMount(MountSettings):
    """A CGI program, or a folder of them."""

    mark: ClassVar[str] = "cgi"

    cgi: str = setting(existing, about="The folder of programs, or the program.")
    environ: Mapping[str, str] = setting(named(text), dict, "Variables that every program gets.")
    pass_environ: Sequence[str] = setting(
        listed(text), lambda: PASSED, "Variables passed on from the server's own."
    )
    seconds: float | None = setting(
        number(0.001), None, "A run is killed after so long; by default limits.cgi_seconds."
    )
    output: int | None = setting(size, None, "What a run may write; by default limits.cgi_output.")
    concurrent: int = setting(whole(1), 32, "Programs that run at once; beyond them 503.")
    interpreters: Mapping[str, str] = setting(
        named(text), dict, "Commands by ending, for files that are not executable."
    )
    documents: str | None = setting(file, None, "The folder that PATH_TRANSLATED starts from.")
    credentials: bool = setting(flag, False, "Let programs see Authorization.")

    def make(self, load: Load) -> Gateway:
        return CGI(
            self.cgi, environ=self.environ, pass_environ=self.pass_environ, seconds=self.seconds,
            output=self.output, concurrent=self.concurrent, interpreters=self.interpreters,
            documents=self.documents, credentials=self.credentials,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class WSGIMount(MountSettings):
    """A WSGI application."""

    mark: ClassVar[str] = "wsgi"

    wsgi: str = setting(text, about="The application, as module:name.")
    stream: bool = setting(flag, False, "Call it before the body has arrived.")
    environ: Mapping[str, str] = setting(named(text), dict, "More entries for its environment.")

    def make(self, load: Load) -> Gateway:
        return WSGI(load(self.mark, self.wsgi), name=self.wsgi, stream=self.stream, environ=self.environ)


@dataclass(frozen=True, kw_only=True)
class AppMount(MountSettings):
    """A request handler."""

    mark: ClassVar[str] = "app"

    app: str = setting(
        text, about="A function of a request, a class with get, post …, or Routes, as module:name."
    )

    def make(self, load: Load) -> Any:
        return load(self.mark, self.app)


@dataclass(frozen=True, kw_only=True)
class AnyProgram(MountSettings):
    """``module:name``, whose kind is found out."""

    mark: ClassVar[str] = "program"

    program: str = setting(text, about="An application, as module:name; its kind is found out.")

    def make(self, load: Load) -> Any:
        return load(self.mark, self.program)


@dataclass(frozen=True, kw_only=True)
class Handler(MountSettings):
    """A handler of raw streams, which is served alone."""

    mark: ClassVar[str] = "handler"

    handler: str = setting(
        text, about="A function of a stream or a class with handle(), as module:name. Alone."
    )

    def make(self, load: Load) -> Any:
        return load(self.mark, self.handler)


@dataclass(frozen=True, kw_only=True)
class RedirectMount(MountSettings):
    """Clients are sent elsewhere."""

    mark: ClassVar[str] = "redirect"

    redirect: str = setting(_target, about="Where to, with the holes {path} {query} {uri} {host}.")
    status: int = setting(_status, 307, f"One of {', '.join(map(str, STATUSES))}.")

    def make(self, load: Load) -> Gateway:
        return Redirect(self.redirect, self.status)


@dataclass(frozen=True, kw_only=True)
class RespondMount(MountSettings):
    """One answer for all."""

    mark: ClassVar[str] = "respond"

    respond: int = setting(whole(200, 599), about="The status.")
    body: str | None = setting(body, None, "The body; errors have a page without one.")
    content_type: str = setting(text, "text/plain; charset=utf-8", "The type of the body.")

    def __post_init__(self) -> None:
        self._gateway()

    def make(self, load: Load) -> Gateway:
        return self._gateway()

    def _gateway(self) -> Respond:
        return Respond(
            self.respond, self.body, headers={"Content-Type": self.content_type} if self.body else {}
        )


KINDS: dict[str, type[MountSettings]] = {
    each.mark: each
    for each in (StaticMount, CGIMount, WSGIMount, AppMount, AnyProgram, Handler, RedirectMount, RespondMount)
}
"""Kinds of mounts, by the key that marks them."""


def mount(value: Any, place: Place) -> Any:
    """A ``[[mount]]``: its kind is told by the one key that names what is served."""
    if not isinstance(value, Mapping):
        raise Wrong(f"expected a table, not {spelt(value)}")
    marks = [mark for mark in KINDS if mark in value]
    if not marks:
        known = {name for kind in KINDS.values() for name in keys_of(kind)}
        for name in value:
            if name not in known:
                place.below(name).wrong(f"unknown key; {suggestion(name, known)}")
        raise Wrong(f"nothing says what is served: give one of {', '.join(KINDS)}")
    if len(marks) > 1:
        raise Wrong(f"{' and '.join(marks)} in one mount: it can be only one of them")
    return read_table(KINDS[marks[0]], value, place, partial(_unknown, KINDS[marks[0]]))


def _unknown(kind: type[MountSettings], name: str) -> str:
    others = [each.mark for each in KINDS.values() if name in keys_of(each)]
    if others:
        return f"belongs to mounts of the kind {' or '.join(others)}, and this one is {kind.mark}"
    return f"unknown key; {suggestion(name, keys_of(kind))}"
