"""Who is trusted and who we are: the settings of TLS clients and servers, made into contexts once.

::

    connect("tls://example.org:443")                            # verified by the system's trust store
    ClientTLS(ca="own-ca.pem", certificate=("me.pem", "me.key"))
    ServerTLS("site.pem", "site.key", sni={"other.example": ServerTLS("other.pem")})
    ServerTLS.self_signed()                                     # for development

Both sides speak TLS 1.2 or newer, without compression and renegotiation, and write their keys to the
file that ``SSLKEYLOGFILE`` names. The channel itself is ``TLSTransport``.
"""

from __future__ import annotations

import logging
import os
import ssl
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from time import monotonic
from types import EllipsisType
from typing import Any

from portico.address import canonical_host
from portico.errors import ConfigError
from portico.sockets.certificates import (
    KeyPair,
    Pem,
    Stamp,
    fingerprint,
    is_path,
    load_authorities,
    make_self_signed,
    self_signed_file,
    stamp,
    user_cache,
)
from portico.sockets.pins import Pins
from portico.sockets.tls_transport import NamedSSLObject, TLSInfo, TLSTransport
from portico.sockets.transport import Transport

__all__ = ["ClientTLS", "ServerTLS", "TLSInfo", "TLSTransport"]

_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
_RECHECK = 1.0
"""Seconds between two looks at a server's files."""

_log = logging.getLogger("portico.tls")


class ClientTLS:
    """How a client makes a channel secure.

    ``ca``: who is trusted instead of the system's trust store: a PEM file, a folder, PEM text, or an
    ``ssl.SSLContext`` that is used exactly as it is. A certificate in it is trusted itself, root or not.
    ``verify=False``: anybody may be the server (the ``repr`` shows it). ``certificate``: our own, as a
    path, PEM text or ``(certificate, key)``. ``alpn``: protocols offered, the best first.
    ``server_name``: whom to expect instead of the host dialled. ``minimum``: ``"1.2"`` or ``"1.3"``.
    ``pins``: SHA-256 of the public keys or certificates that are taken, as curl and OpenSSL write them (see
    ``portico.sockets.pins``): a server must have one of them, *and* be vouched for, unless ``verify=False``
    leaves the pins alone to decide. Raises ``ConfigError``.

    The system's trust store: on Linux and BSD that is a file of PEM certificates which OpenSSL reads
    itself, once for all connections; ``truststore`` would read it anew for each (some 10 ms), so it
    serves where it is needed: on macOS and Windows, and where OpenSSL was built with other paths than
    the system has.
    """

    def __init__(
        self,
        ca: Pem | ssl.SSLContext | None = None,
        *,
        verify: bool = True,
        certificate: Pem | tuple[Pem, Pem] | None = None,
        alpn: Sequence[str] = (),
        server_name: str | None = None,
        minimum: str = "1.2",
        pins: str | Sequence[str] | None = None,
    ) -> None:
        self.pins = None if pins is None else Pins(pins)
        if not verify and ca is not None:
            raise ConfigError("ClientTLS: ca= says whom to trust, verify=False trusts anybody; give one")
        self.verify = verify
        self.alpn = tuple(alpn)
        self.server_name = None if server_name is None else _server_name(server_name)
        self.has_certificate = certificate is not None
        if isinstance(ca, ssl.SSLContext):
            if certificate is not None or alpn:
                raise ConfigError("ClientTLS: an SSLContext is used as it is; set certificate and alpn in it")
            self.context = ca
            self.verify = ca.verify_mode == ssl.CERT_REQUIRED
            self._trust = "own context"
            return
        self._trust = "system" if ca is None else "own CA"
        self.context = _client_context(ca, verify)
        _harden(self.context, minimum)
        _offer(self.context, alpn)
        self.context.hostname_checks_common_name = False  # RFC 9525, 6.3: names stand in subjectAltName
        if certificate is not None:
            pair = certificate if isinstance(certificate, tuple) else (certificate, None)
            KeyPair(*pair).load_into(self.context)

    @classmethod
    @cache
    def default(cls) -> ClientTLS:
        """The settings without options, made once per process: reading a trust store takes a while."""
        return cls()

    def wrap(self, lower: Transport, server_name: str | None = None) -> TLSTransport:
        """A channel over ``lower`` to ``server_name``; the handshake is still to be driven.

        Raises ``ConfigError`` when there is no name to verify.
        """
        name = self.server_name or (None if server_name is None else _server_name(server_name))
        if name is None and self.context.check_hostname:
            raise ConfigError("verified TLS needs the server's name: give server_name=")
        return TLSTransport(lower, self.context, server_side=False, server_name=name, pins=self.pins)

    def __repr__(self) -> str:
        trust = f"trust={self._trust}" if self.verify else "verify=False"
        name = f", server_name={self.server_name}" if self.server_name else ""
        return f"<ClientTLS {trust}{name}{', pinned' if self.pins else ''}>"


class ServerTLS:
    """How a server makes a channel secure.

    ``certificate`` (the whole chain) and ``key``: paths or PEM text; ``key=None``: both in one.
    ``client_ca``: who may vouch for clients, which are asked for a certificate, and with
    ``require_client_certificate`` refused without one. ``alpn``: protocols taken, the best first.
    ``sni``: other certificates by the name a client asks for (``*.example.org`` for one label); the
    rest is as this one says. ``minimum``: ``"1.2"`` or ``"1.3"``. ``tickets=False``: none are sent by TLS 1.3
    for later handshakes; a client that only writes leaves them unread, and its system then ends the
    connection with a reset, which takes the last that it wrote along. Raises ``ConfigError``.

    New handshakes use the files as they are now: they are looked at once a second at most. Files that
    cannot be used leave the old ones in force, with a warning in the log.
    """

    def __init__(
        self,
        certificate: Pem,
        key: Pem | None = None,
        *,
        password: str | bytes | None = None,
        client_ca: Pem | None = None,
        require_client_certificate: bool = False,
        alpn: Sequence[str] = (),
        minimum: str = "1.2",
        sni: Mapping[str, ServerTLS] | None = None,
        tickets: bool = True,
    ) -> None:
        if require_client_certificate and client_ca is None:
            raise ConfigError("ServerTLS: require_client_certificate needs client_ca=, who signs them")
        self._pair = KeyPair(certificate, key, password)
        self._client_ca = client_ca
        self._required = require_client_certificate
        self.alpn = tuple(alpn)
        self._minimum = minimum
        self._tickets = tickets
        self._others = {_sni_name(name): other._as_guest(name) for name, other in (sni or {}).items()}
        self._lock = threading.Lock()
        self._checked = monotonic()
        self._loaded = self._load()

    @classmethod
    def self_signed(
        cls,
        names: Sequence[str] = ("localhost", "127.0.0.1", "::1"),
        *,
        directory: str | os.PathLike[str] | EllipsisType | None = ...,
        alpn: Sequence[str] = (),
        tickets: bool = True,
    ) -> ServerTLS:
        """For development: a certificate that nobody vouches for.

        It is kept in the user's cache folder, or in ``directory``, and reused until a week before it
        expires, so that a browser's exception lasts; ``directory=None`` keeps it in memory only.
        Clients trust it with ``ClientTLS(ca=server.certificate_pem)``. Raises ``ConfigError``.
        """
        if directory is None:
            return cls(make_self_signed(names), alpn=alpn, tickets=tickets)
        folder = user_cache() if directory is ... else Path(directory)
        return cls(self_signed_file(names, folder), alpn=alpn, tickets=tickets)

    @property
    def context(self) -> ssl.SSLContext:
        """The context for a handshake that begins now."""
        # One thread looks at the files; the others go on with what is loaded.
        if monotonic() - self._checked >= _RECHECK and self._lock.acquire(blocking=False):
            try:
                self._renew()
            finally:
                self._lock.release()
        return self._loaded.context

    @property
    def certificate_pem(self) -> bytes:
        """The certificate chain in force, as PEM text, without the key."""
        return self._loaded.certificate

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate in force, as ``AB:CD:…``."""
        return fingerprint(self._loaded.certificate)

    def reload(self) -> None:
        """Read the files again, for new handshakes; all of them, or none.

        Raises ``ConfigError`` naming the file that cannot be used; then the old ones stay in force.
        """
        with self._lock:
            self._loaded = self._load()

    def wrap(self, lower: Transport, server_name: str | None = None) -> TLSTransport:
        """A channel over ``lower``; the handshake is still to be driven. ``server_name`` has no use here."""
        return TLSTransport(lower, self.context, server_side=True)

    def __getstate__(self) -> dict[str, Any]:
        """For another process, which loads the files again."""
        return {name: value for name, value in self.__dict__.items() if name not in ("_lock", "_loaded")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.Lock()
        self._loaded = self._load()

    def __repr__(self) -> str:
        source = f" {self._pair.certificate}" if is_path(self._pair.certificate) else ""
        asked = "required" if self._required else "asked for" if self._client_ca is not None else ""
        clients = f", client certificates {asked}" if asked else ""
        others = f", {len(self._others)} more by SNI" if self._others else ""
        return f"<ServerTLS{source}{clients}{others}>"

    def _renew(self) -> None:
        self._checked = monotonic()
        now = stamp(self._files())
        if now == self._loaded.stamp:
            return
        try:
            self._loaded = self._load()
            _log.info("certificates were replaced: %r", self)
        except ConfigError as error:
            self._loaded = _Loaded(self._loaded.context, self._loaded.certificate, now)  # say it once
            _log.warning("new certificates cannot be used, the old ones stay in force: %s", error)

    def _files(self) -> list[Path]:
        files = self._pair.files()
        if self._client_ca is not None and is_path(self._client_ca):
            files.append(Path(self._client_ca))
        return files + [file for pair in self._others.values() for file in pair.files()]

    def _load(self) -> _Loaded:
        # The stamp first: what is replaced while we read will differ from it, and be read again.
        before = stamp(self._files())
        context, certificate = self._context(self._pair)
        if self._others:
            guests = {name: self._context(pair)[0] for name, pair in self._others.items()}
            context.sni_callback = _Chooser(guests)
        return _Loaded(context, certificate, before)

    def _context(self, pair: KeyPair) -> tuple[ssl.SSLContext, bytes]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.sslobject_class = NamedSSLObject
        context.sni_callback = _Chooser({})
        _harden(context, self._minimum)
        _offer(context, self.alpn)
        if not self._tickets:
            context.num_tickets = 0
        if self._client_ca is not None:
            load_authorities(context, self._client_ca)
            context.verify_mode = ssl.CERT_REQUIRED if self._required else ssl.CERT_OPTIONAL
        return context, pair.load_into(context)

    def _as_guest(self, name: str) -> KeyPair:
        """Its certificate, for the ``sni`` of another. OpenSSL takes everything else from the first
        context: a demand for client certificates would silently have no effect."""
        if self._client_ca is not None or self._others or self.alpn:
            raise ConfigError(
                f"ServerTLS(sni={{{name!r}: …}}): give client_ca, alpn and sni to the outer ServerTLS; "
                "they hold for all its names"
            )
        return self._pair


@dataclass(frozen=True, slots=True)
class _Loaded:
    """What is in force, replaced as a whole."""

    context: ssl.SSLContext
    certificate: bytes
    stamp: Stamp


class _Chooser:
    """The SNI callback: notes the name, and picks the certificate for it."""

    def __init__(self, guests: Mapping[str, ssl.SSLContext]) -> None:
        self._guests = guests

    def __call__(self, channel: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        if name is None or not isinstance(channel, NamedSSLObject):
            return
        name = name.lower().removesuffix(".")
        channel.asked_name = name
        guest = self._guests.get(name) or self._guests.get("*." + name.partition(".")[2])
        if guest is not None:
            channel.context = guest


def _client_context(ca: Pem | None, verify: bool) -> ssl.SSLContext:
    if verify and ca is None:
        return _system_context()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if ca is not None:
        load_authorities(context, ca)
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    else:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _system_context() -> ssl.SSLContext:
    paths = ssl.get_default_verify_paths()
    if sys.platform in ("darwin", "win32") or not (paths.cafile or _has_files(paths.capath)):
        import truststore

        return truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_default_certs()
    return context


def _has_files(folder: str | None) -> bool:
    return folder is not None and any(os.scandir(folder))


def _harden(context: ssl.SSLContext, minimum: str) -> None:
    if minimum not in _VERSIONS:
        raise ConfigError(f"minimum={minimum!r}: expected one of {', '.join(map(repr, _VERSIONS))}")
    context.minimum_version = _VERSIONS[minimum]
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    log = os.environ.get("SSLKEYLOGFILE")
    if log and not sys.flags.ignore_environment:
        try:
            context.keylog_filename = log
        except OSError as error:
            raise ConfigError(f"SSLKEYLOGFILE={log}: {error.strerror or error}") from error


def _offer(context: ssl.SSLContext, alpn: Sequence[str]) -> None:
    if isinstance(alpn, str):
        raise ConfigError(f"alpn={alpn!r}: expected a list, such as ({alpn!r},)")
    for protocol in alpn:
        if not (protocol.isascii() and 1 <= len(protocol) <= 255):
            raise ConfigError(f"alpn: {protocol!r} is no protocol name (1 to 255 ASCII characters)")
    if alpn:
        context.set_alpn_protocols(list(alpn))


def _server_name(name: str) -> str:
    """As certificates have it: no brackets, no zone, no final dot, ASCII. Raises ``AddressError``."""
    bare = name[1:-1] if name.startswith("[") and name.endswith("]") else name
    # RFC 6066, 3: without a trailing dot. A zone names our interface and means nothing to the peer.
    return canonical_host(bare).partition("%")[0].removesuffix(".")


def _sni_name(name: str) -> str:
    return "*." + canonical_host(name[2:]) if name.startswith("*.") else canonical_host(name)
