"""Hashed passwords: made, read and checked.

::

    $scrypt$ln=14,r=8,p=5$SALT$HASH        scrypt (RFC 7914), N = 2**ln; salt and hash in Base64 without "="
    $2b$12$...                             bcrypt, with the package of that name; $2a$ and $2y$ as well

The first is what ``hash_password`` makes, as strong as OWASP asks for, in 16 MiB of memory.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import unicodedata
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from portico.errors import ConfigError

__all__ = ["CONTROL", "Hash", "hash_password", "normal", "read_hash"]

CONTROL = re.compile(r"[\x00-\x1f\x7f]")

_LN, _R, _P = 14, 8, 5
_SALT, _SIZE = 16, 32
_MEMORY = 64 << 20
"""What one check may take: many may be asked for at the same time."""
_WORK = 1 << 20
"""N·r·p: some seconds of work; more is a slip of the pen."""
_SCRYPT = re.compile(
    r"\$scrypt\$ln=([0-9]{1,2}),r=([0-9]{1,3}),p=([0-9]{1,3})\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)"
)
_BCRYPT = re.compile(r"\$2[aby]\$([0-9]{2})\$[./A-Za-z0-9]{53}")
_MOST_ROUNDS = 15


@dataclass(frozen=True, slots=True)
class Hash:
    """A hash of a password. ``check(password)`` takes as long whether it is right or not; ``dummy`` as long
    as ``check``, and never says yes."""

    check: Callable[[bytes], bool]
    dummy: Callable[[bytes], bool]


def hash_password(password: str, *, ln: int = _LN, r: int = _R, p: int = _P) -> str:
    """The hash of a password in the form ``$scrypt$…``, with a new salt. Accents count as ``BasicAuth``
    reads them, however they were typed. Raises ``ConfigError``."""
    if not password:
        raise ConfigError("an empty password protects nothing")
    if CONTROL.search(password):
        raise ConfigError("a password has no control characters: nobody could send it (RFC 7617, 2)")
    _check_cost(ln, r, p)
    salt = secrets.token_bytes(_SALT)
    digest = _scrypt(normal(password).encode(), salt, ln, r, p, _SIZE)
    return f"$scrypt$ln={ln},r={r},p={p}${_encode(salt)}${_encode(digest)}"


def normal(text: str) -> str:
    """RFC 7617, 2.1: the same word, however an input method has put its accents together."""
    return unicodedata.normalize("NFC", text)


def read_hash(text: str) -> Hash:
    """What checks passwords against a hash. Raises ``ConfigError``, without the hash in its words."""
    if text.startswith("$scrypt$"):
        return _read_scrypt(text)
    if _BCRYPT.fullmatch(text):
        return _read_bcrypt(text)
    if text.startswith("$2"):
        raise ConfigError("a bcrypt hash that is not whole: it has 60 characters")
    raise ConfigError("not a hash that is known here; make one with 'portico hash-password'")


def _read_scrypt(text: str) -> Hash:
    found = _SCRYPT.fullmatch(text)
    if found is None:
        raise ConfigError("a scrypt hash that cannot be read: expected $scrypt$ln=…,r=…,p=…$salt$hash")
    ln, r, p = int(found[1]), int(found[2]), int(found[3])
    _check_cost(ln, r, p)
    try:
        salt, digest = _decode(found[4]), _decode(found[5])
    except Base64Error:
        raise ConfigError("a scrypt hash whose salt or hash is not Base64") from None
    if len(salt) < 8 or len(digest) < 16:
        raise ConfigError("a scrypt hash that is too short: expected 8 bytes of salt, 16 of hash, or more")

    def check(password: bytes) -> bool:
        return hmac.compare_digest(_scrypt(password, salt, ln, r, p, len(digest)), digest)

    return Hash(check, partial(_never, check))


def _check_cost(ln: int, r: int, p: int) -> None:
    if not (1 <= ln <= 24 and r >= 1 and p >= 1):
        raise ConfigError(f"scrypt with ln={ln}, r={r}, p={p} cannot be")
    if 128 * r << ln > _MEMORY:
        raise ConfigError(
            f"scrypt with ln={ln}, r={r} takes {128 * r << ln >> 20} MiB for each check; 64 is most"
        )
    if (r * p) << ln > _WORK:
        raise ConfigError(f"scrypt with ln={ln}, r={r}, p={p} takes seconds for each check")


def _scrypt(password: bytes, salt: bytes, ln: int, r: int, p: int, size: int) -> bytes:
    return hashlib.scrypt(
        password, salt=salt, n=1 << ln, r=r, p=p, maxmem=(128 * r << ln) + (1 << 22), dklen=size
    )


def _read_bcrypt(text: str) -> Hash:
    rounds = int(text[4:6])
    if not 4 <= rounds <= _MOST_ROUNDS:
        raise ConfigError(f"bcrypt with {rounds} rounds: expected 4 to {_MOST_ROUNDS}")
    library = _bcrypt()
    digest = text.encode()

    def check(password: bytes) -> bool:
        # Only 72 bytes count, and none after a NUL; current versions refuse longer ones.
        return b"\0" not in password and bool(library.checkpw(password[:72], digest))

    return Hash(check, partial(_never, check))


def _bcrypt() -> Any:
    try:
        import bcrypt
    except ImportError:
        raise ConfigError(
            "bcrypt hashes need the package bcrypt: pip install 'portico[auth]', or make another hash with "
            "'portico hash-password'"
        ) from None
    return bcrypt


def _never(check: Callable[[bytes], bool], password: bytes) -> bool:
    check(password)
    return False


def _encode(data: bytes) -> str:
    return b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return b64decode(text + "=" * (-len(text) % 4), validate=True)
