"""What a proxy is told about who asks: Basic, and Digest as soon as it wants that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from portico.client.auth import Basic
from portico.client.digest import Digest
from portico.client.logins import check_basic
from portico.sync import Guard

if TYPE_CHECKING:
    from portico.client.body import Body
    from portico.client.digest_space import Space

__all__ = ["ProxyLogin"]


class ProxyLogin:
    """The login for one HTTP proxy, and what it has asked for last. Any thread may use it. Raises
    ``ConfigError``, in which ``what`` is named."""

    def __init__(self, user: str, password: str, what: str = "proxy") -> None:
        check_basic(what, user, password)
        self._basic = Basic(user, password).value
        self._digest = Digest(user, password)
        self._space: Space | None = None
        self._guard = Guard()

    def field(self, method: str, target: str, body: Body | None) -> tuple[str, str]:
        """What one request says to the proxy: another each time, where it is Digest."""
        space = self._space
        value = self._basic if space is None else space.prove(method, target, body).field
        return "Proxy-Authorization", value

    def challenged(self, fields: list[str]) -> bool:
        """After a 407, whose challenges are given: whether another ``field`` may help."""
        challenge = self._digest.best(fields)
        if challenge is not None:
            with self._guard:
                self._space = self._digest.space(challenge, None, self._space)
        return challenge is not None
