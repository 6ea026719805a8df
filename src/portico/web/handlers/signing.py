r"""Texts that come back as they were given out: signed, dated, readable by everybody.

A token is ``payload "." expiry "." signature``: base64url without padding, the expiry as decimal seconds
since 1970, the signature HMAC-SHA256 over all before it. The key is derived from the secret and a purpose,
so that what was signed for one purpose is worth nothing for another.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from time import time

from portico.errors import AuthenticationError, ConfigError

__all__ = ["BadSignature", "Key", "Signer"]

Key = str | bytes

_SHORTEST = 16


class BadSignature(AuthenticationError):
    """A token that was not made with one of our keys, was changed, or is too old; the message says which."""


class Signer:
    """Signs for one ``purpose``. Of several keys the first signs, and all are taken: put a new one in front.

    Raises ``ConfigError`` for a key below 16 bytes; ``secrets.token_urlsafe(32)`` makes a good one.
    """

    def __init__(self, keys: Key | Sequence[Key], purpose: str) -> None:
        given = [keys] if isinstance(keys, (str, bytes)) else list(keys)
        if not given:
            raise ConfigError("signing needs at least one key")
        self.purpose = purpose
        self._keys = [_derived(key, purpose) for key in given]

    def sign(self, data: bytes, *, seconds: float) -> str:
        """A token of ``data``, good for so many seconds from now."""
        body = f"{_encoded(data)}.{int(time() + seconds)}"
        return f"{body}.{_encoded(_signature(self._keys[0], body))}"

    def read(self, token: str) -> tuple[bytes, int]:
        """What was signed, and when it expires. Raises ``BadSignature``."""
        body, _, given = token.rpartition(".")
        data, _, expiry = body.rpartition(".")
        signature = _decoded(given)
        # All keys, and each in constant time: how long it takes tells nothing.
        good = [hmac.compare_digest(_signature(key, body), signature) for key in self._keys]
        if not any(good):
            raise BadSignature(f"the signature of this {self.purpose} does not fit")
        if int(expiry) <= time():
            raise BadSignature(f"this {self.purpose} has expired")
        return _decoded(data), int(expiry)

    def __repr__(self) -> str:
        return f"<Signer for {self.purpose}, {len(self._keys)} keys>"


def _derived(key: Key, purpose: str) -> bytes:
    secret = key.encode() if isinstance(key, str) else key
    if len(secret) < _SHORTEST:
        raise ConfigError(
            f"a key of {len(secret)} bytes can be guessed: take at least {_SHORTEST}, "
            "such as secrets.token_urlsafe(32) makes"
        )
    return hmac.digest(secret, b"portico signing\0" + purpose.encode(), "sha256")


def _signature(key: bytes, body: str) -> bytes:
    return hmac.digest(key, body.encode("utf-8", "surrogatepass"), "sha256")


def _encoded(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _decoded(text: str) -> bytes:
    """``b""`` for what is not base64url in its one spelling: no two tokens are worth the same."""
    try:
        data = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        return b""
    return data if _encoded(data) == text else b""
