"""A folder, or one file, as answers to GET and HEAD.

``Static("site")`` is a gateway: mount it on an HTTP server, or name the folder to ``portico serve``. What
is promised, and where it is decided:

- nothing outside the folder, by no spelling of a path and through no link: ``confined``;
- preconditions and ranges in the order of RFC 9110; a small file in one write together with its head, a
  large one without passing through Python: ``file_answer``, ``conditions``, ``ranges``;
- types that do not depend on the machine: ``types``.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Self
from urllib.parse import quote

from portico.errors import ConfigError
from portico.web.confined import open_confined, split_path
from portico.web.file_answer import Headers, answer_file, bare, send_span
from portico.web.listing import POLICY, Entry, prefers_json, render_html, render_json
from portico.web.ranges import Span
from portico.web.types import media_type, table_of

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
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


class _Found(NamedTuple):
    """Something open: its descriptor, the facts about exactly that, and the name for its type."""

    fd: int
    facts: os.stat_result
    name: bytes

    @property
    def folder(self) -> bool:
        return stat.S_ISDIR(self.facts.st_mode)

    def close(self) -> None:
        os.close(self.fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class Static:
    """Serves ``root``, a folder or a single file. A gateway; may run in any number of threads.

    ``index`` names the files that answer for a folder, the first that exists. ``listing`` shows what is
    in a folder without one (JSON for ``Accept: application/json``). ``hidden`` serves names that begin
    with a dot, which are otherwise not there, except ``.well-known``. ``types`` adds media types:
    ``{".foo": "text/x-foo"}``. ``cache`` is the Cache-Control of files, ``headers`` go with every file and
    listing. ``not_found``, a path below ``root``, is sent with 404 where nothing is; ``fallback``, likewise
    a path, is sent with 200 for pages that a single-page application draws by itself: for names without a
    dot, and for others when HTML is asked for by name.

    A folder without its slash is answered with 301 (only GET and HEAD come so far, so no method can be
    changed on the way); what may not be read, 403; everything else that is no regular file, 404.
    Raises ``ConfigError`` when ``root`` cannot be served or an option cannot work.
    """

    def __init__(
        self,
        root: str | bytes | os.PathLike[str] | os.PathLike[bytes],
        *,
        index: Sequence[str] = ("index.html",),
        hidden: bool = False,
        listing: bool = False,
        types: Mapping[str, str] | None = None,
        cache: str = "",
        headers: Sequence[tuple[str, str]] = (),
        not_found: str | None = None,
        fallback: str | None = None,
    ) -> None:
        self._root = os.path.abspath(os.fsencode(root))
        self._single = _check_root(self._root)
        self.name = "static:" + self._root.decode("utf-8", "backslashreplace")
        self._index = [_index_name(name) for name in index]
        self._hidden = hidden
        self._listing = listing
        self._types = table_of(types)
        self._extra = _extra_headers(cache, headers)
        self._not_found = self._page("not_found", not_found)
        self._fallback = self._page("fallback", fallback)

    def __repr__(self) -> str:
        return f"<Static {self.name.removeprefix('static:')}>"

    def streams(self, request: RequestHead) -> bool:
        """Never: a body that comes with a GET means nothing (RFC 9110, 9.3.1)."""
        return False

    def __call__(self, exchange: Exchange) -> None:
        """Answer one request."""
        if exchange.method not in ("GET", "HEAD"):
            _other_method(exchange)
            return
        wanted = split_path(exchange.raw_path_info, hidden=self._hidden)
        if wanted is None:
            self._nothing(exchange)
            return
        parts, slash = wanted
        if self._single and slash and not exchange.mount:
            slash = bool(parts)  # at the root of a server, "/" is the only way to name the file itself
        try:
            found = self._locate(parts, slash)
        except OSError as error:
            self._failed(exchange, error)
            return
        with found:
            self._answer(exchange, found, parts, slash)

    # Finding

    def _locate(self, parts: list[bytes], slash: bool) -> _Found:
        """Open what a path means: a file, or a folder for which no index file answers."""
        for name in self._index if slash else ():
            try:
                found = self._open([*parts, name])
            except (FileNotFoundError, NotADirectoryError):
                continue
            if not found.folder:
                return found
            found.close()
        found = self._open(parts)
        if slash and not found.folder:
            found.close()
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        return found

    def _open(self, parts: list[bytes]) -> _Found:
        """Open first, then ask the descriptor what it is: no gap in which it could change."""
        fd = open_confined(self._root, parts)
        facts = os.fstat(fd)
        if not (stat.S_ISREG(facts.st_mode) or stat.S_ISDIR(facts.st_mode)):
            os.close(fd)
            raise FileNotFoundError(errno.ENOENT, "neither a file nor a folder")
        return _Found(fd, facts, parts[-1] if parts else os.path.basename(self._root))

    # Answering

    def _answer(self, exchange: Exchange, found: _Found, parts: list[bytes], slash: bool) -> None:
        if not found.folder:
            self._send(exchange, found)
        elif not slash:
            _redirect(exchange, parts)
        elif self._listing:
            self._list(exchange, found, parts)
        else:
            self._nothing(exchange)

    def _send(self, exchange: Exchange, found: _Found) -> None:
        kind = media_type(found.name, self._types)
        answer_file(exchange, found.fd, found.facts, kind, self._extra)

    def _list(self, exchange: Exchange, found: _Found, parts: list[bytes]) -> None:
        entries = list(self._entries(found.fd, parts))
        headers = [("Vary", "Accept"), *self._extra]
        if prefers_json(exchange.header("accept")):
            kind, body = "application/json", render_json(entries)
        else:
            path = b"".join(part + b"/" for part in [exchange.mount.encode("latin-1"), *parts])
            kind, body = "text/html; charset=utf-8", render_html(path, entries, parent=bool(parts))
            headers.append(("Content-Security-Policy", POLICY))
        exchange.respond(200, [("Content-Type", kind), *headers], body)

    def _entries(self, fd: int, parts: list[bytes]) -> Iterator[Entry]:
        """What a folder shows: files and folders that a request for them would get."""
        with os.scandir(fd) as listed:
            for entry in listed:
                name = os.fsencode(entry.name)
                if name.startswith(b".") and not self._hidden and name != b".well-known":
                    continue
                facts = self._facts(entry, [*parts, name])
                if facts is not None:
                    folder = stat.S_ISDIR(facts.st_mode)
                    yield Entry(name, folder, facts.st_size, facts.st_mtime_ns // 1_000_000_000)

    def _facts(self, entry: os.DirEntry[str], parts: list[bytes]) -> os.stat_result | None:
        """The facts about an entry, behind a link only if it stays inside; ``None``: not to be shown."""
        try:
            if entry.is_symlink():
                with self._open(parts) as found:
                    return found.facts
            facts = entry.stat(follow_symlinks=False)
        except OSError:
            return None  # gone by now, or not for us: then it is not there
        return facts if stat.S_ISREG(facts.st_mode) or stat.S_ISDIR(facts.st_mode) else None

    # Refusing

    def _failed(self, exchange: Exchange, error: OSError) -> None:
        """The answer for a file that could not be opened; what is no everyday reason is raised."""
        if error.errno in _ABSENT:
            self._absent(exchange)
        elif error.errno in _DENIED:
            exchange.respond_error(403, "This may not be read.")
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
            self._send(exchange, found)

    def _nothing(self, exchange: Exchange) -> None:
        """404, with the site's own page for it."""
        found = self._stand_in(self._not_found)
        if found is None:
            exchange.respond_error(404, "There is nothing here.")
            return
        with found:
            kind = media_type(found.name, self._types)
            whole = Span(0, found.facts.st_size)
            send_span(exchange, 404, [("Content-Type", kind), *self._extra], found.fd, whole)

    def _stand_in(self, page: list[bytes] | None) -> _Found | None:
        """A page that was there at the start; if it is gone, the standard answer must do."""
        try:
            return None if page is None else self._open(page)
        except OSError:
            return None

    def _page(self, option: str, path: str | None) -> list[bytes] | None:
        """The names of a page below the root. Raises ``ConfigError`` if it is not there."""
        if path is None:
            return None
        wanted = split_path(quote(os.fsencode(path.lstrip("/"))), hidden=True)
        try:
            if wanted is None:
                raise FileNotFoundError(errno.ENOENT, "not below the folder")
            found = self._open(wanted[0])
        except OSError as error:
            reason = error.strerror or "cannot be opened"
            raise ConfigError(f"static {option}={path!r}: {reason}; name a file below the folder") from error
        found.close()
        if found.folder:
            raise ConfigError(f"static {option}={path!r} is a folder; name a file")
        return wanted[0]


# Checking the options


def _check_root(root: bytes) -> bool:
    """Whether it is a single file. Raises ``ConfigError`` if it cannot be served at all."""
    shown = root.decode("utf-8", "backslashreplace")
    try:
        mode = os.stat(root).st_mode
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(f"static {shown}: {reason}; name a folder or a file that exists") from error
    if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
        raise ConfigError(f"static {shown}: neither a folder nor a regular file")
    if not os.access(root, os.R_OK | (os.X_OK if stat.S_ISDIR(mode) else 0)):
        raise ConfigError(f"static {shown}: may not be read by this user; change its permissions or the user")
    return stat.S_ISREG(mode)


def _index_name(name: str) -> bytes:
    encoded = os.fsencode(name)
    if encoded in (b"", b".", b"..") or b"/" in encoded or b"\0" in encoded:
        raise ConfigError(f"static index {name!r}: write the name of a file, such as index.html")
    return encoded


def _extra_headers(cache: str, headers: Sequence[tuple[str, str]]) -> Headers:
    """What goes with every file. ``nosniff``: an uploaded text must not be run as a page."""
    extra = [("X-Content-Type-Options", "nosniff"), *headers]
    if cache:
        extra.append(("Cache-Control", cache))
    for name, value in extra:
        if not _TOKEN.fullmatch(name) or not _VALUE.fullmatch(value):
            raise ConfigError(f"static header {name!r}: {value!r} cannot be sent in a header")
    return extra


# Pieces


def _wants_page(exchange: Exchange) -> bool:
    last = exchange.path_info.rpartition("/")[2]
    return "." not in last or "text/html" in (exchange.header("accept") or "")


def _other_method(exchange: Exchange) -> None:
    if exchange.method == "OPTIONS":
        bare(exchange, 204, [_ALLOW])
    else:
        exchange.refuse_method(_METHODS, "Files can be read here, no more.")


def _redirect(exchange: Exchange, parts: list[bytes]) -> None:
    """To the same folder with its slash.

    The path is built anew from its names, each encoded: neither ``//host`` nor a backslash or a line
    end of the request survives, so it leads to this server.
    """
    names = [*exchange.mount.encode("latin-1").split(b"/"), *parts]
    place = "".join("/" + quote(name, safe="~!$&'()*+,;=:@") for name in names if name) + "/"
    if exchange.query:
        place += "?" + exchange.query
    exchange.respond(301, [("Location", place)])
