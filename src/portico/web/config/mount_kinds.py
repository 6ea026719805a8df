"""What a ``[[mount]]`` can serve: one class for each kind, with the options of that kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar

from portico.http.exchange import Gateway
from portico.sockets.tls import ClientTLS
from portico.web.caching import CacheRules
from portico.web.cgi import CGI
from portico.web.cgi_environ import PASSED
from portico.web.config.kinds import (
    body,
    choice,
    existing,
    file,
    flag,
    listed,
    named,
    network,
    number,
    one_or_more,
    size,
    text,
    whole,
)
from portico.web.config.mount import Load, MountSettings, field_value
from portico.web.config.problems import suggestion
from portico.web.config.reading import BAD, Place, Wrong, setting, spelt
from portico.web.proxy import Deadlines, Proxy
from portico.web.redirect import STATUSES, Redirect
from portico.web.respond import Respond
from portico.web.static import Static
from portico.web.wsgi import WSGI

__all__ = [
    "AnyProgram", "AppMount", "CGIMount", "Handler", "ProxyMount", "RedirectMount", "RespondMount",
    "StaticMount", "WSGIMount",
]  # fmt: skip


def _upstream(value: Any, place: Place) -> str:
    Proxy(text(value, place))
    return str(value)


def _deadlines(value: Any, place: Place) -> dict[str, float | None]:
    """Those of an upstream: what is not given has its default."""
    if not isinstance(value, Mapping):
        raise Wrong(f"expected a table, as in {{ connect = 5 }}, not {spelt(value)}")
    found = _usual_deadlines()
    for name, seconds in value.items():
        if name not in found:
            place.below(name).wrong(f"unknown key; {suggestion(name, found)}")
            continue
        read = None if seconds == "none" else place.read(number(0.001), seconds, name)
        if read is not BAD:
            found[name] = read
    return found


def _usual_deadlines() -> dict[str, float | None]:
    return {field.name: getattr(Deadlines(), field.name) for field in fields(Deadlines)}


def _target(value: Any, place: Place) -> str:
    Redirect(text(value, place))
    return str(value)


def _status(value: Any, place: Place) -> int:
    if value not in STATUSES:
        raise Wrong(f"{spelt(value)} is no status of a redirect; there are: {', '.join(map(str, STATUSES))}")
    return int(value)


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


@dataclass(frozen=True, kw_only=True)
class StaticMount(MountSettings):
    """Files of a folder, or one file."""

    mark: ClassVar[str] = "static"

    static: str = setting(existing, about="The folder, or the file.")
    index: Sequence[str] = setting(
        one_or_more(text), lambda: ("index.html",), "Files that answer for a folder."
    )
    extensions: Sequence[str] = setting(
        one_or_more(text), tuple, "What may be left out of files' names: with .html, /about is about.html."
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
            self.static, index=self.index, extensions=self.extensions, listing=self.listing,
            hidden=self.hidden, hide=self.hide, links=self.links, types=self.types,
            cache=self.cache, immutable=self.immutable, precompressed=self.precompressed,
            compress=self.compress, memory=self.memory, pages=self.pages, not_found=self.not_found,
            fallback=self.fallback,
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
    concurrent: int = setting(
        whole(1), 32, "Programs that run at once; limits.cgi_queue requests wait, then 503."
    )
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
    early_hints: bool = setting(flag, False, "Give it wsgi.early_hints, which sends a 103 at once.")

    def make(self, load: Load) -> Gateway:
        return WSGI(
            load(self.mark, self.wsgi), name=self.wsgi, stream=self.stream, environ=self.environ,
            early_hints=self.early_hints,
        )  # fmt: skip


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


@dataclass(frozen=True, kw_only=True)
class ProxyMount(MountSettings):
    """HTTP servers behind this one."""

    mark: ClassVar[str] = "proxy"

    proxy: Sequence[str] = setting(
        one_or_more(_upstream), about="Servers: http://127.0.0.1:9000, unix:/app.sock."
    )
    strip: bool = setting(flag, False, "They get paths without the mount's.")
    host_header: str = setting(text, "keep", "What Host says: keep, upstream, or a name.")
    forwarded: str = setting(choice("x", "rfc", "both", "none"), "x", "How they are told of the client.")
    trusted: Sequence[str] | None = setting(
        listed(network), None, "Whose word about the client is passed on; by default [forwarded]'s trusted."
    )
    via: str | None = setting(text, "portico", "Our name in Via.")
    upstream_headers: Mapping[str, str] = setting(named(field_value), dict, "Fields that are set for them.")
    rewrite_location: bool = setting(flag, True, "Redirects to them become redirects to this server.")
    upgrades: Sequence[str] = setting(
        listed(text), lambda: ("websocket",), "Protocols that may be switched to."
    )
    ca: str | None = setting(existing, None, "Who vouches for https servers, instead of the system.")
    verify: bool = setting(flag, True, "Whether https servers have to prove who they are.")
    balance: str = setting(choice("round_robin", "least"), "round_robin", "Who is asked next.")
    failures: int = setting(whole(1), 1, "After so many in a row a server is left out,")
    pause: float = setting(number(0.001), 1.0, "for so many seconds, then for twice as long each time.")
    connections: int = setting(whole(1), 1000, "To each at most; beyond them clients get 503.")
    keep: int = setting(whole(0), 32, "Connections to each that may rest,")
    idle: float = setting(number(0.001), 15.0, "for so many seconds.")
    deadlines: Mapping[str, float | None] = setting(
        _deadlines, _usual_deadlines, 'Seconds for connect, first_byte … "none": no bound.'
    )
    body_memory: int | None = setting(
        size, None, "A body up to so many bytes is complete before one is asked."
    )

    def make(self, load: Load) -> Gateway:
        tls = ClientTLS(self.ca, verify=self.verify) if self.ca is not None or not self.verify else None
        return Proxy(
            *self.proxy, strip=self.strip, host=self.host_header, forwarded=self.forwarded,
            trusted=self.trusted or (), via=self.via, headers=self.upstream_headers,
            rewrite_location=self.rewrite_location, upgrades=self.upgrades, tls=tls, balance=self.balance,
            failures=self.failures, pause=self.pause, connections=self.connections, keep=self.keep,
            idle=self.idle, deadlines=Deadlines(**self.deadlines), body_memory=self.body_memory,
        )  # fmt: skip

    @property
    def what(self) -> str:
        return ", ".join(self.proxy)
