"""Certificates and their keys: read from files with errors that say what to do, or made for development.

OpenSSL's own messages ("PEM lib", "Invalid argument") name neither the file nor the mistake, and it asks
for passwords on the terminal; so files are looked at before it gets them.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import logging
import os
import re
import ssl
import stat
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any, TypeGuard

from portico.address import canonical_host
from portico.errors import ConfigError

__all__ = [
    "KeyPair",
    "Pem",
    "Stamp",
    "fingerprint",
    "is_path",
    "load_authorities",
    "make_self_signed",
    "self_signed_file",
    "stamp",
    "user_cache",
]

Pem = str | bytes | os.PathLike[str]
"""A path, or the PEM text itself."""
Stamp = tuple[tuple[str, int, int, int] | None, ...]
"""What tells a replaced file from the old one: path, inode, modification time, size."""

_log = logging.getLogger("portico.tls")


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A certificate (chain) and its private key. ``key=None``: both are in ``certificate``."""

    certificate: Pem
    key: Pem | None = None
    password: str | bytes | None = field(default=None, repr=False)

    def files(self) -> list[Path]:
        """The files it comes from."""
        return [Path(pem) for pem in (self.certificate, self.key) if pem is not None and is_path(pem)]

    def load_into(self, context: ssl.SSLContext) -> bytes:
        """Give it to ``context``; the certificate's PEM text. Raises ``ConfigError``."""
        chain = _read(self.certificate, "certificate")
        key = chain if self.key is None else _read(self.key, "key")
        if b"-----BEGIN CERTIFICATE-----" not in chain:
            raise ConfigError(f"{_name(self.certificate)} contains no certificate in PEM form")
        if b"PRIVATE KEY-----" not in key:
            where = _name(self.certificate if self.key is None else self.key)
            hint = "; give the key's file as key=" if self.key is None else ""
            raise ConfigError(f"{where} contains no private key in PEM form{hint}")
        self._load(context, chain, key)
        return chain

    def _load(self, context: ssl.SSLContext, chain: bytes, key: bytes) -> None:
        asked = False

        def password() -> str | bytes:
            nonlocal asked
            asked = True
            return self.password or ""

        try:
            with _as_file(self.certificate, chain) as one, _as_file(self.key or self.certificate, key) as two:
                context.load_cert_chain(one, two, password=password)
        except (ssl.SSLError, ValueError) as error:
            raise ConfigError(self._why(error, asked)) from error

    def _why(self, error: Exception, asked: bool) -> str:
        key = _name(self.certificate if self.key is None else self.key)
        if asked and self.password is None:
            return f"the key in {key} is encrypted: give its password="
        if asked:
            return f"the key in {key} cannot be decrypted: wrong password"
        reason = getattr(error, "reason", None) or str(error)
        if reason == "KEY_VALUES_MISMATCH":
            return f"the key in {key} does not belong to the certificate in {_name(self.certificate)}"
        return f"{_name(self.certificate)} or {key} cannot be used: {reason.replace('_', ' ').lower()}"


@contextmanager
def _as_file(pem: Pem, data: bytes) -> Iterator[str | os.PathLike[str]]:
    """The library loads keys from files only: PEM text becomes one, for a moment, readable by us alone."""
    if is_path(pem):
        yield pem
        return
    with tempfile.TemporaryDirectory(prefix="portico-") as folder:
        path = Path(folder, "key.pem")
        _write_private(path, data)
        yield path


_HASHED = re.compile(r"[0-9a-f]{8}\.[0-9]+")  # the only names that OpenSSL looks for in a folder


def load_authorities(context: ssl.SSLContext, pem: Pem) -> None:
    """Trust the certificates in ``pem`` (a file, a folder as ``c_rehash`` makes it, or PEM text).

    Raises ``ConfigError``.
    """
    if is_path(pem) and os.path.isdir(pem):
        if not any(map(_HASHED.fullmatch, os.listdir(os.fsdecode(pem)))):
            raise ConfigError(
                f"{_name(pem)} has no certificates under their hashes: run openssl rehash on it"
            )
        context.load_verify_locations(capath=pem)
        return
    data = _read(pem, "CA")
    if b"-----BEGIN CERTIFICATE-----" not in data:
        raise ConfigError(f"{_name(pem)} contains no certificate in PEM form")
    try:
        context.load_verify_locations(cadata=data.decode("ascii", "ignore"))  # notes between certificates
    except ssl.SSLError as error:
        raise ConfigError(f"{_name(pem)} cannot be used as a CA: {error.reason or error}") from error


def fingerprint(pem: bytes) -> str:
    """SHA-256 of the first certificate in a PEM text, as ``AB:CD:…``: what browsers show."""
    text = pem.decode("ascii", "replace")
    begin = text.index("-----BEGIN CERTIFICATE-----")
    end = text.index("-----END CERTIFICATE-----", begin)
    der = ssl.PEM_cert_to_DER_cert(text[begin:end] + "-----END CERTIFICATE-----\n")
    return hashlib.sha256(der).digest().hex(":").upper()


def stamp(files: Sequence[Path]) -> Stamp:
    """The present state of files, by one ``stat`` each."""
    return tuple(_stamp(path) for path in files)


def _stamp(path: Path) -> tuple[str, int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return str(path), found.st_ino, found.st_mtime_ns, found.st_size


def is_path(pem: Pem) -> TypeGuard[str | os.PathLike[str]]:
    """Whether it names a file, and is not the text of one."""
    return not isinstance(pem, bytes) and not (isinstance(pem, str) and "-----BEGIN" in pem)


def _name(pem: Pem) -> str:
    return str(pem) if is_path(pem) else "the PEM text"


def _read(pem: Pem, what: str) -> bytes:
    if isinstance(pem, bytes):
        return pem
    if not is_path(pem):
        return str(pem).encode()
    try:
        return Path(pem).read_bytes()
    except OSError as error:
        raise ConfigError(f"{what} file {pem}: {error.strerror or error}") from error


def _write_private(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)


# -- self-signed certificates for development

_VALID = dt.timedelta(days=365)
_RENEW = dt.timedelta(days=7)


def user_cache() -> Path:
    """Where this user's development certificates are kept. Raises ``ConfigError`` without a home."""
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        return (Path(base) if base else Path.home() / ".cache") / "portico" / "tls"
    except RuntimeError as error:
        raise ConfigError(f"no place to keep a self-signed certificate: {error}; give directory=") from error


def self_signed_file(names: Sequence[str], folder: Path) -> Path:
    """A file in ``folder`` with a self-signed certificate for ``names`` and its key, made or reused.

    The folder is made with mode 0700, the file 0600. Raises ``ConfigError``, also when the folder belongs
    to somebody else or others may write there: they could plant a key of their own.
    """
    names = _canonical(names)
    path = folder / f"self-signed-{hashlib.sha256(','.join(names).encode()).hexdigest()[:16]}.pem"
    try:
        _private_folder(folder)
        if not _reusable(path):
            _replace(path, make_self_signed(names))
    except OSError as error:
        raise ConfigError(
            f"cannot keep a self-signed certificate in {folder}: {error.strerror or error}; "
            "give another directory=, or None for memory only"
        ) from error
    return path


def make_self_signed(names: Sequence[str]) -> bytes:
    """A new certificate for host names and IP addresses, and its key (ECDSA P-256), as PEM text."""
    x509 = _x509()
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    names = _canonical(names)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Portico, self-signed for development"),
            x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64]),
        ]
    )
    now = dt.datetime.now(dt.UTC)
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))  # for clocks that are a little slow
        .not_valid_after(now + _VALID)
        .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
        # Not an authority: a key that leaks from a developer's disk must not be able to sign others.
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(identifier, critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    text: bytes = certificate.public_bytes(serialization.Encoding.PEM) + private
    return text


def _x509() -> Any:
    """The library's module, imported when the first such certificate is wanted."""
    try:
        from cryptography import x509
    except ImportError as error:
        raise ConfigError(
            "self-signed certificates need the package cryptography: pip install cryptography"
        ) from error
    return x509


def _canonical(names: Sequence[str]) -> list[str]:
    if isinstance(names, str) or not names:
        raise ConfigError(f"self_signed(names={names!r}): expected a list of host names and IP addresses")
    return [name if name.startswith("*.") else canonical_host(name) for name in names]


def _general_name(name: str) -> Any:
    x509 = _x509()
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _private_folder(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.stat()
    if found.st_uid != os.geteuid() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ConfigError(
            f"{folder} belongs to somebody else, or others may write there: not safe for private keys; "
            "use a folder with mode 0700"
        )


def _reusable(path: Path) -> bool:
    """Whether the certificate is ours alone, readable, and good for another week."""
    x509 = _x509()
    try:
        found = path.lstat()
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
            return False
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
        KeyPair(path).load_into(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    except (FileNotFoundError, ValueError):  # ConfigError is one
        return False
    return bool(dt.datetime.now(dt.UTC) < certificate.not_valid_after_utc - _RENEW)


def _replace(path: Path, data: bytes) -> None:
    """Put a whole file in place at once: another process may be reading the old one."""
    with tempfile.TemporaryDirectory(prefix=".new-", dir=path.parent) as folder:
        new = Path(folder, path.name)
        _write_private(new, data)
        new.replace(path)
    _log.debug("made a self-signed certificate: %s", path)
