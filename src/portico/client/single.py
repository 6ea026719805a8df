"""Single requests, for which no session is kept: ``portico.get(url)`` and its siblings."""

from __future__ import annotations

from typing import Any

from portico.client.response import Response
from portico.client.session import Session
from portico.client.url import URL
from portico.client.verbs import Verbs

__all__ = ["delete", "get", "head", "options", "patch", "post", "put", "request"]

_OF_SESSIONS = ("app", "env", "hsts", "pool")


class _Single(Verbs[Response]):
    """Each request has a session of its own, and so neither cookies nor connections of another."""

    def request(self, method: str, url: str | URL, **options: Any) -> Response:
        own = {name: options.pop(name) for name in _OF_SESSIONS if name in options}
        with Session(
            **own
        ) as session:  # closed at once: a body that is still being read keeps its connection
            return session.request(method, url, **options)


_single = _Single()
request = _single.request
get = _single.get
head = _single.head
post = _single.post
put = _single.put
patch = _single.patch
delete = _single.delete
options = _single.options
