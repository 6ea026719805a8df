"""A request as a handler sees it: everything is read from the exchange when it is first asked for."""

from __future__ import annotations

import json
import re
import secrets
from functools import cached_property
from io import BufferedIOBase, BytesIO
from math import isinf
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote

from portico.address import Address
from portico.errors import ConfigError
from portico.http.field_map import Headers
from portico.limits import Limits
from portico.web.forms import Form, read_form
from portico.web.forms_charset import known_codec
from portico.web.handlers.cookies import read_cookies
from portico.web.handlers.fields import Query
from portico.web.handlers.refusal import Refuse

if TYPE_CHECKING:
    from collections.abc import Callable

    from portico.http.exchange import Exchange
    from portico.web.handlers.sessions import Session, Sessions

__all__ = ["Request"]

_HALF = re.compile(r"\\u[dD][89a-fA-F]")


class Request:
    """One request. Whatever of it breaks a rule raises ``Refuse`` when it is asked for.

    ``params``: the parameters of its route; ``exchange``: what it is made of.
    """

    def __init__(self, exchange: Exchange, sessions: Sessions | None = None) -> None:
        self.exchange = exchange
        self.params: dict[str, Any] = {}
        self._sessions = sessions
        self._session: Session | None = None
        self._data: bytes | None = None
        self._form: Form | None = None
        self._reverse: Callable[..., str] | None = None

    # -- what is asked for

    @property
    def method(self) -> str:
        """``GET`` and the like; ``HEAD`` stays ``HEAD`` also where ``get`` answers it."""
        return self.exchange.method

    @property
    def target(self) -> str:
        """As it stood in the request line."""
        return self.exchange.target

    @property
    def path(self) -> str:
        """The whole path, decoded as UTF-8. An encoded slash has become one: routes do not look here."""
        return unquote(self.exchange.raw_path, errors="replace")

    @property
    def mount(self) -> str:
        """The part of the path that led to this handler's routes, without trailing slash."""
        return self.exchange.mount.encode("latin-1").decode("utf-8", "replace")

    @property
    def path_info(self) -> str:
        """The part of the path below the mount."""
        return unquote(self.exchange.raw_path_info, errors="replace")

    @cached_property
    def query(self) -> Query:
        """The names and values of the query, decoded as UTF-8."""
        return Query(parse_qsl(self.exchange.query, keep_blank_values=True, errors="replace"))

    @property
    def query_string(self) -> str:
        """The query as it was sent."""
        return self.exchange.query

    @property
    def scheme(self) -> str:
        """``http`` or ``https``."""
        return self.exchange.scheme

    @property
    def host(self) -> str:
        """Host, and port where it is not the default, as the client named them: a claim, not a fact."""
        return self.exchange.host

    @property
    def url(self) -> str:
        """The absolute URL that was asked for."""
        query = f"?{self.exchange.query}" if self.exchange.query else ""
        path = self.exchange.raw_path.removeprefix("*")  # OPTIONS * asks about the host (RFC 9110, 7.1)
        return f"{self.scheme}://{self.host}{path}{query}"

    def url_for(self, name: str, /, **params: Any) -> str:
        """The path of a named route: see ``Routes.path_for``. Raises ``ConfigError`` outside of routes."""
        if self._reverse is None:
            raise ConfigError(f"url_for({name!r}): this handler was not reached by Routes")
        return self._reverse(name, **params)

    # -- who asks, and with what

    @cached_property
    def headers(self) -> Headers:
        """The header fields, values as latin-1 text."""
        return Headers(self.exchange.headers)

    @cached_property
    def cookies(self) -> dict[str, str]:
        """The cookies by name."""
        return read_cookies("; ".join(value for name, value in self.exchange.headers if name == "cookie"))

    @property
    def peer(self) -> Address | None:
        """Who is connected."""
        return self.exchange.peer

    @cached_property
    def id(self) -> str:
        """What this request is called in the server's log; no client chooses it, but a trusted proxy may: see
        ``RequestIds``."""
        notes = self.exchange.note()
        notes.request_id = notes.request_id or secrets.token_hex(16)
        return notes.request_id

    @property
    def limits(self) -> Limits:
        """The bounds in force."""
        return self.exchange.limits

    @property
    def session(self) -> Session:
        """What is remembered about this client. Raises ``ConfigError`` where no sessions are kept."""
        if self._session is None:
            if self._sessions is None:
                raise ConfigError(
                    "no sessions are kept here: give the App or the Routes sessions=Sessions(key)"
                )
            self._session = self._sessions.load(self.cookies.get(self._sessions.cookie))
        return self._session

    # -- the body

    @property
    def media_type(self) -> str:
        """Of the body, in lower case and without parameters; empty where none is said."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def body(self) -> BufferedIOBase:
        """The body as a binary file. It is complete before the handler runs, in memory or on disk, unless the
        handler asked for it as it arrives (``streaming``)."""
        body: BufferedIOBase = self.exchange.body
        return body

    def read(self) -> bytes:
        """All of the body; the same when asked again."""
        if self._data is None:
            self._rewind()
            self._data = self.body.read()
        return self._data

    @property
    def text(self) -> str:
        """The body as text, by its charset or as UTF-8. Raises ``Refuse`` (400, 415)."""
        codec = known_codec(_charset(self.headers.get("content-type", "")))
        if codec is None:
            raise Refuse(415, "The charset of the body is not known here.")
        try:
            return self.read().decode(codec)
        except UnicodeError:
            raise Refuse(400, f"The body is not text in {codec}.") from None

    def json(self, type: Any = None, *, any_media_type: bool = False) -> Any:  # noqa: A002
        """The body read as JSON (RFC 8259), and with ``type`` checked and converted by msgspec.

        Raises ``Refuse``: 415 when ``Content-Type`` does not say JSON, since a form of another site may
        send text that looks like it; 400 for what is not JSON; 422 for what does not fit the type.
        """
        media = self.media_type
        if not any_media_type and media != "application/json" and not media.endswith("+json"):
            raise Refuse(415, "The body must be JSON, and Content-Type must say application/json.")
        data = self.read()
        try:
            value = _strict_json(data)
        except (ValueError, RecursionError) as error:
            raise Refuse(400, f"The body is not JSON: {error}.") from None
        return value if type is None else _converted(value, type)

    def form(self, **options: Any) -> Form:
        """The fields of the form that was sent: see ``portico.web.forms.read_form``. Read once, then kept;
        files are closed with the request. What is wrong with it is answered by its status, when let pass."""
        if self._form is None:
            self._rewind()
            self._form = read_form(self.exchange, **options)
        return self._form

    def _rewind(self) -> None:
        """Whoever has read the body before, to check its signature say, takes it from nobody."""
        if self.body.seekable():
            self.body.seek(0)
        elif self._data is not None:  # it came as it was asked for, and is here now
            self.exchange.body = BytesIO(self._data)

    def close(self) -> None:
        """Let go of the files of a form; called when the request has been answered."""
        if self._form is not None:
            self._form.close()

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.target[:200]} from {self.peer}>"


def _charset(content_type: str) -> str:
    for parameter in content_type.split(";")[1:]:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset":
            return value.strip().strip('"') or "utf-8"
    return "utf-8"


def _strict_json(data: bytes) -> Any:
    # ``loads`` itself would let half characters pass, as bytes and as escapes; no answer could repeat them.
    text = data.decode(json.detect_encoding(data))
    value = json.loads(text, parse_constant=_no_constant, parse_float=_finite)
    if _HALF.search(text):
        json.dumps(value, ensure_ascii=False).encode()
    return value


def _finite(digits: str) -> float:
    number = float(digits)
    if isinf(number):
        raise ValueError(f"{digits[:40]} is beyond all numbers")
    return number


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _converted(value: Any, kind: Any) -> Any:
    try:
        import msgspec
    except ImportError:
        raise ConfigError("request.json(type) needs msgspec: pip install msgspec") from None
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise Refuse(422, f"{error}.") from None
