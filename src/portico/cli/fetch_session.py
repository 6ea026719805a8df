"""What ``--session`` keeps in a file: cookies, and for each origin header fields and credentials."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from portico.client.cookies import Cookie, CookieJar
from portico.client.private_file import write_private
from portico.client.url import URL
from portico.errors import ConfigError

__all__ = ["SessionFile"]

_VERSION = 1
_OF_ONE_REQUEST = ("content-", "if-", "range", "expect", "host", "transfer-encoding")


class SessionFile:
    """A file of mode 0600, which is not there yet at first. Raises ``ConfigError`` for one that is none."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        if not self._path.parent.is_dir():  # now, and not when the answer is there
            raise ConfigError(f"session: {path!r} is in no folder that there is")
        self.cookies = CookieJar()
        self._origins: dict[str, dict[str, Any]] = {}
        try:
            self._read(json.loads(self._path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            pass
        except OSError as error:
            raise ConfigError(f"session: cannot read {path!r}: {error.strerror}") from None
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            raise ConfigError(f"session: {path!r} is no session of ours; name another file") from None

    def headers(self, url: URL) -> list[tuple[str, str]]:
        """The header fields kept for the origin of ``url``."""
        return [(name, value) for name, value in self._of(url)["headers"]]

    def auth(self, url: URL) -> list[str] | None:
        """The kind of credentials kept for the origin of ``url``, and they."""
        found: list[str] | None = self._of(url)["auth"]
        return found

    def take_cookies(self, url: URL, headers: list[tuple[str, str | None]]) -> list[tuple[str, str | None]]:
        """``headers`` without ``Cookie``, whose cookies belong to the host of ``url`` from now on. Raises
        ``ConfigError``."""
        for name, value in headers:
            if name.lower() == "cookie":
                for pair in filter(str.strip, (value or "").split(";")):
                    cookie, _, content = pair.strip().partition("=")
                    self.cookies.set(cookie, content, domain=url.host)
        return [(name, value) for name, value in headers if name.lower() != "cookie"]

    def keep(self, url: URL, headers: list[tuple[str, str | None]], auth: list[str] | None) -> None:
        """Keep what was given for the origin of ``url``; a field without a value is forgotten."""
        known = self._origins.setdefault(str(url.origin), self._of(url))
        for name in {name.lower() for name, _ in headers if not name.lower().startswith(_OF_ONE_REQUEST)}:
            known["headers"] = [pair for pair in known["headers"] if pair[0].lower() != name]
            known["headers"] += [
                [n, value] for n, value in headers if n.lower() == name and value is not None
            ]
        known["auth"] = auth or known["auth"]

    def save(self) -> None:
        """Write the file, all of it or nothing. Raises ``ConfigError``."""
        told = {
            "version": _VERSION,
            "origins": self._origins,
            "cookies": [asdict(cookie) for cookie in self.cookies],
        }
        try:
            write_private(self._path, (json.dumps(told, indent=2) + "\n").encode())
        except OSError as error:
            raise ConfigError(f"session: cannot write {str(self._path)!r}: {error.strerror}") from None

    def _read(self, told: Any) -> None:
        if told["version"] != _VERSION:
            raise ValueError
        for origin, known in told["origins"].items():
            headers = [[str(name), str(value)] for name, value in known["headers"]]
            auth = known["auth"]
            self._origins[origin] = {
                "headers": headers,
                "auth": None if auth is None else list(map(str, auth)),
            }
            if auth is not None and len(auth) != 2:
                raise ValueError
        self.cookies = CookieJar(Cookie(**facts) for facts in told["cookies"])

    def _of(self, url: URL) -> dict[str, Any]:
        return self._origins.get(str(url.origin), {"headers": [], "auth": None})
