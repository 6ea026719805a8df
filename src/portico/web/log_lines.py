"""What a line of an access log says: the common and combined formats of Apache and nginx, and JSON.

Whatever a client sent is written so that it stays in its place: quotes, backslashes, control characters and
bytes beyond ASCII are escaped, so that nobody writes lines of his own, or moves a terminal's cursor.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from json import dumps
from time import localtime, strftime, time
from typing import Final

from portico.http.exchange import Exchange

__all__ = ["FORMATS", "Line", "combined", "common", "json_line"]

Line = Callable[[Exchange, float], str]
"""An exchange that has been answered, and the seconds that it took, as a line without its end."""

# Not by strftime: a program that is served may have set another language.
_MONTHS: Final = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
_UNUSUAL: Final = re.compile(r"[^ !#-\[\]-~]")
_ESCAPES: Final = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


class _Clock:
    """The time as the formats write it, made once a second."""

    def __init__(self) -> None:
        self._made = (0, "")

    def __call__(self) -> str:
        second = int(time())
        made = self._made
        if made[0] != second:
            when = localtime(second)
            rest = strftime("%Y:%H:%M:%S %z", when)
            # One assignment, so that another thread sees the old one or the new one, never a mixture.
            made = self._made = second, f"{when.tm_mday:02}/{_MONTHS[when.tm_mon - 1]}/{rest}"
        return made[1]


_now = _Clock()


def escaped(text: str) -> str:
    """As it stands between quotes: printable ASCII without quotes."""
    return text if _UNUSUAL.search(text) is None else _UNUSUAL.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    char = found[0]
    return _ESCAPES.get(char) or "".join(f"\\x{byte:02x}" for byte in _bytes_of(char))


def _bytes_of(char: str) -> bytes:
    """What came over the wire, which is kept as latin-1; or what a name on this machine was made of."""
    return char.encode("latin-1") if char < "\u0100" else char.encode("utf-8", "surrogateescape")


def common(exchange: Exchange, seconds: float) -> str:
    """The Common Log Format: host, identity (never known), user, time, request line, status, bytes."""
    peer = exchange.peer
    host = (peer.host if peer is not None else "") or "-"
    user = escaped(exchange.user.encode().decode("latin-1")).replace(" ", "\\x20") or "-"
    asked = f"{exchange.method} {exchange.target} {exchange.request.version}" if exchange.method else "-"
    return f'{host} - {user} [{_now()}] "{escaped(asked)}" {exchange.status} {_sent(exchange) or "-"}'


def combined(exchange: Exchange, seconds: float) -> str:
    """The same, with who referred the client, and what program it is."""
    referer, agent = exchange.header("referer") or "-", exchange.header("user-agent") or "-"
    return f'{common(exchange, seconds)} "{escaped(referer)}" "{escaped(agent)}"'


def json_line(more: Mapping[str, object]) -> Line:
    """A line that is a JSON object, with ``more`` in each. Times are in seconds, sizes in bytes of bodies."""

    def line(exchange: Exchange, seconds: float) -> str:
        return dumps({**_facts(exchange, seconds), **more})  # ASCII only: all else is escaped

    return line


def _facts(exchange: Exchange, seconds: float) -> dict[str, object]:
    peer, tls, notes = exchange.peer, exchange.tls, exchange.notes
    facts: dict[str, object] = {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "duration": round(seconds, 6),
        "method": exchange.method or None,
        "target": _text(exchange.target) if exchange.method else None,
        "protocol": exchange.request.version if exchange.method else None,
        "scheme": exchange.scheme,
        "host": _text(exchange.host),
        "status": exchange.status,
        "bytes_in": exchange.received,
        "bytes_out": _sent(exchange),
        "peer": None if peer is None else peer.host or str(peer),
        "port": None if peer is None else peer.port,
        "user": exchange.user or None,
        "user_agent": _text(exchange.header("user-agent")),
        "referer": _text(exchange.header("referer")),
        "mount": (exchange.mount or "/") if exchange.method else None,
        "tls": None if tls is None else tls.version,
        "request_id": None if notes is None else notes.request_id or None,
    }
    if notes is not None and notes.upstream:
        taken = notes.upstream_seconds
        facts["upstream"] = notes.upstream
        facts["upstream_time"] = None if taken is None else round(taken, 6)
    return facts


def _text(value: str | None) -> str | None:
    """UTF-8 where it is that; each byte as a latin-1 character where it is not."""
    if value is None or value.isascii():
        return value
    try:
        return value.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return value


def _sent(exchange: Exchange) -> int:
    return 0 if exchange.method == "HEAD" else exchange.sent


FORMATS: Final[dict[str, Callable[[Mapping[str, object]], Line]]] = {
    "common": lambda more: common,
    "combined": lambda more: combined,
    "json": json_line,
}
