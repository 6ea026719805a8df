"""An answer as a value, and the usual ones made."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Iterable, Mapping
from datetime import date, datetime, time
from typing import Any, BinaryIO, Self
from uuid import UUID

from portico.errors import ConfigError, LocalProtocolError
from portico.http.field_map import OutgoingHeaders
from portico.web.handlers.cookies import Cookie
from portico.web.handlers.events import Event, event_stream
from portico.web.handlers.files import FileBody
from portico.web.handlers.locations import read_location

__all__ = ["Response"]

Body = bytes | bytearray | memoryview | str | Iterable[bytes] | BinaryIO | FileBody
GivenHeaders = Mapping[str, str] | Iterable[tuple[str, str]]

_REDIRECTS = (301, 302, 303, 307, 308)


class Response:
    """An answer: ``status``, ``headers`` (several of a name are possible), ``body``, cookies.

    ``body``: bytes; text, sent as UTF-8; an iterable of bytes, sent as it comes; an open binary file, which
    is closed when it has been sent; or a ``FileBody``. ``type`` is the ``Content-Type``, unless ``headers``
    have one; without either, text is ``text/plain``, for what is put together from input must not become a
    page by itself.

    Raises ``LocalProtocolError`` for what cannot be sent.
    """

    def __init__(
        self,
        body: Body = b"",
        status: int = 200,
        headers: GivenHeaders = (),
        *,
        type: str | None = None,  # noqa: A002
    ) -> None:
        if not 200 <= status <= 999:
            raise LocalProtocolError(f"{status!r} is not the status of a final answer")
        self.status = int(status)
        self.headers = OutgoingHeaders(headers.items() if isinstance(headers, Mapping) else headers)
        self.cookies: list[Cookie] = []
        if isinstance(body, str):
            type = type or "text/plain; charset=utf-8"  # noqa: A001
            body = body.encode()
        elif isinstance(body, (bytearray, memoryview)):
            body = bytes(body)
        elif not isinstance(body, bytes):
            _check_body(body)
        self.body = body
        if type is not None:
            self.headers.setdefault("Content-Type", type)

    # -- made

    @classmethod
    def text(cls, text: str, status: int = 200, headers: GivenHeaders = ()) -> Self:
        """Plain text."""
        return cls(text, status, headers)

    @classmethod
    def html(cls, text: str, status: int = 200, headers: GivenHeaders = ()) -> Self:
        """A page. What comes from outside must have been escaped (``html.escape``, a template)."""
        return cls(text, status, headers, type="text/html; charset=utf-8")

    @classmethod
    def json(cls, value: Any, status: int = 200, headers: GivenHeaders = ()) -> Self:
        """A value as JSON; also dataclasses, dates and times (ISO 8601), UUIDs and msgspec's structures.

        Raises ``LocalProtocolError`` for what JSON cannot say, NaN among it.
        """
        try:
            text = json.dumps(
                value, ensure_ascii=False, allow_nan=False, default=_plain, separators=(",", ":")
            )
            data = text.encode()
        except (TypeError, ValueError, RecursionError) as error:
            raise LocalProtocolError(f"this cannot be sent as JSON: {error}") from error
        return cls(data, status, headers, type="application/json")

    @classmethod
    def file(
        cls,
        path: str | os.PathLike[str] | BinaryIO,
        *,
        root: str | os.PathLike[str] | None = None,
        type: str | None = None,  # noqa: A002
        name: str | None = None,
        headers: GivenHeaders = (),
    ) -> Self:
        """A file: with validators, conditions and ranges, and without copying where that is possible.

        ``path``: of a regular file, or one open for reading bytes. ``root``: a folder that ``path``, however
        it is spelt and whatever links it goes through, cannot leave: needed wherever a client has a say in
        it. ``name``: to be saved as this. What is not there is answered with 404.
        """
        return cls(FileBody(path, root, type, name), 200, headers)

    @classmethod
    def redirect(
        cls, location: str, status: int = 303, headers: GivenHeaders = (), *, here: bool = False
    ) -> Self:
        """To another place: 303 (the default) is fetched with GET, 307 and 308 with the same method and body.

        ``location``: a URL (http, https) or a path; characters that a URL cannot hold are encoded.
        ``here=True``: only within this server, for places that a client named (``?next=``): others raise
        ``Refuse`` (400). Raises ``LocalProtocolError`` for control characters, other schemes, and for what
        browsers read as another host without looking so (``//host``, backslashes).
        """
        if status not in _REDIRECTS:
            raise LocalProtocolError(f"redirect: {status} is none of {', '.join(map(str, _REDIRECTS))}")
        answer = cls(b"", status, headers)
        answer.headers["Location"] = read_location(location, here=here)
        return answer

    @classmethod
    def stream(
        cls,
        pieces: Iterable[bytes],
        status: int = 200,
        headers: GivenHeaders = (),
        *,
        type: str = "application/octet-stream",  # noqa: A002
    ) -> Self:
        """Pieces, each sent when it comes. The iterable is closed in any case."""
        return cls(pieces, status, headers, type=type)

    @classmethod
    def events(cls, events: Iterable[Event | str], headers: GivenHeaders = ()) -> Self:
        """Server-sent events, each sent when it comes; not kept and not held back by proxies."""
        answer = cls(event_stream(events), 200, headers, type="text/event-stream")
        answer.headers.setdefault("Cache-Control", "no-store")
        answer.headers.setdefault("X-Accel-Buffering", "no")
        return answer

    @classmethod
    def no_content(cls, headers: GivenHeaders = ()) -> Self:
        """204."""
        return cls(b"", 204, headers)

    @classmethod
    def error(cls, status: int, detail: str = "", headers: GivenHeaders = ()) -> Self:
        """The standard error page; ``detail`` is plain text and is shown."""
        from portico.http.pages import error_page

        fields, page = error_page(status, detail)
        answer = cls(page, status, fields)
        answer.headers.update(headers)
        return answer

    # -- cookies

    def set_cookie(self, name: str, value: str = "", **attributes: Any) -> Self:
        """Set a cookie: see ``Cookie`` for its attributes, and for what raises ``ConfigError``. ``HttpOnly``,
        ``SameSite=Lax``, and ``Secure`` under https, unless told otherwise."""
        try:
            self.cookies.append(Cookie(name=name, value=value, **attributes))
        except TypeError as error:
            raise ConfigError(f"cookie {name}: {error}") from None
        return self

    def delete_cookie(self, name: str, *, path: str = "/", domain: str | None = None) -> Self:
        """Let the browser forget a cookie; path and domain must be those that it was set with."""
        return self.set_cookie(name, max_age=0, path=path, domain=domain)

    def __repr__(self) -> str:
        size = f"{len(self.body)} B" if isinstance(self.body, bytes) else type(self.body).__name__
        return f"<Response {self.status} {self.headers.get('content-type', '')} {size}>"


def _check_body(body: Any) -> None:
    streams = isinstance(body, (FileBody, Iterable)) or hasattr(body, "read")
    if isinstance(body, Mapping) or not streams:
        raise LocalProtocolError(
            "the body of a Response is bytes, text, an iterable of bytes or a file, "
            f"not {type(body).__name__}; Response.json() sends values"
        )


def _plain(value: Any) -> Any:
    """What ``json`` does not know, as something that it does."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, (date, datetime, time)):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    msgspec = sys.modules.get("msgspec")  # whoever made such a value has imported it
    if msgspec is not None and isinstance(value, msgspec.Struct):
        return msgspec.to_builtins(value)
    raise TypeError(f"{type(value).__name__} is no JSON value")
