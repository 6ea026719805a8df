"""The methods of HTTP as methods of a session, by the names that ``requests`` has made usual."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Generic, TypeVar

from portico.client.url import URL
from portico.compiled import mypyc_attr

__all__ = ["Verbs"]

R = TypeVar("R")
"""What comes back: a response, or (of a session that is awaited) an awaitable of one."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Verbs(Generic[R]):
    """``get``, ``post`` and the others, all by way of ``request``, whose keyword arguments they take."""

    __slots__ = ()

    @abstractmethod
    def request(self, method: str, url: str | URL, **options: Any) -> R:
        """Send a request and return its answer."""

    def get(self, url: str | URL, params: Any = None, **options: Any) -> R:
        """GET ``url``."""
        return self.request("GET", url, params=params, **options)

    def head(self, url: str | URL, **options: Any) -> R:
        """HEAD: as GET, without the body."""
        return self.request("HEAD", url, **options)

    def post(self, url: str | URL, data: Any = None, json: Any = None, **options: Any) -> R:
        """POST ``data`` (a form, bytes, a file …) or ``json``."""
        return self.request("POST", url, data=data, json=json, **options)

    def put(self, url: str | URL, data: Any = None, **options: Any) -> R:
        """PUT ``data``."""
        return self.request("PUT", url, data=data, **options)

    def patch(self, url: str | URL, data: Any = None, **options: Any) -> R:
        """PATCH with ``data``."""
        return self.request("PATCH", url, data=data, **options)

    def delete(self, url: str | URL, **options: Any) -> R:
        """DELETE ``url``."""
        return self.request("DELETE", url, **options)

    def options(self, url: str | URL, **options: Any) -> R:
        """OPTIONS of ``url``: what can be done with it."""
        return self.request("OPTIONS", url, **options)
