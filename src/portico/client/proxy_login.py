"""What a proxy is told about who asks: Basic, and Digest as soon as it wants that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from portico.client.auth import Basic
from portico.client.digest import Digest
from portico.client.logins import check_basic
from portico.sync import Guard

if TYPE_CHECKING:
    from portico.client.body import Body
    from portico.client.digest_space import Proof, Space

__all__ = ["FIELD", "ROUNDS", "ProxyLogin"]

FIELD = "Proxy-Authorization"
ROUNDS = 4
"""Answers to challenges in one request, as many as an origin gets."""


class ProxyLogin:
    """The login for one HTTP proxy, and what it has asked for last. Any thread may use it. Raises
    ``ConfigError``, in which ``what`` is named."""

    def __init__(self, user: str, password: str, what: str = "proxy") -> None:
        check_basic(what, user, password)
        self._basic = Basic(user, password).value
        self._digest = Digest(user, password)
        self._space: Space | None = None
        self._guard = Guard()

    def first(self, method: str, target: str, body: Body | None) -> list[tuple[str, str]]:
        """What a request says to the proxy without being asked."""
        space = self._space
        if space is None:
            return [(FIELD, self._basic)]
        # What wants Digest is not shown the password again.
        if not space.nonce or (space.reads_body and body is not None and not body.replayable):
            return []
        return [(FIELD, space.prove(method, target, body).field)]

    def answer(
        self, fields: list[str], method: str, target: str, body: Body | None, tried: Proof | None
    ) -> Proof | None:
        """After a 407, whose challenges are given: what to say instead, after ``tried``. ``None``: nothing
        helps."""
        challenge = self._digest.best(fields)
        if challenge is None or (tried is not None and not challenge.stale):
            return None
        with self._guard:
            space = self._space = self._digest.space(challenge, None, self._space)
        return space.prove(method, target, body, challenge.parameters["nonce"])
