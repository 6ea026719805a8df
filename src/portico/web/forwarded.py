"""Who really asks, as proxies in front of this server tell it: ``Forwarded`` (RFC 7239), ``X-Forwarded-*``.

``server.forwarded = Forwarded(["10.0.0.0/8"])``: where the other end of a connection is in a trusted network,
its word is taken for the client's address, scheme and host. Each proxy appends the address that it sees, so
the chain is read from its right end for as long as the sayer is trusted, and the first address that is not is
the client's: whatever stands left of that, the client may have written itself.

Which fields the proxies write has to be known, because they pass on the others as clients send them.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from portico.address import Address
from portico.address.networks import IP, Networks, ip_of, local_kind
from portico.errors import ConfigError, ProtocolError
from portico.http.exchange import Exchange, Mount, Route
from portico.http.messages import RequestHead
from portico.http.notes import Notes
from portico.http.targets import check_host

__all__ = ["Forwarded", "Hop", "Malformed", "forwarded_element", "read_forwarded", "read_x_forwarded"]

log = logging.getLogger("portico.forwarded")

_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_QUOTED = r'"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*"'
_PAIR = re.compile(rf"({_TOKEN})=({_TOKEN}|{_QUOTED})")
_BETWEEN = re.compile(r"[ \t]*([;,])[ \t]*")
_BLANKS = re.compile(r"[ \t]*")
_NODE = re.compile(
    r"(?P<name>[0-9.]+|\[[0-9A-Fa-f:.]+\]|unknown|_[A-Za-z0-9._\-]+)(?::(?P<port>[0-9]{1,5}|_[A-Za-z0-9._\-]+))?"
)
_UNBRACKETED = re.compile(r"[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*")
_ESCAPED = re.compile(r"\\(.)")
_KINDS = ("x", "rfc", "both")
_SOMEBODY = Address("tcp")
"""A client that a proxy does not name: it must not be taken for the proxy."""


class Malformed(ValueError):
    """What a proxy says cannot be read, or not be meant."""


@dataclass(frozen=True, slots=True)
class Hop:
    """What one proxy says: who asked it, by which scheme, for which host; ``None`` where it does not say.

    ``client`` without a host is one that it does not want to name.
    """

    client: Address | None = None
    scheme: str | None = None
    host: str | None = None


class Forwarded:
    """Proxies whose word is taken: ``trusted`` networks (as ``Admission`` has them; ``unix`` is a word, too).

    ``fields``: what they write: ``x`` (``X-Forwarded-For``, ``-Proto``, ``-Host``), ``rfc``
    (``Forwarded``), or ``both``: then a request in which the two differ is refused (400).
    What is malformed is not believed: the proxy itself is the client then. ``ignored`` counts, by reason:
    ``malformed``, ``contradictory``. Raises ``ConfigError``.
    """

    def __init__(self, trusted: Sequence[str], *, fields: str = "x") -> None:
        if fields not in _KINDS:
            raise ConfigError(f"forwarded: fields={fields!r}: expected one of {', '.join(_KINDS)}")
        if isinstance(trusted, str) or not trusted:
            raise ConfigError('forwarded: name the networks of the proxies, as in ["10.0.0.0/8", "::1"]')
        try:
            self._trusted = Networks(trusted)
        except ConfigError as error:
            raise ConfigError(f"forwarded: {error}") from None
        self._fields = fields
        self._named = tuple(trusted)
        self.ignored: Counter[str] = Counter()
        self._last: tuple[Address | None, bool] = (None, False)  # a connection asks many times

    def route(self, inner: Route) -> Route:
        """``inner``, for requests of which is known who asks."""
        refusal = Mount(_Contradiction())

        def told(exchange: Exchange) -> Mount | None:
            return inner(exchange) if self.note(exchange) else refusal

        return told

    def note(self, exchange: Exchange) -> bool:
        """Note what is told of a request. ``False``: it contradicts itself."""
        notes = exchange.note()
        peer = exchange.connection.transport.peer
        notes.peer, notes.scheme, notes.host = peer, exchange.scheme, exchange.host
        notes.trusted = self.trusts(peer)
        if not notes.trusted:
            return True
        try:
            hops = self._hops(exchange.request)
        except Malformed as error:
            self.ignored["malformed"] += 1
            log.info("%s: what it says of its client is ignored: %s", peer, error)
            return True
        if hops is None:
            self.ignored["contradictory"] += 1
            log.warning("%s: Forwarded and X-Forwarded-* differ: the request is refused", peer)
            return False
        self._believe(hops, notes)
        return True

    def trusts(self, peer: Address | None) -> bool:
        """Whether the word of this peer is taken."""
        last, trusted = self._last
        if peer is not last or peer is None:
            trusted = peer is not None and self._trusted.covers(ip_of(peer), local_kind(peer))
            self._last = peer, trusted
        return trusted

    def _hops(self, request: RequestHead) -> list[Hop] | None:
        if self._fields == "x":
            return read_x_forwarded(request)
        rfc = read_forwarded(request.get("forwarded") or "")
        if self._fields == "rfc":
            return rfc
        x = read_x_forwarded(request)
        if not rfc or not x:
            return rfc or x
        return rfc if _same(rfc, x) else None

    def _believe(self, hops: list[Hop], notes: Notes) -> None:
        """From the right, for as long as the sayer is trusted."""
        for hop in reversed(hops):
            notes.scheme = hop.scheme or notes.scheme
            notes.host = hop.host or notes.host
            if hop.client is None:
                return
            notes.peer = hop.client
            if not hop.client.host or not self._trusted.covers(ip_of(hop.client), "tcp"):
                return

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_last": (None, False)}

    def __repr__(self) -> str:
        return f"<Forwarded {self._fields} from {', '.join(self._named)}>"


class _Contradiction:
    """Answers what contradicts itself."""

    name = "forwarded"

    def streams(self, request: RequestHead) -> bool:
        return True

    def __call__(self, exchange: Exchange) -> None:
        exchange.respond_error(400, "Forwarded and X-Forwarded-For say different things about the client.")


def _same(one: Sequence[Hop], other: Sequence[Hop]) -> bool:
    """Whether two accounts agree in what both say."""
    if len(one) != len(other):
        return False
    return all(
        None in (mine, theirs) or mine == theirs
        for left, right in zip(one, other, strict=True)
        for mine, theirs in (
            (left.client and left.client.host, right.client and right.client.host),
            (left.scheme, right.scheme),
            (left.host, right.host),
        )
    )


# -- Forwarded (RFC 7239)


def read_forwarded(value: str) -> list[Hop]:
    """The elements of ``Forwarded``, in order. Raises ``Malformed``.

    Blanks around semicolons are taken, which the grammar lacks and many write.
    """
    hops: list[Hop] = []
    for pairs in _elements(value):
        node, proto, host = (pairs.get(name) for name in ("for", "proto", "host"))
        hops.append(Hop(None if node is None else _node(node), _scheme(proto), _host(host)))
    return hops


def _elements(value: str) -> list[dict[str, str]]:
    """RFC 7239, 4: elements separated by commas, of pairs separated by semicolons; any may be empty."""
    elements: list[dict[str, str]] = []
    pairs: dict[str, str] = {}
    at = _end(_BLANKS, value, 0)
    while at < len(value):
        found = _PAIR.match(value, at)
        if found is not None:
            name = found[1].lower()
            if name in pairs:
                raise Malformed(f"{name} is said twice in one element")
            pairs[name] = _ESCAPED.sub(r"\1", found[2][1:-1]) if found[2][0] == '"' else found[2]
            at = found.end()
        separator = _BETWEEN.match(value, at)
        if separator is None:
            at = _end(_BLANKS, value, at)
            if at < len(value):
                raise Malformed(f"Forwarded cannot be read from {value[at : at + 30]!r} on")
        else:
            at = separator.end()
            if separator[1] == "," and pairs:
                elements.append(pairs)
                pairs = {}
    return [*elements, pairs] if pairs else elements


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    found = pattern.match(text, at)
    return at if found is None else found.end()


def _node(text: str) -> Address:
    """RFC 7239, 6: an address, ``unknown``, or a name that hides one; perhaps with a port."""
    found = _NODE.fullmatch(text)
    if found is None:
        raise Malformed(f"{text[:60]!r} is no node")
    name, port = found["name"], found["port"]
    if name == "unknown" or name[0] == "_":
        return _SOMEBODY
    number = int(port) if port and port[0] != "_" else None
    if number is not None and number > 65535:
        raise Malformed(f"{text[:60]!r} has a port above 65535")
    return Address("tcp", str(_ip(name, 6 if name[0] == "[" else 4)), number)


def _ip(text: str, version: int | None = None) -> IP:
    try:
        ip = ip_address(text.strip("[]"))
    except ValueError:
        raise Malformed(f"{text[:60]!r} is no address") from None
    if version is not None and ip.version != version:
        raise Malformed(f"{text[:60]!r} is no address")
    mapped = getattr(ip, "ipv4_mapped", None)
    return mapped or ip


def _scheme(text: str | None) -> str | None:
    if text is None:
        return None
    if text.lower() not in ("http", "https"):
        raise Malformed(f"{text[:60]!r} is no scheme of this server")
    return text.lower()


def _host(text: str | None) -> str | None:
    if text is None:
        return None
    try:
        check_host(text)
    except ProtocolError as error:
        raise Malformed(str(error)) from None
    return text or None


def forwarded_element(client: Address | None, scheme: str, host: str) -> str:
    """What this server says of a request, as an element of ``Forwarded``."""
    if client is None or not client.is_ip:
        node = "unknown"
    else:
        bare = client.host.partition("%")[0]
        node = f'"[{bare}]"' if ":" in bare else bare
    said = f"for={node};proto={scheme}"
    if not host:
        return said
    return f"{said};host={host}" if re.fullmatch(_TOKEN, host) else f'{said};host="{host}"'


# -- X-Forwarded-*


def read_x_forwarded(request: RequestHead) -> list[Hop]:
    """The same from ``X-Forwarded-For``, ``-Proto`` and ``-Host``. Raises ``Malformed``.

    A scheme or host that is said once is that of the outermost proxy; said by each, they stand in the order
    of the addresses.
    """
    clients = [_x_client(each) for each in _listed(request.get("x-forwarded-for"))]
    schemes = [_scheme(each) for each in _listed(request.get("x-forwarded-proto"))]
    hosts = [_host(each) for each in _listed(request.get("x-forwarded-host"))]
    count = max(len(clients), 1 if schemes or hosts else 0)
    said: list[Address | None] = [*clients] or [None] * count
    return [Hop(*each) for each in zip(said, _spread(schemes, count), _spread(hosts, count), strict=True)]


def _listed(value: str | None) -> list[str]:
    return [] if value is None else [each.strip(" \t") for each in value.split(",")]


def _spread(said: list[str | None], count: int) -> list[str | None]:
    if len(said) == count:
        return said
    if len(said) > 1:
        raise Malformed(f"{len(said)} schemes or hosts are said of {count} addresses")
    return (said or [None]) * count


def _x_client(text: str) -> Address:
    """No grammar says what stands there: an IPv6 address comes with brackets, and without."""
    if _UNBRACKETED.fullmatch(text):
        return Address("tcp", str(_ip(text)), None)
    return _node(text)
