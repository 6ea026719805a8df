"""Sessions that the client keeps: a signed cookie of JSON, readable by its owner, changed by nobody.

They need no store, and so they cannot be taken back before they expire, and an old copy is as good as the
last one: what must be used up once (a credit, a one-time code) belongs into a database.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, MutableMapping, Sequence
from time import time
from typing import Any

from portico.errors import ConfigError, LimitExceeded
from portico.web.handlers.cookies import LONGEST, Cookie
from portico.web.handlers.signing import BadSignature, Key, Signer

__all__ = ["Session", "Sessions"]


class Session(MutableMapping[str, Any]):
    """What is remembered about one client: text keys, JSON values. Saved with the answer when it changed.

    ``new``: it did not come with the request. ``clear()`` ends it: the cookie is deleted.
    """

    __slots__ = ("_came", "_values", "expiry", "new")

    def __init__(self, values: dict[str, Any] | None = None, expiry: int = 0) -> None:
        self.new = values is None
        self.expiry = expiry
        self._values = values or {}
        self._came = self.text()

    @property
    def changed(self) -> bool:
        """Whether it differs from what came with the request, at any depth."""
        return self.text() != self._came

    def text(self) -> str:
        """As JSON. Raises ``ConfigError`` for what JSON cannot hold. Tuples come back as lists."""
        try:
            text = json.dumps(self._values, separators=(",", ":"), sort_keys=True, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise ConfigError(f"a session holds JSON values only: {error}") from None
        return text

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __setitem__(self, name: str, value: Any) -> None:
        if not isinstance(name, str):
            raise ConfigError(f"session key {name!r}: expected text")
        self._values[name] = value

    def __delitem__(self, name: str) -> None:
        del self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"<Session {'new, ' if self.new else ''}{', '.join(self._values) or 'empty'}>"


class Sessions:
    """How sessions are kept: ``Sessions(key)``, or ``Sessions([new_key, old_key])`` while keys change.

    ``seconds`` without a visit after which one expires; the expiry is inside the signature, and renewed when
    half of the time is over. ``secure=None``: the cookie is ``Secure`` where the request came by https.
    The other options are those of ``Cookie``. Raises ``ConfigError``.
    """

    def __init__(
        self,
        keys: Key | Sequence[Key],
        *,
        cookie: str = "session",
        seconds: int = 14 * 86400,
        secure: bool | None = None,
        same_site: str = "Lax",
        path: str = "/",
        domain: str | None = None,
    ) -> None:
        if not seconds > 0:
            raise ConfigError(f"Sessions: seconds={seconds!r}: expected a number above zero")
        # The cookie's name is part of the purpose: two applications may share a key.
        self._signer = Signer(keys, f"session {cookie}")
        self.cookie = cookie
        self.seconds = int(seconds)
        self._secure, self._same_site = secure, same_site
        self._path, self._domain = path, domain
        self._made("")

    def load(self, value: str | None) -> Session:
        """The session of a request's cookie; a new one where there is none that is ours and still good."""
        if value is None:
            return Session()
        try:
            data, expiry = self._signer.read(value)
        except BadSignature:
            return Session()
        return Session(json.loads(data), expiry)

    def save(self, session: Session) -> Cookie | None:
        """The cookie to be sent, if any. Raises ``LimitExceeded`` for a session that is too large."""
        changed = session.changed
        if not session:
            return None if session.new else self._made("", max_age=0)
        if not changed and session.expiry - time() > self.seconds / 2:
            return None
        value = self._signer.sign(session.text().encode(), seconds=self.seconds)
        if len(self.cookie) + len(value) > LONGEST:
            raise LimitExceeded(
                f"the session {self.cookie} is {len(value)} bytes as a cookie; browsers keep {LONGEST}: "
                "keep in it what names the data, and the data elsewhere",
                "",
                500,
            )
        return self._made(value, max_age=self.seconds)

    def _made(self, value: str, max_age: int | None = None) -> Cookie:
        return Cookie(
            name=self.cookie,
            value=value,
            max_age=max_age,
            path=self._path,
            domain=self._domain,
            secure=self._secure,
            same_site=self._same_site,
        )
