"""From settings to what a ``Server`` takes: addresses, certificates, an engine."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from portico.address import Address
from portico.address.schemes import SCHEMES
from portico.engines import Engine, make_engine
from portico.engines.workers import Forks, Workers
from portico.errors import ConfigError
from portico.sockets.listen import inherited, named_inherited
from portico.sockets.tls import ServerTLS
from portico.web.config.settings import TLS, Settings

__all__ = ["DEFAULT_ADDRESS", "read_addresses", "read_engine", "read_tls", "told_by"]

log = logging.getLogger("portico.serve")

DEFAULT_ADDRESS = {"http": "http://127.0.0.1:8000", "stream": "tcp://127.0.0.1:8000"}
_SCHEMES = {
    "http": ("http", "https", "tcp", "tls", "unix", "fd"),
    "stream": ("tcp", "tls", "unix", "fd", "udp", "unixgram"),
}
_LOCAL = ("localhost", "127.0.0.1", "::1")


def read_addresses(at: Sequence[str], wire: str, *, pretend: bool = False) -> list[Address]:
    """The addresses that were asked for; without any the inherited sockets; without those the default.

    ``wire`` is ``http`` or ``stream``. ``fd://NAME`` are the inherited sockets of that name, which with
    ``pretend`` need not be there. Raises
    ``AddressError``, ``ConfigError``.
    """
    plain = "http" if wire == "http" else "tcp"
    addresses = [address for text in at for address in _read(text, plain, pretend)]
    for address in addresses:
        _check(address, wire)
        if addresses.count(address) > 1 and address.port != 0:
            raise ConfigError(f"{address} is named twice: an address can be listened on once")
    return addresses or inherited() or [Address.parse(DEFAULT_ADDRESS[wire])]


def _read(text: str, scheme: str, pretend: bool) -> list[Address]:
    return [Address.parse(each, scheme=scheme) for each in named_inherited(text, pretend=pretend) or [text]]


def told_by(at: Sequence[str]) -> str:
    """The wire that addresses tell: ``http``, ``stream`` (of datagrams, too), or ``""`` for none. Raises
    ``AddressError``."""
    # What is read in two ways without a scheme, and what carries both, tells nothing.
    read = [
        {Address.parse(text, scheme=plain).scheme for plain in ("http", "tcp")}
        for text in at
        if not text.startswith("fd:")
    ]
    wires = {SCHEMES[scheme].wire for schemes in read if len(schemes) == 1 for scheme in schemes - _CARRIERS}
    wires = {"stream" if wire == "datagram" else wire for wire in wires}
    return wires.pop() if len(wires) == 1 else ""


_CARRIERS = {"unix", "memory"}


def _check(address: Address, wire: str) -> None:
    if address.scheme not in _SCHEMES[wire]:
        what = "a website" if wire == "http" else "a handler"
        known = ", ".join(_SCHEMES[wire])
        raise ConfigError(
            f"--at {address}: {what} is served at {known} addresses, as in {DEFAULT_ADDRESS[wire]}"
        )
    if address.scheme in ("http", "https") and address.path:
        raise ConfigError(f"--at {address}: the path belongs to the target, as in {address.path}=TARGET")


def read_tls(addresses: Sequence[Address], tls: TLS) -> ServerTLS | None:
    """The certificates for the addresses that are secure. Raises ``ConfigError``."""
    if tls.self_signed and (tls.certificate is not None or tls.key is not None):
        raise ConfigError("--tls self-signed makes its own certificate: leave out --cert and --key, or --tls")
    if tls.key is not None and tls.certificate is None:
        raise ConfigError("--key needs the certificate that it belongs to: --cert FILE")
    secure = [address for address in addresses if address.secure]
    alpn = ("http/1.1",) if any(address.wire == "http" for address in secure) else ()
    if not secure:
        if tls.certificate is not None or tls.self_signed:
            raise ConfigError(
                f"there is a certificate, but {addresses[0]} is not secure: write --at https://:8443"
            )
        return None
    if tls.certificate is not None:
        return _from_files(tls, alpn)
    if tls.self_signed:
        return _self_signed([address.host for address in secure], alpn)
    raise ConfigError(
        f"{secure[0]} needs a certificate: --cert FILE --key FILE, or --tls self-signed for development"
    )


def _from_files(tls: TLS, alpn: Sequence[str]) -> ServerTLS:
    assert tls.certificate is not None
    try:
        return ServerTLS(
            tls.certificate,
            tls.key,
            alpn=alpn,
            minimum=tls.minimum,
            client_ca=tls.client_ca,
            require_client_certificate=tls.require_client_certificate,
            sni={name: ServerTLS(each.certificate, each.key) for name, each in tls.names.items()},
        )
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


def read_engine(settings: Settings) -> Engine:
    """The engine, and what is said of workers. Raises ``ConfigError``."""
    engine, workers = settings.engine, settings.workers
    name, _, inner = engine.partition("/")
    kind, _, count = name.partition(":")
    if workers is not None:
        if kind in ("workers", "forks"):
            raise ConfigError(f"--engine {engine} says already how many processes: leave out --workers")
        inner = engine
    bounds = {name: getattr(settings, name) for name in ("max_requests", "max_memory", "max_age")}
    if all(value is None for value in bounds.values()) and workers is None:
        return make_engine(engine)
    make_engine(engine)  # first of all it must be one
    many = workers if workers is not None else int(count) if count else None
    try:
        if workers is not None or kind == "workers":
            return Workers(many, inner or "threads", **bounds)
        if kind == "forks":
            return Forks(many, **bounds)
    except ConfigError as error:
        name, _, words = str(error).partition("=")
        raise ConfigError(f"--{name.replace('_', '-')} {words}" if name in bounds else str(error)) from error
    option = next(name for name, value in bounds.items() if value is not None).replace("_", "-")
    raise ConfigError(f"--{option} is for workers, and there are none: add --workers N")
