"""Pins: which certificate or public key a peer must have, whoever vouches for it.

A pin is written as curl writes the SHA-256 of a public key (``sha256//`` and base64; OkHttp's one slash is
taken, too), which stays when a certificate is renewed with its key, or as OpenSSL prints the fingerprint of a
certificate: 64 hexadecimal digits, with or without colons.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Iterable
from hashlib import sha256

from portico.errors import CertificateError, ConfigError

__all__ = ["Pins", "public_key_pin"]

_FINGERPRINT = re.compile(r"[0-9A-Fa-f]{2}(?::?[0-9A-Fa-f]{2}){31}", re.ASCII)
_KEY = re.compile(r"sha256//?([A-Za-z0-9+/]{43}=)", re.ASCII)
_SEQUENCE, _VERSION = 0x30, 0xA0
_BEFORE_KEY = 5
"""Serial number, signature algorithm, issuer, validity and subject (RFC 5280, 4.1)."""


class Pins:
    """The pins of a peer, one of which must fit. Raises ``ConfigError`` for what is no pin."""

    def __init__(self, given: str | Iterable[str]) -> None:
        self._keys: set[bytes] = set()
        self._certificates: set[bytes] = set()
        for pin in [given] if isinstance(given, str) else given:
            key = _KEY.fullmatch(pin)
            if key is not None:
                self._keys.add(b64decode(key[1]))
            elif _FINGERPRINT.fullmatch(pin):
                self._certificates.add(bytes.fromhex(pin.replace(":", "")))
            else:
                raise ConfigError(
                    f"pins: {pin!r} is neither sha256//… (of a public key, in base64) nor the SHA-256 "
                    "fingerprint of a certificate in hexadecimal"
                )
        if not self._keys and not self._certificates:
            raise ConfigError("pins: give one at least, or leave pins= out")

    def check(self, certificate: bytes | None) -> None:
        """Raise ``CertificateError`` unless the certificate (DER) or its public key is one of them."""
        if certificate is None:
            raise CertificateError("the peer has shown no certificate, and pins= wants a certain one")
        if sha256(certificate).digest() in self._certificates:
            return
        if self._keys and sha256(_public_key(certificate)).digest() in self._keys:
            return
        raise CertificateError(
            f"the certificate is not one of those pinned: its public key is {public_key_pin(certificate)}, "
            f"its fingerprint {sha256(certificate).hexdigest()}"
        )


def public_key_pin(certificate: bytes) -> str:
    """The pin (``sha256//…``) of a certificate (DER) by its public key."""
    return f"sha256//{b64encode(sha256(_public_key(certificate)).digest()).decode()}"


def _public_key(certificate: bytes) -> bytes:
    """SubjectPublicKeyInfo of a certificate. OpenSSL has read it before: we look for its place alone."""
    try:
        start, _ = _inside(certificate, 0)  # Certificate
        start, _ = _inside(certificate, start)  # TBSCertificate
        if certificate[start] == _VERSION:
            start = _inside(certificate, start)[1]
        for _ in range(_BEFORE_KEY):
            start = _inside(certificate, start)[1]
        if certificate[start] != _SEQUENCE:
            raise ValueError("no SubjectPublicKeyInfo")
        return certificate[start : _inside(certificate, start)[1]]
    except (IndexError, ValueError):
        raise CertificateError("the peer's certificate has no public key where one must be") from None


def _inside(data: bytes, start: int) -> tuple[int, int]:
    """Where the contents of the DER element at ``start`` begin, and where it ends (X.690, 8.1)."""
    length, begin = data[start + 1], start + 2
    if length >= 0x80:
        count = length & 0x7F
        if not 1 <= count <= 4:
            raise ValueError("length")
        length, begin = int.from_bytes(data[begin : begin + count]), begin + count
    if begin + length > len(data):
        raise ValueError("cut")
    return begin, begin + length
