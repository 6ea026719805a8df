"""What the fields of a form say, for CGI and WSGI programs and for our own handlers.

::

    with read_form(environ) as form:            # WSGI; read_form() in a CGI program; read_form(exchange)
        name = form.getfirst("name", "")
        for upload in form.uploads:
            upload.save(folder / upload.safe_name)

The body is read once, as a stream: fields are kept in memory, files above a size in one temporary file
that has no name, so that nothing can be left behind. Whatever is wrong with a form is one error with a
status: ``FormError`` (400; 415 for a body that is no form) or ``FormTooLarge`` (413, 431).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Self, TypeVar, overload

from portico.errors import FormError
from portico.limits import Limits
from portico.web.forms_reader import FormReader, Value
from portico.web.forms_source import source_of
from portico.web.forms_upload import Upload, safe_name

if TYPE_CHECKING:
    from portico.http.exchange import Exchange

__all__ = ["Form", "Upload", "read_form", "read_query", "safe_name"]

Default = TypeVar("Default")


class _Missing(FormError, KeyError):
    """What a client left out; for ``get`` and ``in`` a name that is not there, as in any mapping."""

    __str__ = FormError.__str__  # not the quoted text of a KeyError: clients get to see it


class Form(Mapping[str, Value]):
    """The fields of a form by name, in the order they were sent; a name may have several values.

    A value is a ``str``, or an ``Upload`` for a file. ``form[name]`` is the first value of a name
    (without one a ``KeyError`` that is a ``FormError`` as well), and iterating gives each name once;
    ``fields`` are all pairs. A form that holds files has to be closed, at best by ``with``; closing it takes
    their content away.
    """

    def __init__(self, fields: list[tuple[str, Value]], kept: IO[bytes] | None = None) -> None:
        self.fields = fields
        self._kept = kept
        self._named: dict[str, list[Value]] = {}
        for name, value in fields:
            self._named.setdefault(name, []).append(value)

    @overload
    def getfirst(self, name: str) -> Value | None: ...
    @overload
    def getfirst(self, name: str, default: Default) -> Value | Default: ...
    def getfirst(self, name: str, default: Any = None) -> Any:
        """The first value of a name, or ``default``."""
        values = self._named.get(name)
        return values[0] if values else default

    def getlist(self, name: str) -> list[Value]:
        """All values of a name; none: an empty list."""
        return list(self._named.get(name, ()))

    def getvalue(self, name: str, default: Any = None) -> Any:
        """The value of a name, a list where there are several, ``default`` where there is none."""
        values = self._named.get(name)
        if not values:
            return default
        return values[0] if len(values) == 1 else list(values)

    @property
    def uploads(self) -> list[Upload]:
        """The files, without those fields for which no file was chosen."""
        return [value for _, value in self.fields if isinstance(value, Upload) and value]

    def close(self) -> None:
        """Let go of the files."""
        if self._kept is not None:
            self._kept.close()

    def __getitem__(self, name: str) -> Value:
        try:
            return self._named[name][0]
        except KeyError:
            raise _Missing(f"the form has no field {name!r}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._named)

    def __len__(self) -> int:
        return len(self._named)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Form {', '.join(map(repr, self._named))}>"


def read_form(
    request: Mapping[str, Any] | Exchange | None = None,
    *,
    limits: Limits | None = None,
    charset: str = "utf-8",
    errors: str = "replace",
    query: bool = False,
) -> Form:
    """The form that was sent with a request; to GET and HEAD, what the query says.

    ``request``: the environment of a WSGI application, an exchange, or nothing in a CGI program.
    ``limits``: by default those of the server (``portico.limits`` in a WSGI environment), else
    ``Limits()``. ``charset``: the page's encoding, unless the form says another (``_charset_``, a part's
    own); ``errors``: ``"strict"`` refuses what is not in it. ``query``: fields of the query are added behind
    those of the body, as the ``cgi`` module did.

    Raises ``FormError`` and ``FormTooLarge``; each has the ``status`` for an answer.
    """
    source = source_of(request)
    with FormReader(_limits(request, limits), charset, errors) as reader:
        asks = source.method in ("GET", "HEAD")
        if not asks:
            reader.body(source)
        if asks or query:
            reader.pairs(source.query)
        return Form(*reader.result())


def read_query(
    request: Mapping[str, Any] | Exchange | None = None,
    *,
    limits: Limits | None = None,
    charset: str = "utf-8",
    errors: str = "replace",
) -> Form:
    """What the query of a request says, whatever its method. Arguments and errors as of ``read_form``."""
    with FormReader(_limits(request, limits), charset, errors) as reader:
        reader.pairs(source_of(request).query)
        return Form(*reader.result())


def _limits(request: Mapping[str, Any] | Exchange | None, limits: Limits | None) -> Limits:
    if limits is not None:
        return limits
    if request is None or isinstance(request, Mapping):
        served: Limits | None = None if request is None else request.get("portico.limits")
        return served or Limits()
    return request.limits
