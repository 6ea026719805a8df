"""From the options of ``portico serve`` to what a ``Server`` takes."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Sequence
from dataclasses import fields
from difflib import get_close_matches

from portico.address import Address
from portico.admission import Admission
from portico.engines import Engine, make_engine
from portico.engines.workers import Forks, Workers
from portico.errors import ConfigError
from portico.limits import Limits
from portico.sockets.listen import inherited
from portico.sockets.tls import ServerTLS

__all__ = ["read_addresses", "read_admission", "read_engine", "read_limits", "read_tls"]

log = logging.getLogger("portico.serve")

_DEFAULT = {"http": "http://127.0.0.1:8000", "stream": "tcp://127.0.0.1:8000"}
_SCHEMES = {"http": ("http", "https", "tcp", "tls", "unix", "fd"), "stream": ("tcp", "tls", "unix", "fd")}
_LOCAL = ("localhost", "127.0.0.1", "::1")


def read_addresses(at: Sequence[str], wire: str) -> list[Address]:
    """The addresses of ``--at``; without it the inherited sockets; without those the default.

    ``wire`` is ``http`` or ``stream``. Raises ``AddressError``, ``ConfigError``.
    """
    plain = "http" if wire == "http" else "tcp"
    addresses = [Address.parse(text, scheme=plain) for text in at]
    for address in addresses:
        _check(address, wire)
    return addresses or inherited() or [Address.parse(_DEFAULT[wire])]


def _check(address: Address, wire: str) -> None:
    if address.scheme not in _SCHEMES[wire]:
        what = "a website" if wire == "http" else "a handler of streams"
        known = ", ".join(_SCHEMES[wire])
        raise ConfigError(f"--at {address}: {what} is served at {known} addresses, as in {_DEFAULT[wire]}")
    if address.scheme in ("http", "https") and address.path:
        raise ConfigError(f"--at {address}: the path belongs to the target, as in {address.path}=TARGET")


def read_tls(
    addresses: Sequence[Address], cert: str | None, key: str | None, tls: str | None
) -> ServerTLS | None:
    """The certificate for the addresses that are secure. Raises ``ConfigError``."""
    if tls is not None and (cert is not None or key is not None):
        raise ConfigError("--tls self-signed makes its own certificate: leave out --cert and --key, or --tls")
    if key is not None and cert is None:
        raise ConfigError("--key needs the certificate that it belongs to: --cert FILE")
    secure = [address for address in addresses if address.secure]
    alpn = ("http/1.1",) if any(address.wire == "http" for address in secure) else ()
    if not secure:
        if cert is not None or tls is not None:
            raise ConfigError(
                f"there is a certificate, but {addresses[0]} is not secure: write --at https://:8443"
            )
        return None
    if cert is not None:
        return _from_files(cert, key, alpn)
    if tls is not None:
        return _self_signed([address.host for address in secure], alpn)
    raise ConfigError(
        f"{secure[0]} needs a certificate: --cert FILE --key FILE, or --tls self-signed for development"
    )


def _from_files(cert: str, key: str | None, alpn: Sequence[str]) -> ServerTLS:
    try:
        return ServerTLS(cert, key, alpn=alpn)
    except ConfigError as error:
        # The words of the library's own arguments, in those of the command line.
        words = str(error).replace("as key=", "by --key").replace(
            "give its password=", "decrypt it first (openssl pkey -in KEY -out PLAIN)"
        )  # fmt: skip
        raise ConfigError(words) from error


def _self_signed(hosts: Sequence[str], alpn: Sequence[str]) -> ServerTLS:
    more = [host for host in hosts if host and host not in (*_LOCAL, "0.0.0.0", "::")]
    names = list(dict.fromkeys([*_LOCAL, *more]))
    try:
        return ServerTLS.self_signed(names, alpn=alpn)
    except ConfigError as error:
        # Nowhere to keep it (a container without a home): it still serves, until the end of this process.
        made = ServerTLS.self_signed(names, directory=None, alpn=alpn)
        log.warning("the certificate lasts only for this run: %s", error)
        return made


def read_admission(
    allow: Sequence[str],
    deny: Sequence[str],
    max_connections: int | None,
    max_per_peer: int | None,
    rate: str | None,
) -> Admission | None:
    """The rules of admission; ``None`` without any. Raises ``ConfigError``."""
    if not (allow or deny or rate is not None or max_connections is not None or max_per_peer is not None):
        return None
    try:
        return Admission(
            allow=allow or None,
            deny=deny,
            max_connections=max_connections,
            max_per_peer=max_per_peer,
            rate=rate,
        )
    except ConfigError as error:
        # The name of the argument comes first; as an option it is spelt with hyphens.
        name, _, words = str(error).partition(" ")
        raise ConfigError(f"--{name.replace('_', '-')} {words}") from error


def read_engine(
    engine: str,
    workers: int | None,
    max_requests: int | None,
    max_memory: str | None,
    max_age: float | None,
) -> Engine:
    """``--engine`` and what may be said of workers. Raises ``ConfigError``."""
    name, _, inner = engine.partition("/")
    kind, _, count = name.partition(":")
    if workers is not None:
        if kind in ("workers", "forks"):
            raise ConfigError(f"--engine {engine} says already how many processes: leave out --workers")
        inner = engine
    bounds = {"max_requests": max_requests, "max_memory": _read_size(max_memory), "max_age": max_age}
    if all(value is None for value in bounds.values()) and workers is None:
        return make_engine(engine)
    make_engine(engine)  # first of all it must be one
    many = workers if workers is not None else int(count) if count else None
    try:
        if workers is not None or kind == "workers":
            return Workers(many, inner or "threads", **bounds)  # type: ignore[arg-type]
        if kind == "forks":
            return Forks(many, **bounds)  # type: ignore[arg-type]
    except ConfigError as error:
        name, _, words = str(error).partition("=")
        raise ConfigError(f"--{name.replace('_', '-')} {words}" if name in bounds else str(error)) from error
    option = next(name for name, value in bounds.items() if value is not None).replace("_", "-")
    raise ConfigError(f"--{option} is for workers, and there are none: add --workers N")


_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def _read_size(text: str | None) -> int | None:
    if text is None:
        return None
    found = re.fullmatch("([0-9]+)([KMG]?)", text.upper().removesuffix("B").removesuffix("I"))
    if found is None or not int(found[1]):
        raise ConfigError(f"--max-memory {text}: expected a size, as in 300M or 2G")
    return int(found[1]) * _UNITS[found[2]]


def read_limits(pairs: Sequence[str]) -> Limits:
    """``NAME=VALUE`` each, on top of the defaults. Raises ``ConfigError``."""
    kinds = {field.name: str(field.type) for field in fields(Limits)}
    changes: dict[str, int | float | None] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            raise ConfigError(f"--limit {pair}: write NAME=VALUE, as in body=1000000")
        if name not in kinds:
            near = get_close_matches(name, kinds, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(sorted(kinds))}"
            raise ConfigError(f"--limit {pair}: no limit is called {name!r}; {hint}")
        changes[name] = _limit(pair, text, kinds[name])
    return Limits().but(**changes)


def _limit(pair: str, text: str, kind: str) -> int | float | None:
    if text == "none" and "None" in kind:
        return None
    try:
        value = int(text) if kind.startswith("int") else float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        what = "a whole number" if kind.startswith("int") else "a number"
        also = ", or none" if "None" in kind else ""
        raise ConfigError(f"--limit {pair}: expected {what} above zero{also}")
    return value
