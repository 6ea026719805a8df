"""Routes as they are told: which handler is for which path, method and host, and what they are called."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlencode

from portico.errors import ConfigError
from portico.web.handlers.app import Bounds
from portico.web.handlers.functions import taken
from portico.web.handlers.methods import by_method, check_plain, has_methods, instance
from portico.web.handlers.pattern import Pattern
from portico.web.handlers.sessions import Sessions
from portico.web.handlers.tree import Asked, Endpoint, Found, Node

if TYPE_CHECKING:
    from portico.http.exchange import Gateway

__all__ = ["Table"]

F = TypeVar("F", bound=Callable[..., Any])


class Table:
    """Routes by path, method and perhaps host: see ``Routes``.

    ``table``: rows ``(path, handler)`` and ``(methods, path, handler)``, methods as ``"GET POST"``; a row
    whose handler is ``Routes`` or another gateway is a mount. ``sessions``: see ``Sessions``.
    ``redirect_slashes``: whether ``/a/`` leads to ``/a`` where only that is there, and the reverse. Raises
    ``ConfigError`` for what cannot work, when it is added.
    """

    def __init__(
        self,
        table: Iterable[tuple[Any, ...]] = (),
        *,
        sessions: Sessions | None = None,
        redirect_slashes: bool = True,
        name: str = "routes",
    ) -> None:
        self.name = name
        self.sessions = sessions
        self._redirect_slashes = redirect_slashes
        self._trees: dict[str, Node] = {"": Node()}
        self._names: dict[str, Pattern] = {}
        self._mounted: dict[str, tuple[Pattern, Table]] = {}
        self._streams = False
        for row in table:
            self._add_row(row)

    # -- adding

    def add(
        self,
        path: str,
        handler: Any,
        methods: str | Iterable[str] = "GET",
        *,
        name: str | None = None,
        host: str = "",
        body: int | None = None,
    ) -> None:
        """Let ``handler`` answer a path: a function of the request, and of those parameters of the path that
        it names; or a class, made once without arguments, or an object, with ``get``, ``post`` … of the same
        kind, and then ``methods`` counts for nothing.

        ``name``: for ``path_for``; by default the function's or the class's. ``host``: only there;
        ``*.example.org`` is all hosts below one. ``body``: more bytes than so many are refused (413).
        """
        pattern = Pattern(path)
        functions = _functions(handler, methods)
        tree = self._trees.setdefault(_host_key(host), Node())
        for method, function in functions.items():
            bounds = Bounds.of(function, body)
            bounds.stream = bounds.stream or Bounds.of(handler).stream
            self._streams = self._streams or bounds.stream or body is not None
            takes = taken(function, pattern.names, f"{method} {path}")
            tree.add(method, Endpoint(pattern, function, takes, bounds))
        self._keep_name(pattern, name, getattr(handler, "__name__", ""))

    def route(self, path: str, methods: str | Iterable[str] = "GET", **options: Any) -> Callable[[F], F]:
        """Decorator: as ``add``."""

        def decorate(handler: F) -> F:
            self.add(path, handler, methods, **options)
            return handler

        return decorate

    def get(self, path: str, **options: Any) -> Callable[[F], F]:
        """Decorator: GET, and HEAD with it."""
        return self.route(path, "GET", **options)

    def post(self, path: str, **options: Any) -> Callable[[F], F]:
        """Decorator: POST."""
        return self.route(path, "POST", **options)

    def put(self, path: str, **options: Any) -> Callable[[F], F]:
        """Decorator: PUT."""
        return self.route(path, "PUT", **options)

    def patch(self, path: str, **options: Any) -> Callable[[F], F]:
        """Decorator: PATCH."""
        return self.route(path, "PATCH", **options)

    def delete(self, path: str, **options: Any) -> Callable[[F], F]:
        """Decorator: DELETE."""
        return self.route(path, "DELETE", **options)

    def mount(self, prefix: str, gateway: Any, *, name: str | None = None, host: str = "") -> None:
        """Let other routes, or a gateway (``Static``, ``WSGI``, ``CGI``), answer everything below a path.

        Parameters of ``prefix`` are in ``request.params``. Routes with a ``name`` are found by ``path_for``
        as ``name.route``. Other routes keep their own sessions, or have ours.
        """
        pattern = Pattern.prefix(prefix)
        tree = self._trees.setdefault(_host_key(host), Node())
        if isinstance(gateway, Table):
            tree.graft(pattern, gateway)
        elif callable(getattr(gateway, "streams", None)):
            tree.graft(pattern, _Leaf(gateway))
        else:
            raise ConfigError(
                f"mount {prefix}: {gateway!r} is neither routes nor a gateway, such as WSGI(app)"
            )
        self._streams = True
        if name is not None:
            if not isinstance(gateway, Table) or name in self._mounted:
                raise ConfigError(f"mount {prefix}: the name {name!r} is for one set of routes")
            self._mounted[name] = pattern, gateway

    def _add_row(self, row: tuple[Any, ...]) -> None:
        if not 2 <= len(row) <= 3:
            raise ConfigError(f"a row of routes is (path, handler) or (methods, path, handler), not {row!r}")
        methods, path, handler = row if len(row) == 3 else ("GET", *row)
        if len(row) == 2 and callable(getattr(handler, "streams", None)):
            self.mount(path, handler)
        else:
            self.add(path, handler, methods)

    def _keep_name(self, pattern: Pattern, name: str | None, own: str) -> None:
        if name is None:
            self._names.setdefault(own, pattern)
        elif self._names.setdefault(name, pattern).text != pattern.text:
            raise ConfigError(f"two routes are called {name!r}: {self._names[name].text} and {pattern.text}")

    # -- the way back

    def path_for(self, name: str, /, *, query: Mapping[str, Any] | None = None, **params: Any) -> str:
        """The path of a route, below the mount of these routes; values are encoded. Raises ``ConfigError``
        for a name that is not there, and for values that the route would not read so."""
        return self._path(name, params) + (f"?{urlencode(query, doseq=True)}" if query else "")

    def _path(self, name: str, params: dict[str, Any]) -> str:
        outer, dot, inner = name.partition(".")
        if dot and outer in self._mounted:
            pattern, routes = self._mounted[outer]
            own = {key: value for key, value in params.items() if key in pattern.names}
            rest = {key: value for key, value in params.items() if key not in own}
            return pattern.path(own) + routes._path(inner, rest)
        pattern_of = self._names.get(name)
        if pattern_of is None:
            raise ConfigError(f"no route is called {name!r}; there are: {', '.join(sorted(self._names))}")
        extra = [key for key in params if key not in pattern_of.names]
        if extra:
            raise ConfigError(f"the path {pattern_of.text} has no parameter {', '.join(extra)}")
        return pattern_of.path(params)

    # -- finding

    @property
    def names(self) -> set[str]:
        """What ``path_for`` knows: names of routes, and of mounted routes."""
        return {*self._names, *self._mounted}

    def find(self, parts: list[str], asked: Asked) -> Found | None:
        """Who answers a path, given by its decoded segments."""
        for tree in _by_host(self._trees, asked.host):
            found = tree.find(parts, asked)
            if found is not None or asked.seen:
                return found
        return None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}, {len(self._names)} names>"


class _Leaf:
    """A gateway as a branch: it answers whatever is below, and every method."""

    sessions = None

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway

    def find(self, parts: list[str], asked: Asked) -> Found:
        return Found(self.gateway, {})


def _functions(handler: Any, methods: str | Iterable[str]) -> dict[str, Any]:
    if has_methods(handler):
        return by_method(instance(handler))
    names = methods.replace(",", " ").split() if isinstance(methods, str) else list(methods)
    if not names or not all(name.isascii() and name.isalpha() and name.isupper() for name in names):
        raise ConfigError(f'methods={methods!r}: expected names in capitals, as in "GET POST"')
    return dict.fromkeys(names, check_plain(handler))


# -- hosts


def _host_key(host: str) -> str:
    if "/" in host or (host.startswith("*") and not host.startswith("*.")):
        raise ConfigError(f"host={host!r}: expected a name, as in example.org or *.example.org")
    return _host_name(host)


def _host_name(authority: str) -> str:
    """Without port and final dot, in lower case."""
    if authority.startswith("["):
        return authority.partition("]")[0].lower() + "]"
    return authority.partition(":")[0].lower().rstrip(".")


def _by_host(trees: dict[str, Node], host: str) -> list[Node]:
    """The trees that may answer for a host: its own, those of ``*.`` names above it, and that for all."""
    if len(trees) == 1 or not host:
        return [trees[""]]
    name = _host_name(host)
    labels = name.split(".")
    keys = [name, *("*." + ".".join(labels[at:]) for at in range(1, len(labels))), ""]
    return [trees[key] for key in keys if key in trees]
