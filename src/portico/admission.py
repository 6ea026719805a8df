"""Who may connect, how many at once, and how often (row R2).

``Admission`` is what a server is told: ``Server(handler, …, admission=Admission(allow=["10.0.0.0/8"]))``.
A ``Gate`` is one server's memory of it. Whoever is refused is cut off before a byte is read, without an
answer: a flooder deserves no work. Each refusal is counted by its reason, and logged once in a while.

Lists, places and rate are judged at once; ``admit`` may block, so an engine asks it where code may wait.
Who is inside, and how often somebody came, is known to one process: each of several workers bounds its own.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from inspect import iscoroutinefunction
from math import inf
from time import monotonic

from portico.address import Address
from portico.address.networks import IP, Networks, ip_of, local_kind
from portico.deadline import timeout
from portico.errors import Cancelled, ConfigError, Timeout
from portico.limits import Limits
from portico.pace import Pace
from portico.sync import Guard

__all__ = ["REASONS", "Admission", "Gate", "Question"]

log = logging.getLogger("portico.admission")

_LOG_PAUSE = 5.0  # seconds between two lines about the same reason
_SITE = 8  # bytes: a home or a rented machine is given a /64, and has all of its addresses (RFC 6177)
_UNNAMED = Address("unix")
"""What has no name is of this machine: a pipe, a pair of sockets."""

_WHY = {
    "deny": "it is in a denied network",
    "allow": "it is in none of the allowed networks",
    "max_connections": "as many connections as may be are open",
    "max_per_peer": "it has as many connections as a peer may have",
    "rate": "it comes more often than a peer may",
    "admit": "admit() said no",
    "admit_failed": "admit() failed",
}
REASONS = tuple(_WHY)
"""Why somebody may be refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """The rules by which a server lets peers in; all that are given apply. Raises ``ConfigError``.

    ``allow``, ``deny``: networks (``10.0.0.0/8``), addresses, or ``unix`` and ``memory`` for peers of this
    machine. Who is denied stays out; with ``allow``, everybody else does, too. IPv4 within IPv6 is IPv4.
    ``admit(peer)``: given the peer's ``Address``, returns ``True`` or ``False``; may block, for
    ``limits.handshake`` seconds, and an error is a no.
    ``max_connections``: open at once, of all peers; more are refused (at ``limits.connections`` the server
    stops accepting instead). ``max_per_peer``: of one peer, which is an IPv4 address or an IPv6 network of
    64 bits; all peers on Unix sockets are one, and so are those in memory.
    ``rate``: new connections (datagrams) of one peer: ``10/s``, ``100/m``, ``5000/h``. So many may come at
    once before the pace counts, or as many as a number after a colon says: ``10/s:50``.
    """

    allow: Sequence[str] | None = None
    deny: Sequence[str] = ()
    admit: Callable[[Address], bool] | None = None
    max_connections: int | None = None
    max_per_peer: int | None = None
    rate: str | None = None

    def __post_init__(self) -> None:
        for name in ("allow", "deny"):
            object.__setattr__(self, name, _networks_as_given(name, getattr(self, name)))
        for name in ("max_connections", "max_per_peer"):
            _check_count(name, getattr(self, name))
        if self.rate is not None:
            Pace(self.rate, 1)
        if self.admit is not None:
            _check_admit(self.admit)


class Gate:
    """One server's admission: the rules, who is inside, who came of late, and who was refused.

    ``refused`` counts by reason: ``deny allow max_connections max_per_peer rate admit admit_failed``. Any
    thread may call. ``clock``: seconds that only grow. Raises ``ConfigError`` for rules that these limits
    would keep from ever applying.
    """

    def __init__(self, admission: Admission, limits: Limits, clock: Callable[[], float] = monotonic) -> None:
        most = admission.max_connections
        if most is not None and most >= limits.connections:
            raise ConfigError(
                f"max_connections {most!r}: nobody would be refused, because accepting pauses at the limit "
                f"connections={limits.connections}; raise that limit, or leave this out"
            )
        self.refused: Counter[str] = Counter()
        self.tell: Callable[[int, int], object] | None = None
        """Called with the number of a reason and how many have been refused for it."""
        self._rules = admission
        self._patience = limits.handshake
        self._clock = clock
        self._allow = None if admission.allow is None else Networks(admission.allow)
        self._deny = Networks(admission.deny)
        self._pace = None if admission.rate is None else Pace(admission.rate, limits.peers)
        self._open = 0
        self._open_of: Counter[str | bytes] = Counter()
        self._lines: dict[str, tuple[float, int]] = {}
        self._guard = Guard()

    def succeed(self, other: Gate) -> None:
        """Count on from what ``other`` has counted; who is inside by its rules stays there."""
        self.refused, self.tell = other.refused, other.tell

    @property
    def asks(self) -> bool:
        """Whether there is a function to be asked about each peer."""
        return self._rules.admit is not None

    def refusal(self, peer: Address | None) -> str | None:
        """The reason why something that takes no place (a datagram) is refused; ``None``: it is let in.

        Judges by ``deny``, ``allow`` and ``rate``; ``question`` has the rest.
        """
        return self._judge(peer or _UNNAMED, place=False)

    def enter(self, peer: Address | None) -> str | None:
        """As ``refusal``, for a connection. Who is let in has a place until ``leave`` is called for it."""
        return self._judge(peer or _UNNAMED, place=True)

    def leave(self, peer: Address | None) -> None:
        """Give back the place of a connection that was let in, once."""
        key = _key(peer or _UNNAMED)
        with self._guard:
            self._open -= 1
            self._open_of[key] -= 1
            if not self._open_of[key]:
                del self._open_of[key]

    def question(self, peer: Address | None) -> Question | None:
        """``admit(peer)``, to be asked where code may wait; ``None`` when there is nothing to ask."""
        admit = self._rules.admit
        return None if admit is None else Question(self, peer or _UNNAMED, admit, self._patience)

    def refuse(
        self, reason: str, peer: Address, detail: str = "", error: BaseException | None = None
    ) -> None:
        """Count a refusal, and log it when the last line about its reason is old enough."""
        with self._guard:
            self.refused[reason] += 1
            if self.tell is not None:
                self.tell(REASONS.index(reason), self.refused[reason])
            unsaid = self._unsaid(reason)
        if unsaid is None:
            return
        why = f"{_WHY[reason]}: {detail}" if detail else _WHY[reason]
        more = f" ({unsaid} more since the last line about this)" if unsaid else ""
        log.warning("refused %s: %s%s", peer, why, more, exc_info=error)

    def _unsaid(self, reason: str) -> int | None:
        """How many went without a line since the last one; ``None``: it is too soon for another."""
        now = self._clock()
        last, unsaid = self._lines.get(reason, (-inf, 0))
        if now - last < _LOG_PAUSE:
            self._lines[reason] = last, unsaid + 1
            return None
        self._lines[reason] = now, 0
        return unsaid

    def _judge(self, peer: Address, *, place: bool) -> str | None:
        ip = ip_of(peer)
        reason = self._unlisted(ip, local_kind(peer))
        if reason is None:
            key = _key(peer, ip)
            with self._guard:
                # The rate comes last: who is refused for another reason has used nothing of it.
                reason = (self._crowded(key) if place else None) or self._hasty(key)
                if place and reason is None:
                    self._open += 1
                    self._open_of[key] += 1
        if reason is not None:
            self.refuse(reason, peer)
        return reason

    def _unlisted(self, ip: IP | None, kind: str) -> str | None:
        if self._deny.covers(ip, kind):
            return "deny"
        return None if self._allow is None or self._allow.covers(ip, kind) else "allow"

    def _crowded(self, key: str | bytes) -> str | None:
        most, each = self._rules.max_connections, self._rules.max_per_peer
        if most is not None and self._open >= most:
            return "max_connections"
        return "max_per_peer" if each is not None and self._open_of[key] >= each else None

    def _hasty(self, key: str | bytes) -> str | None:
        return None if self._pace is None or self._pace.allows(key, self._clock()) else "rate"


class Question:
    """Whether one peer is let in by ``admit``: asked once, by a call, where code may wait.

    ``until`` (``time.monotonic``) is when whoever asks may give up on an answer. ``refused``: the reason for
    a no, and a detail; a question that is ``silent`` leaves it to others to count and log it.
    """

    __slots__ = ("_admit", "_gate", "_peer", "refused", "silent", "until")

    def __init__(self, gate: Gate, peer: Address, admit: Callable[[Address], bool], seconds: float) -> None:
        self.until = monotonic() + seconds
        self.silent = False
        self.refused: tuple[str, str] | None = None
        self._gate = gate
        self._peer = peer
        self._admit = admit

    def __call__(self) -> bool:
        """The answer. Raises nothing: an error, or no answer in time, is a no, counted and logged."""
        try:
            with timeout(round(max(self.until - monotonic(), 0.0), 3)):
                answer = self._admit(self._peer)
            if answer is not True and answer is not False:
                raise TypeError(f"it returned {answer!r}; expected True or False")
        except Cancelled:
            return False  # the server is ending: nobody's fault
        except Timeout as error:
            self.give_up(str(error))
            return False
        except BaseException as error:  # noqa: BLE001  (whatever it is, it costs this peer only)
            self.refuse("admit_failed", repr(error), error)
            return False
        if not answer:
            self.refuse("admit")
        return answer

    def give_up(self, why: str) -> None:
        """There is no answer and will be none: ``why`` is for the log. What comes later is not counted."""
        self.refuse("admit_failed", why)

    def refuse(self, reason: str, detail: str = "", error: BaseException | None = None) -> None:
        """The answer is no. Only the first no counts."""
        if not self.refused:
            self.refused = reason, detail
            if not self.silent:
                self._gate.refuse(reason, self._peer, detail, error)


def _key(peer: Address, ip: IP | None = None) -> str | bytes:
    """What counts as one peer. Text and bytes, whose hashes nobody outside can foresee; numbers' can be."""
    ip = ip or ip_of(peer)
    if ip is None:
        return local_kind(peer)
    return ip.packed if ip.version == 4 else ip.packed[:_SITE]


def _networks_as_given(name: str, entries: Sequence[str] | None) -> tuple[str, ...] | None:
    if entries is None and name == "allow":
        return None
    given = (entries,) if isinstance(entries, str) else tuple(entries or ())
    if name == "allow" and not given:
        raise ConfigError("allow is empty, so that nobody could connect; leave it out to let everybody in")
    try:
        Networks(given)
    except ConfigError as error:
        raise ConfigError(f"{name} {error}") from None
    return given


def _check_count(name: str, value: object) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigError(f"{name} {value!r}: expected a whole number above zero")


def _check_admit(admit: object) -> None:
    if not callable(admit):
        raise ConfigError(f"admit {admit!r} cannot be called; expected a function of the peer's address")
    if iscoroutinefunction(admit) or iscoroutinefunction(getattr(admit, "__call__", None)):  # noqa: B004
        raise ConfigError(f"admit {admit!r} is async; write a plain function: it may block without harm")
