"""A folder, or one file, as answers to GET and HEAD.

``Static("site")`` is a gateway: mount it on an HTTP server, or name the folder to ``portico serve``. What
is promised, and where it is decided:

- nothing outside the folder, by no spelling of a path and through no link: ``confined``, ``folder``;
- preconditions and ranges in the order of RFC 9110; a small file in one write together with its head, a
  large one without passing through Python: ``file_answer``, ``conditions``, ``ranges``;
- each file in the form that the client likes best: ``variants``, ``representation``, ``codings``;
- small files from memory, as long as they are the same on disk: ``kept``;
- types that do not depend on the machine: ``types``.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING
from urllib.parse import quote

from portico.errors import ConfigError, PorticoError
from portico.web.caching import CacheRules
from portico.web.codings import LEAST, check_codings, choose, installed
from portico.web.compressing import Compressing
from portico.web.file_answer import answer_representation, bare, conditional_fields, send_span
from portico.web.folder import Folder, Found
from portico.web.headers import EMPTY, checked_fields
from portico.web.listing import Order, prefers_json, render_json
from portico.web.listing_page import POLICY, render_html
from portico.web.ranges import Span
from portico.web.representation import Headers
from portico.web.types import table_of
from portico.web.variants import Variants

if TYPE_CHECKING:
    from portico.http.exchange import Exchange
    from portico.http.messages import RequestHead

__all__ = ["Static"]

_METHODS = ("GET", "HEAD", "OPTIONS")
_ALLOW = ("Allow", ", ".join(_METHODS))
_ABSENT = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EMLINK, errno.ENAMETOOLONG, errno.ENXIO}
_ABSENT |= {errno.EINVAL, errno.EILSEQ, errno.ENODEV}  # a name, or a thing, that this file system cannot have
_DENIED = {errno.EACCES, errno.EPERM}
_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOMEM}
_VARIES = ("Vary", "Accept-Encoding")


class Static:
    """Serves ``root``, a folder or a single file. A gateway; may run in any number of threads.

    Which names there are: ``index`` names the files that answer for a folder, the first that exists;
    ``extensions`` may be left out of files' names: with ``.html``, ``/about`` is ``about.html``.
    ``listing`` shows what is in a folder without one (JSON for ``Accept: application/json``). ``hidden``
    serves names that begin with a dot, which are otherwise not there, except ``.well-known``; ``hide``
    lists patterns of further names that are not there (``*.bak``). ``links=False`` follows no symbolic
    link below the root; those that lead out of it are never followed.

    What is said about them: ``types`` adds media types: ``{".foo": "text/x-foo"}``. ``cache`` is the
    Cache-Control of files: a value, or values by pattern, ``{"*.html": "no-cache", "assets/*": …}``, of
    which the first that fits holds; ``immutable`` lets names that carry a hash be kept for ever.
    ``headers`` go with every file and listing.

    How they are sent: ``precompressed`` takes a ``.br``, ``.zst`` or ``.gz`` beside a file of text, unless
    it is older. ``compress`` compresses texts when they are asked for: ``True``, or names of codings (zstd,
    br, gzip); listings too. ``memory`` is how many bytes of small files are kept, 0 for none.

    What is answered where nothing is: ``pages`` are files below ``root`` by status, sent for that error
    (``{404: "404.html"}``, which ``not_found`` says shorter); ``fallback``, likewise a path, is sent with
    200 for pages that a single-page application draws by itself: for names without a dot, for folders that
    show nothing, and for other names when HTML is asked for.

    A folder without its slash is answered with 301 (only GET and HEAD come so far, so no method can be
    changed on the way); what may not be read, 403; everything else that is no regular file, 404.
    Raises ``ConfigError`` when ``root`` cannot be served or an option cannot work.
    """

    def __init__(
        self,
        root: str | bytes | os.PathLike[str] | os.PathLike[bytes],
        *,
        index: str | Sequence[str] = ("index.html",),
        extensions: str | Sequence[str] = (),
        listing: bool = False,
        hidden: bool = False,
        hide: str | Sequence[str] = (),
        links: bool = True,
        types: Mapping[str, str] | None = None,
        cache: str | Mapping[str, str] = "",
        immutable: bool = False,
        headers: Sequence[tuple[str, str]] = (),
        precompressed: bool = True,
        compress: bool | str | Sequence[str] = False,
        memory: int = 8 << 20,
        pages: Mapping[int, str] | None = None,
        not_found: str | None = None,
        fallback: str | None = None,
    ) -> None:
        path = os.path.abspath(os.fsencode(root))
        self.name = "static:" + path.decode("utf-8", "backslashreplace")
        self._folder = Folder(
            path,
            index=_several(index),
            extensions=_several(extensions),
            hidden=hidden,
            hide=_several(hide),
            links=links,
        )
        self._listing = listing
        self._compress = _codings(compress)
        # An uploaded text must not be run as a page.
        self._extra = [("X-Content-Type-Options", "nosniff"), *checked_fields(headers)]
        self._variants = Variants(
            self._folder,
            table_of(types),
            CacheRules(cache, immutable=immutable),
            self._extra,
            precompressed=precompressed,
            compress=self._compress,
            memory=memory,
        )
        self._pages = {status: self._page(status, page) for status, page in (pages or {}).items()}
        if not_found is not None:
            self._pages[404] = self._folder.page("not_found", not_found)
        self._fallback = None if fallback is None else self._folder.page("fallback", fallback)

    def _page(self, status: int, page: str) -> list[bytes]:
        if not 400 <= status <= 599:
            raise ConfigError(f"static pages: {status} is no error; name a page for 400 to 599")
        return self._folder.page(f"pages[{status}]", page)

    def __repr__(self) -> str:
        return f"<Static {self.name.removeprefix('static:')}>"

    def streams(self, request: RequestHead) -> bool:
        """Never: a body that comes with a GET means nothing (RFC 9110, 9.3.1)."""
        return False

    def __call__(self, exchange: Exchange) -> None:
        """Answer one request."""
        if exchange.method not in ("GET", "HEAD"):
            self._other_method(exchange)
            return
        fields = conditional_fields(exchange)
        if self._answered_from_memory(exchange, fields):
            return
        wanted = self._folder.split(exchange.raw_path_info)
        if wanted is None:
            self._nothing(exchange)
            return
        parts, slash = wanted
        if self._folder.single and slash and not exchange.mount:
            slash = bool(parts)  # at the root of a server, "/" is the only way to name the file itself
        try:
            found = self._folder.locate(parts, slash)
        except OSError as error:
            self._failed(exchange, error)
            return
        with found:
            try:
                self._answer(exchange, found, parts, slash, fields)
            except OSError as error:
                if exchange.started:
                    raise
                self._failed(exchange, error)

    # Answering

    def _answered_from_memory(self, exchange: Exchange, fields: dict[str, str]) -> bool:
        form = self._variants.kept.find(exchange)
        if form is None or ("range" in fields and not form.ranges):
            return False
        try:
            answer_representation(exchange, form, fields, self._refuse)
        except OSError as error:
            if exchange.started or isinstance(error, PorticoError):
                raise
            return False  # the file has changed in this moment: see what is there now
        return True

    def _answer(
        self, exchange: Exchange, found: Found, parts: list[bytes], slash: bool, fields: dict[str, str]
    ) -> None:
        if not found.folder:
            # Another file may come to be in front of all but the first that the path could mean.
            first = found.name == self._folder.index[0] if slash else found.parts == parts
            self._send(exchange, found, fields, keep=first and not self._folder.single)
        elif not slash:
            _redirect(exchange, parts)
        elif self._listing:
            self._list(exchange, found, parts)
        else:
            self._absent(exchange)

    def _send(self, exchange: Exchange, found: Found, fields: dict[str, str], *, keep: bool) -> None:
        ranged = "range" in fields and exchange.method == "GET"
        form = self._variants.pick(exchange, found, ranged=ranged, keep=keep)
        if form is None:
            self._refuse(exchange, 406, "None of the accepted encodings is there.", [_VARIES])
            return
        try:
            answer_representation(exchange, form, fields, self._refuse)
        finally:
            if form.keeper is None and form.fd not in (-1, found.fd):
                os.close(form.fd)

    def _list(self, exchange: Exchange, found: Found, parts: list[bytes]) -> None:
        most = exchange.limits.listing
        entries = list(islice(self._folder.entries(found), most + 1))
        more = len(entries) > most
        del entries[most:]
        order = Order.of(exchange.query)
        headers = [("Vary", "Accept"), *self._extra, *([("X-Truncated", str(most))] if more else ())]
        if prefers_json(exchange.header("accept")):
            kind, body = "application/json", render_json(entries, order)
        else:
            path = b"".join(part + b"/" for part in [exchange.mount.encode("latin-1"), *parts])
            kind, body = (
                "text/html; charset=utf-8",
                render_html(path, entries, below=len(parts), order=order, more=more),
            )
            headers.append(("Content-Security-Policy", POLICY))
        coding = choose(exchange.header("accept-encoding"), self._compress) or ""
        outgoing = Compressing(exchange, coding, LEAST) if self._compress else exchange
        outgoing.respond(200, [("Content-Type", kind), *headers], body)

    def _other_method(self, exchange: Exchange) -> None:
        if exchange.method == "OPTIONS":
            bare(exchange, 204, [_ALLOW])
        elif 405 in self._pages:
            self._refuse(exchange, 405, "", [_ALLOW])
        else:
            exchange.refuse_method(_METHODS, "Files can be read here, no more.")

    # Refusing

    def _failed(self, exchange: Exchange, error: OSError) -> None:
        """The answer for a file that could not be opened; what is no everyday reason is raised."""
        if error.errno in _ABSENT:
            self._absent(exchange)
        elif error.errno in _DENIED:
            self._refuse(exchange, 403, "This may not be read.")
        elif error.errno in _EXHAUSTED:
            exchange.respond_error(503, "Too many open files.", [("Retry-After", "1")])
        else:
            raise error

    def _absent(self, exchange: Exchange) -> None:
        """Nothing there: an application's own page may stand in."""
        found = self._stand_in(self._fallback) if _wants_page(exchange) else None
        if found is None:
            self._nothing(exchange)
            return
        with found:
            self._send(exchange, found, conditional_fields(exchange), keep=False)

    def _nothing(self, exchange: Exchange) -> None:
        self._refuse(exchange, 404, "There is nothing here.")

    def _refuse(self, exchange: Exchange, status: int, detail: str, headers: Headers | None = None) -> None:
        """An error, with the site's own page for it."""
        found = self._stand_in(self._pages.get(status))
        if found is None:
            exchange.respond_error(status, detail, headers or [])
            return
        with found:
            form = self._variants.plain(found)
            about = [*form.typed, *self._extra, *(headers or [])]
            send_span(exchange, status, about, form, Span(0, form.size))

    def _stand_in(self, page: list[bytes] | None) -> Found | None:
        """A page that was there at the start; if it is gone, the standard answer must do."""
        try:
            return None if page is None else self._folder.open(page)
        except OSError:
            return None


def _codings(compress: bool | str | Sequence[str]) -> tuple[str, ...]:
    if isinstance(compress, bool):
        return installed() if compress else ()
    return check_codings(_several(compress))


def _several(names: str | Sequence[str]) -> Sequence[str]:
    """One name is a list of one, not of its letters."""
    return (names,) if isinstance(names, str) else names


def _wants_page(exchange: Exchange) -> bool:
    last = exchange.path_info.rpartition("/")[2]
    return "." not in last or "text/html" in (exchange.header("accept") or "")


def _redirect(exchange: Exchange, parts: list[bytes]) -> None:
    """To the same folder with its slash.

    The path is built anew from its names, each encoded: neither ``//host`` nor a backslash or a line
    end of the request survives, so it leads to this server.
    """
    names = [*exchange.mount.encode("latin-1").split(b"/"), *parts]
    place = "".join("/" + quote(name, safe="~!$&'()*+,;=:@") for name in names if name) + "/"
    if exchange.query:
        place += "?" + exchange.query
    exchange.respond(301, [("Location", place), EMPTY])
