"""The session behind ``portico fetch``: options become its settings, a session's file its memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from portico.cli.fetch_login import credentials, login
from portico.cli.fetch_request import Wanted
from portico.cli.fetch_session import SessionFile
from portico.cli.fetch_wire import Prepared
from portico.client.options import client_tls
from portico.client.redirects import MOST
from portico.client.request import Request
from portico.client.response import Response
from portico.client.session import Session
from portico.client.url import URL
from portico.errors import ConfigError

__all__ = ["Client", "client"]


class Client:
    """Sends one request with ``session``, or prepares it; keeps in ``kept`` what is to be kept."""

    def __init__(
        self, want: Wanted, session: Session, kept: SessionFile | None, auth: list[str] | None
    ) -> None:
        self.proxies = session.defaults.proxies
        self._want = want
        self._session = session
        self._kept = kept
        self._auth = auth

    def prepare(self) -> Request:
        """The request as it would be sent, with cookies and credentials."""
        try:
            self._send(hooks={"request": Prepared.stop})
        except Prepared as prepared:
            return prepared.request
        raise AssertionError("a request was sent past its hook")

    def send(self, save: bool) -> Response:
        """The answer, whose body is still to come. ``save``: write the session's file."""
        response = self._send()
        if self._kept is not None and save:
            self._kept.keep(URL.parse(self._want.url), self._want.headers, self._auth)
            self._kept.save()
        return response

    def _send(self, **more: Any) -> Response:
        want, url = self._want, URL.parse(self._want.url)
        auth, headers = self._auth, []
        if self._kept is not None:
            auth = auth or self._kept.auth(url)
            headers = self._kept.headers(url)
        return self._session.request(
            want.method,
            url,
            headers=want.fields(headers),
            params=want.params or None,
            data=want.body,
            auth=credentials(auth),
            check=False,
            stream=True,
            **more,
        )


@contextmanager
def client(want: Wanted, options: dict[str, Any]) -> Iterator[Client]:
    """A client by the options of the command line. Raises ``ConfigError``."""
    file = options["session"] or options["session_read_only"]
    if options["session"] and options["session_read_only"]:
        raise ConfigError("--session and --session-read-only are two ways to use one file")
    kept = SessionFile(file) if file else None
    if kept is not None:
        want = replace(want, headers=kept.take_cookies(URL.parse(want.url), want.headers))
    most = options["max_redirects"]
    with Session(
        cookies=None if kept is None else kept.cookies,
        redirects=most if most is not None else MOST if options["follow"] else 0,
        proxies=options["proxy"],
        verify=client_tls(_trust(options), _own_certificate(options)),
    ) as session:
        yield Client(want, session, kept, login(options["auth"], options["auth_type"]))


def _trust(options: dict[str, Any]) -> bool | str:
    if options["ca"] and not options["verify"]:
        raise ConfigError("--ca says whom to trust, --no-verify to trust anybody")
    return options["ca"] or bool(options["verify"])


def _own_certificate(options: dict[str, Any]) -> Any:
    if options["cert_key"] and not options["cert"]:
        raise ConfigError("--cert-key is the key of a --cert")
    return (options["cert"], options["cert_key"]) if options["cert_key"] else options["cert"]
