"""What one misbehaviour is, and carrying it out: the server, the use of the client, the outcome."""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from portico.client.session import Session
from portico.errors import PorticoError
from tests.client.hostile import Hostile, Script, answer, every

__all__ = ["Case", "Outcome"]


@dataclass
class Outcome:
    """What came of it. ``seen``: the requests that the server saw; ``elsewhere``: the bystander."""

    error: PorticoError | None = None
    statuses: list[int] = field(default_factory=list)
    contents: list[bytes] = field(default_factory=list)
    responses: list[Any] = field(default_factory=list)
    seen: list[bytes] = field(default_factory=list)
    elsewhere: list[bytes] = field(default_factory=list)
    connections: int = 0
    session: Any = None


@dataclass(frozen=True)
class Case:
    """``scripts`` for the connections, in order. ``use``: options of each request, ``paths`` what is asked
    for, one after the other; ``session`` the session's options.

    It has to end within ``within`` seconds: with ``error``, whose text matches ``says``, or else with
    ``status`` and ``content`` at last; ``requests`` are seen by the server; ``check`` holds the rest.
    """

    name: str
    scripts: Sequence[Script]
    error: type[BaseException] | tuple[type[BaseException], ...] | None = None
    says: str = ""
    status: int | None = None
    content: bytes | None = None
    requests: int | None = None
    method: str = "GET"
    paths: Sequence[str] = ("/",)
    use: Mapping[str, Any] = field(default_factory=dict)
    session: Mapping[str, Any] = field(default_factory=dict)
    check: Callable[[Outcome], None] | None = None
    within: float = 8.0
    host: str = "127.0.0.1"

    def __repr__(self) -> str:
        return self.name

    def carry_out(self, tls: ssl.SSLContext | None = None, verify: Any = True) -> None:
        """Do it, and hold the outcome against what it must be."""
        outcome = Outcome()
        with Hostile([every(answer(b"bystander"))]) as other, Hostile(*self.scripts, tls=tls) as server:
            server.names[b"other"] = other.url.encode()
            server.names[b"otherport"] = str(other.port).encode()
            began = monotonic()
            self._use(server, verify, outcome)
            took = monotonic() - began
            outcome.seen, outcome.connections = list(server.requests), server.connections
            outcome.elsewhere = list(other.requests)
        self._judge(outcome)
        assert took < self.within, f"it took {took:.1f} s"

    def _use(self, server: Hostile, verify: Any, outcome: Outcome) -> None:
        options = {"timeout": 5.0, "env": False, "check": False, "verify": verify, **self.session}
        url = server.url.replace("127.0.0.1", self.host)
        with Session(**options) as session:
            outcome.session = session
            for path in self.paths:
                use = {key: value() if callable(value) else value for key, value in self.use.items()}
                try:
                    response = session.request(self.method, url + path, **use)
                except PorticoError as error:
                    outcome.error = error
                    continue
                outcome.error = None
                outcome.responses.append(response)
                outcome.statuses.append(response.status)
                outcome.contents.append(response.content)

    def _judge(self, outcome: Outcome) -> None:
        if self.error is None:
            if outcome.error is not None:
                raise AssertionError(f"unexpected: {outcome.error!r}") from outcome.error
        else:
            assert isinstance(outcome.error, self.error), f"{outcome.error!r} {outcome.statuses}"
            assert re.search(self.says, str(outcome.error)), str(outcome.error)
        if self.status is not None:
            assert outcome.statuses[-1:] == [self.status], outcome.statuses
        if self.content is not None:
            assert outcome.contents[-1] == self.content
        if self.requests is not None:
            assert len(outcome.seen) == self.requests, outcome.seen
        if self.check is not None:
            self.check(outcome)
