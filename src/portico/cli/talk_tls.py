"""From the TLS options of the talking commands to settings, and the library's words in those of options."""

from __future__ import annotations

from contextlib import AbstractContextManager

from portico.cli.manners import in_words
from portico.errors import CertificateError, ConfigError, TLSError
from portico.sockets.tls import ClientTLS, ServerTLS

__all__ = ["client_tls", "in_options", "server_tls"]

_WORDS = {
    "server_name=": "--name HOST",
    "ca=": "--ca FILE",
    "certificate=": "--cert FILE",
    "key=": "--key FILE",
    "verify=False": "--insecure",
    "client_ca=": "--client-ca FILE",
    "password=": "an unencrypted key",
}


def in_options() -> AbstractContextManager[None]:
    """Errors about TLS name what to write on the command line."""
    return in_words(_WORDS, ConfigError, CertificateError, TLSError)


def client_tls(
    ca: str | None, insecure: bool, cert: str | None, key: str | None, alpn: str | None
) -> ClientTLS:
    """Who is trusted: the system's authorities, or ``ca``, or with ``insecure`` anybody.

    Raises ``ConfigError``.
    """
    if insecure and ca is not None:
        raise ConfigError("--ca says whom to trust, --insecure trusts anybody: give one")
    _check_key(cert, key)
    certificate = None if cert is None else cert if key is None else (cert, key)
    with in_options():
        return ClientTLS(ca, verify=not insecure, certificate=certificate, alpn=_protocols(alpn))


def server_tls(
    cert: str | None, key: str | None, kind: str | None, client_ca: str | None, alpn: str | None
) -> ServerTLS:
    """Our certificate: from files, or one for development. Raises ``ConfigError``.

    No tickets: who sends a file and reads nothing would lose its end by them.
    """
    _check_key(cert, key)
    with in_options():
        if cert is None:
            if kind is None:
                raise ConfigError(
                    "TLS needs a certificate: --cert FILE --key FILE, or --tls self-signed for development"
                )
            if client_ca is not None:
                raise ConfigError("--client-ca goes with a certificate of our own: --cert FILE")
            return ServerTLS.self_signed(directory=None, alpn=_protocols(alpn), tickets=False)
        if kind is not None:
            raise ConfigError("--tls self-signed makes its own certificate: leave out --cert, or --tls")
        return ServerTLS(
            cert,
            key,
            client_ca=client_ca,
            require_client_certificate=client_ca is not None,
            alpn=_protocols(alpn),
            tickets=False,
        )


def _check_key(cert: str | None, key: str | None) -> None:
    if key is not None and cert is None:
        raise ConfigError("--key needs the certificate that it belongs to: --cert FILE")


def _protocols(alpn: str | None) -> list[str]:
    return [] if alpn is None else [name.strip() for name in alpn.split(",") if name.strip()]
