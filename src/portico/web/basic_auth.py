"""Basic authentication (RFC 7617) in front of a gateway.

A hash is meant to be slow. So what was right once is remembered: not the password, but a keyed digest of
the field that carried it, with a key that lives only in this object. What was wrong is never remembered, and
few may be checked at once, lest guessing take all threads and all memory.
"""

from __future__ import annotations

import hashlib
import logging
import re
import secrets
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from portico.errors import ConfigError
from portico.http.exchange import Exchange, Gateway
from portico.http.messages import RequestHead
from portico.sync import Guard, Lock
from portico.web.passwords import CONTROL, Hash, normal, read_hash

__all__ = ["BasicAuth", "read_users"]

log = logging.getLogger("portico.auth")
log.addHandler(logging.NullHandler())

REMEMBERED = 1024
WAITING = 8
"""Checks that may wait for their turn; beyond them 503."""
_BASIC = re.compile(r"basic +([A-Za-z0-9+/=]+) *", re.IGNORECASE)
_REALM = re.compile(r"[\x20-\x7e]+")
_LONGEST = 1024  # characters of the field: no name and password have more


class _Said(NamedTuple):
    """Who somebody says they are."""

    user: str
    password: bytes


class BasicAuth:
    """Lets requests through to ``gateway`` that carry a user's name and password; others get 401.

    ``users``: the hash of each (see ``passwords``). ``realm``: what the client shows. The user is in
    ``exchange.user``, and in ``REMOTE_USER`` for programs. Raises ``ConfigError``.
    """

    def __init__(self, gateway: Gateway, users: Mapping[str, str], realm: str = "portico") -> None:
        if not users:
            raise ConfigError("basic authentication without users lets nobody in: name one")
        if not _REALM.fullmatch(realm):
            raise ConfigError(f"the realm {realm!r} is not printable ASCII")
        self.name = gateway.name
        self.gateway = gateway
        self.blocks = getattr(gateway, "blocks", False)
        self._hashes = {normal(user): _read(user, text) for user, text in users.items()}
        self._dummy: Hash = next(iter(self._hashes.values()))
        quoted = realm.replace("\\", "\\\\").replace('"', '\\"')
        self._challenge = [("WWW-Authenticate", f'Basic realm="{quoted}", charset="UTF-8"')]
        self._key = secrets.token_bytes(32)
        self._known: dict[bytes, str] = {}
        self._guard = Guard()
        self._checking = Lock()
        self._waiting = 0

    def streams(self, request: RequestHead) -> bool:
        """Who is not known yet is asked before the body arrives, so that nobody sends one in vain."""
        if self._remembered(request.get("authorization")) is not None:
            return self.gateway.streams(request)
        # A gateway that gathers a body needs its length; a chunked one has to come first, to tell it.
        return request.body_length is not None or self.gateway.streams(request)

    def __call__(self, exchange: Exchange) -> None:
        """Let a request through, or refuse it."""
        field = exchange.header("authorization")
        user = self._remembered(field)
        if user is None:
            said = _read_field(field)
            user = None if said is None else self._check(exchange, field or "", said)
            if exchange.started:
                return
        if user is None:
            detail = "A name and a password are needed here."
            exchange.respond_error(401, detail, self._challenge)
            return
        exchange.user = user
        self.gateway(exchange)

    def __repr__(self) -> str:
        return f"<BasicAuth {len(self._hashes)} users, {self.gateway!r}>"

    def _digest(self, field: str) -> bytes:
        return hashlib.blake2b(field.encode("latin-1"), key=self._key, digest_size=32).digest()

    def _remembered(self, field: str | None) -> str | None:
        return None if field is None or len(field) > _LONGEST else self._known.get(self._digest(field))

    def _check(self, exchange: Exchange, field: str, said: _Said) -> str | None:
        """Check a password, one at a time. Answers 503 itself, where too many wait."""
        with self._guard:
            crowded = self._waiting > WAITING
            self._waiting += not crowded
        if crowded:
            exchange.respond_error(503, "Too many are asking to be let in.", [("Retry-After", "1")])
            return None
        try:
            with self._checking:
                user = self._remembered(field)  # by another request, which waited in front of this one
                return self._judge(exchange, field, said) if user is None else user
        finally:
            with self._guard:
                self._waiting -= 1

    def _judge(self, exchange: Exchange, field: str, said: _Said) -> str | None:
        known = self._hashes.get(said.user)
        # For unknown users the same work is done, so that the time does not tell names.
        right = self._dummy.dummy(said.password) if known is None else known.check(said.password)
        if not right:
            log.warning("refused %s: wrong name or password for %s", exchange.peer, exchange.raw_path)
            return None
        if len(self._known) >= REMEMBERED:
            del self._known[next(iter(self._known))]
        self._known[self._digest(field)] = said.user
        return said.user


def read_users(file: str) -> dict[str, str]:
    """The users of a file with ``name:hash`` in each line, as ``htpasswd -B`` writes it; ``#`` begins a
    comment. Raises ``ConfigError``."""
    try:
        text = Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise ConfigError(f"the users in {file} cannot be read: {reason}") from error
    users: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        user, colon, digest = line.strip().partition(":")
        if not colon or not user:
            raise ConfigError(f"{file}, line {number}: expected name:hash")
        if user in users:
            raise ConfigError(f"{file}, line {number}: {user} stands there twice")
        try:
            _read(user, digest)
        except ConfigError as error:
            raise ConfigError(f"{file}, line {number}: {error}") from error
        users[user] = digest
    return users


def _read(user: str, text: str) -> Hash:
    if not user or ":" in user or not user.isprintable():
        raise ConfigError(f"the user {user!r} cannot be: a name has no colon and no control characters")
    try:
        return read_hash(text)
    except ConfigError as error:
        raise ConfigError(f"the password of {user}: {error}") from error


def _read_field(field: str | None) -> _Said | None:
    """RFC 7617, 2: ``Basic`` and Base64 of name, colon and password."""
    found = None if field is None or len(field) > _LONGEST else _BASIC.fullmatch(field)
    if found is None:
        return None
    try:
        name, colon, password = _text(b64decode(found[1], validate=True)).partition(":")
    except Base64Error:
        return None
    # Control characters cannot be in either; to scrypt, one NUL more at the end is the same password.
    if not colon or CONTROL.search(name + password):
        return None
    return _Said(normal(name), normal(password).encode())


def _text(data: bytes) -> str:
    """2.1: UTF-8, as we ask for; what is not is an older client's latin-1."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")
