"""One request and its answer, as a gateway sees them.

A gateway is what an HTTP server mounts: static files, CGI, WSGI, a handler. It is called with an
``Exchange``, reads ``exchange.body``, and answers by ``respond`` or ``respond_file`` in one piece, or by
``start``, ``write``, ``send_file`` and ``finish``. It may run in any thread and may block.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from math import inf
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn, Protocol, cast

from portico.address import Address
from portico.compiled import mypyc_attr
from portico.engines.contract import Load
from portico.errors import LocalProtocolError
from portico.http.framing import list_tokens
from portico.http.messages import Fields, RequestHead
from portico.http.notes import Notes
from portico.http.pages import METHODS, REASONS, error_page
from portico.limits import Limits
from portico.sockets.transport import Bytes

if TYPE_CHECKING:
    from portico.http.answering import Answering
    from portico.sockets.stream import Stream

__all__ = ["CutAnswer", "Exchange", "Gateway", "Mount", "Route", "placed", "raw_below"]

Headers = list[tuple[str, str]]
Edit = Callable[[Sequence[tuple[str, str]]], Headers]
"""From the header fields of an answer to those that are sent instead."""

_ESCAPE = re.compile("%[0-9A-Fa-f]{2}")
_BODILESS = (204, 304)
_SOME = 65536


class Gateway(Protocol):
    """Something that answers requests. ``name`` is for the log."""

    name: str

    def streams(self, request: RequestHead) -> bool:
        """Whether to be called before the body has arrived; else it is complete when called."""
        ...

    def __call__(self, exchange: Exchange) -> None: ...


class CutAnswer(Exception):
    """Raised by a gateway that cannot finish the answer it began, and has said why in the log.

    The connection is cut, so that the client sees an answer without its end.
    """


@mypyc_attr(native_class=False)  # such can be referred to weakly, and copied
class Mount:
    """A gateway at its place: ``prefix`` without trailing slash (``""`` is the root).

    A gateway whose ``blocks`` is true, or that of one around which it is put (``gateway``), always waits for
    others: its requests are never run inline. One whose ``strand`` is true waits at Portico's door only: on a
    hub its requests are strands, as conversations are, and hold no thread.

    ``edit`` changes the header fields of its answers. ``limits``: its own, instead of the server's, from the
    moment when its request's head has come; its ``body`` counts only where it is lower than the server's.
    """

    __slots__ = ("__weakref__", "edit", "gateway", "limits", "load", "plain", "prefix", "strand")

    def __init__(
        self,
        gateway: Gateway,
        prefix: str = "",
        *,
        edit: Edit | None = None,
        limits: Limits | None = None,
        load: Load | None = None,
    ) -> None:
        self.gateway = placed(gateway, prefix)
        self.prefix = prefix
        self.edit = edit
        self.limits = limits
        self.load = load or Load()
        self.plain = edit is None and limits is None
        self.strand: bool = getattr(gateway, "strand", False)
        if _blocks(gateway):
            self.load.until = inf

    def __repr__(self) -> str:
        return f"<Mount {self.prefix or '/'} {self.gateway.name}>"


def placed(gateway: Gateway, prefix: str) -> Gateway:
    """A gateway at its place: one that has to know it before there is an exchange, for ``streams()``, offers
    ``below(prefix)``."""
    below = getattr(gateway, "below", None)
    made: Gateway = gateway if below is None else below(prefix)
    return made


def raw_below(raw: str, mount: str) -> str:
    """What follows a mount, given decoded, in an undecoded path."""
    if "%" not in raw:
        return raw[len(mount) :]
    # What the mount is made of may have been escaped: count it off in decoded characters.
    index = 0
    for _ in mount:
        index += 3 if _ESCAPE.match(raw, index) else 1
    return raw[index:]


def _blocks(gateway: Any) -> bool:
    """Whether a gateway, or what it is put around, says that it always waits."""
    while gateway is not None:
        if getattr(gateway, "blocks", False):
            return True
        gateway = getattr(gateway, "gateway", None)
    return False


class Route(Protocol):
    """Finds who answers a request, by its host and path; ``None``: nobody does."""

    def __call__(self, exchange: Exchange) -> Mount | None: ...


class Exchange:
    """A request, and the way to answer it.

    ``path``: decoded, one latin-1 character a byte (as WSGI has it); ``raw_path`` and ``query`` as sent.
    ``mount``: the prefix the gateway is mounted under, ``path_info`` (``raw_path_info``) what follows.
    ``body``: a binary file; ``body_length`` its bytes, ``None`` when it is chunked and still arriving.
    ``connection``: for what lasts longer than one request. ``user``: who it is, where that was proved.
    ``edit``: what is done to the header fields of the answer. ``notes``: what few want to know, or ``None``.
    """

    __slots__ = (
        "_cycle",
        "_headers",
        "body",
        "body_length",
        "connection",
        "edit",
        "method",
        "mount",
        "notes",
        "request",
        "sent",
        "started",
        "status",
        "target",
        "user",
    )

    def __init__(self, connection: Answering, request: RequestHead) -> None:
        self.connection = connection
        self._cycle = connection.cycle
        self._headers: Headers | None = None
        self.request = request
        line = request.line
        self.method = line.method
        self.target = line.target
        self.mount = ""
        self.user = ""
        self.edit: Edit | None = None
        self.notes: Notes | None = None
        self.body: Any = None
        self.body_length: int | None = 0
        self.started = False
        self.status = 0
        self.sent = 0

    # -- the request

    @property
    def headers(self) -> Headers:
        """The fields: lower-case names, latin-1 values, in the order received."""
        if self._headers is None:
            self._headers = self.request.headers
        return self._headers

    def header(self, name: str) -> str | None:
        """All values of a field, joined by commas; ``None`` without one."""
        return self.request.get(name)

    @property
    def path(self) -> str:
        return self.request.line.path

    @property
    def raw_path(self) -> str:
        return self.request.line.raw_path

    @property
    def query(self) -> str:
        return self.request.line.query

    @property
    def path_info(self) -> str:
        """The decoded path below the mount."""
        return self.path[len(self.mount) :]

    @property
    def raw_path_info(self) -> str:
        """The undecoded path below the mount."""
        return raw_below(self.raw_path, self.mount)

    @property
    def trailers(self) -> Fields:
        """The fields that came after a chunked body, once that has been read to its end. They are checked
        and bounded as headers are, and must never be taken for them (RFC 9110, 6.5.1)."""
        return self.connection.trailers if self.request.body_length is None else ()

    @property
    def takes_trailers(self) -> bool:
        """Whether the client said that it keeps trailers (``TE: trailers``; RFC 9110, 10.1.4)."""
        return self.request.line.http11 and "trailers" in list_tokens([self.header("te") or ""])

    @property
    def scheme(self) -> str:
        """``http``, or ``https`` under TLS; what a trusted proxy says of its client counts more."""
        if self.notes is not None and self.notes.scheme is not None:
            return self.notes.scheme
        return "https" if self.tls is not None else "http"

    @property
    def host(self) -> str:
        """The authority that was asked for (``Host``, or that of the target); may be empty."""
        if self.notes is not None and self.notes.host is not None:
            return self.notes.host
        return self.request.authority

    @property
    def peer(self) -> Address | None:
        """Who asks: the other end of the connection, or whom a trusted proxy there names."""
        if self.notes is not None and self.notes.peer is not None:
            return self.notes.peer
        return self.connection.transport.peer

    @property
    def local(self) -> Address | None:
        """Where it was asked."""
        return self.connection.transport.local

    @property
    def tls(self) -> Any:
        """The facts of the secure channel, or ``None``."""
        return self.connection.transport.tls

    @property
    def side_by_side(self) -> tuple[bool, bool]:
        """Whether other requests may be answered meanwhile: in this process, in others of this server."""
        side_by_side: tuple[bool, bool] = cast(Any, self.connection).service.side_by_side
        return side_by_side

    @property
    def client_ended(self) -> bool:
        """Whether the client has ended its side: most have left then, a few have only no more to say."""
        return self.connection.transport.peer_ended()

    @property
    def limits(self) -> Limits:
        """The bounds in force."""
        return self.connection.limits

    @property
    def received(self) -> int:
        """How many bytes of the body have come."""
        return 0 if self.request.body_length == 0 else self.connection.received

    def note(self) -> Notes:
        """The notes, to be added to."""
        if self.notes is None:
            self.notes = Notes()
        return self.notes

    def read_some(self) -> bytes | None:
        """The next part of the body, of any size, as it comes, without waiting: ``None`` when nothing has
        come, ``b""`` at its end. Not to be mixed with reads of ``body``. Raises what the client did."""
        if self.connection.streaming:
            return self.connection.try_piece()
        data: bytes = self.body.read(_SOME)
        return data

    # -- the answer

    def respond(
        self, status: int, headers: Headers, body: bytes = b"", reason: str = "", *, hold: bool = False
    ) -> None:
        """Answer in one piece; ``Content-Length`` is added.

        ``hold``: the gateway returns next, and the answer may leave when it has.

        Raises ``LocalProtocolError`` when an answer was begun, or a header cannot be sent.
        """
        if self.started or not 200 <= status <= 999:
            self._refuse(status)
        self.status = status
        if status in _BODILESS:
            body = b""
        if self.edit is not None:
            headers = self.edit(headers)
        self.connection.answer_whole(status, reason or REASONS.get(status, ""), headers, body, hold)
        self.started = True
        self.sent = len(body)

    def respond_file(
        self, status: int, headers: Headers, file: BinaryIO, offset: int, count: int, reason: str = ""
    ) -> None:
        """Answer in one piece with part of an open regular file, without copying; it is closed afterwards,
        come what may. ``Content-Length`` is added. Raises as ``respond``."""
        try:
            if self.started or not 200 <= status <= 999:
                self._refuse(status)
            self.status = status
            if self.edit is not None:
                headers = self.edit(headers)
            reason = reason or REASONS.get(status, "")
            self.connection.answer_with_file(status, reason, headers, file, offset, count)
        except BaseException:
            file.close()
            raise
        self.started = True
        self.sent = count

    def start(self, status: int, headers: Headers, reason: str = "") -> None:
        """Begin an answer whose body follows; a ``Content-Length`` among the headers is kept to.

        Without one it is sent in chunks, or until close to HTTP/1.0 clients. Nothing leaves before the
        first ``write``, ``send_file`` or ``finish``. Raises ``LocalProtocolError``.
        """
        if self.started or not 200 <= status <= 999:
            self._refuse(status)
        self.status = status
        if self.edit is not None:
            headers = self.edit(headers)
        self.connection.answer_head(status, reason or REASONS.get(status, ""), headers)
        self.started = True

    def write(self, data: Bytes) -> None:
        """Send a part of the body; waits while the reader is too slow. Raises ``ConnectionLost``,
        ``LocalProtocolError`` for more than ``Content-Length``. A buffer may be used again afterwards."""
        self._check_current()
        if self.status in _BODILESS:
            data = b""  # the head may go
        # What waits for the reader must not change.
        self.connection.answer_data(data if type(data) is bytes else bytes(data))
        self.sent += len(data)

    def send_file(self, file: BinaryIO, offset: int, count: int) -> None:
        """Send part of an open regular file without copying; it is closed afterwards, come what may."""
        try:
            self._check_current()
            if self.status in _BODILESS:
                count = 0
            self.connection.answer_file(file, offset, count)
        except BaseException:
            file.close()
            raise
        self.sent += count

    def finish(self, trailers: Sequence[tuple[str, str]] = ()) -> None:
        """End the answer. ``trailers`` are dropped unless the client ``takes_trailers``. Raises
        ``LocalProtocolError`` when less than ``Content-Length`` was sent, and for trailers beside one."""
        self._check_current()
        self.connection.answer_end(trailers if trailers and self.takes_trailers else ())

    # -- before the answer, and instead of one

    def inform(self, status: int, headers: Sequence[tuple[str, str]] = ()) -> bool:
        """Send an informational response at once: 103 (early hints), 102; 100 goes out by itself.

        ``False``: nothing was sent, because an HTTP/1.0 client knows none (RFC 9110, 15.2). Raises
        ``LocalProtocolError`` when the answer has begun, and for any other status than 102 to 199.
        """
        if self.started or not 102 <= status <= 199:
            self._refuse(status, "an informational response of a gateway's own")
        self._check_current()
        if not self.request.line.http11:
            return False
        self.connection.answer_interim(status, headers)
        return True

    def upgrade(
        self, protocol: str, talk: Callable[[Stream], object], headers: Sequence[tuple[str, str]] = ()
    ) -> None:
        """Answer 101, with ``headers``, and give the connection to ``talk(stream)`` when the gateway has
        returned (RFC 9110, 7.8).

        ``talk`` is a handler of raw streams like any other: it has a thread or a strand of its own, plain
        blocking calls, and a stream that is closed when it returns; what the client has sent early is there
        to be read. No limit of HTTP holds any more; a server that ends gives it ``grace``.

        Raises ``LocalProtocolError`` unless the client offered ``protocol`` (see ``request.upgrade``), and
        while its body has not been read to the end: nothing was sent then.
        """
        if self.started:
            self._refuse(101)
        self._check_current()
        if protocol.lower() not in list_tokens([self.request.upgrade or ""]):
            raise LocalProtocolError(f"the client did not offer to upgrade to {protocol[:80]!r}")
        self.connection.answer_switch([("Upgrade", protocol), *headers], talk)
        self.started, self.status = True, 101

    def give_up(self, why: str) -> NoReturn:
        """End what nobody waits for: raises ``ConnectionLost``, which the gateway lets pass.

        ``why`` is what the client did, for the log.
        """
        self.connection.give_up(why)

    def _check_current(self) -> None:
        """What a gateway kept for too long must not write into the answer to the next request."""
        if self.connection.cycle != self._cycle:
            raise LocalProtocolError("this exchange is over")

    def respond_error(self, status: int, detail: str = "", headers: Sequence[tuple[str, str]] = ()) -> None:
        """Answer with the standard error page; ``detail`` is plain text for people."""
        page_headers, page = error_page(status, detail)
        self.respond(status, [*page_headers, *headers], page)

    def refuse_method(self, allowed: Sequence[str], detail: str = "") -> None:
        """Answer that the method is none of those ``allowed`` here: 405, or 501 where it is none that any
        standard knows (RFC 9110, 9.1)."""
        status, reason = (405, "not_allowed") if self.method in METHODS else (501, "method")
        self.connection.refusals.count(reason)
        self.respond_error(status, detail, [("Allow", ", ".join(allowed))])

    def _refuse(self, status: int, what: str = "a final answer") -> NoReturn:
        if self.started:
            raise LocalProtocolError("this request has been answered already")
        raise LocalProtocolError(f"{status} is not the status of {what}")
