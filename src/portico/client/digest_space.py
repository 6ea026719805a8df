"""The arithmetic of Digest authentication: RFC 7616, 3.4; RFC 2069 for servers that know no ``qop``.

What a server has said is text in Latin-1, which keeps its bytes: these are hashed as they came.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from itertools import islice
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from portico.client.body import Body
from portico.client.challenges import Challenge
from portico.client.url import URL
from portico.errors import AddressError
from portico.sync import Guard

__all__ = ["Proof", "Space", "strength"]

_HASHES: Final[dict[str, Callable[[bytes], Any]]] = {
    "md5": lambda data: hashlib.md5(data, usedforsecurity=False),
    "sha-256": hashlib.sha256,
    "sha-512": hashlib.sha512,
    "sha-512-256": lambda data: hashlib.new("sha512_256", data),
}
"""Those that are known, the weakest first; each with or without ``-sess``."""
_NONCES = 1024
"""Nonces of one server whose uses are counted."""


def strength(challenge: Challenge) -> int:
    """How good a challenge is; 0: it cannot be answered."""
    given = challenge.parameters
    if challenge.scheme != "digest" or "nonce" not in given or "realm" not in given:
        return 0
    name = _algorithm(given)
    missing = name == "sha-512-256" and "sha512_256" not in hashlib.algorithms_available
    if name not in _HASHES or missing or _quality(given) is None:
        return 0
    return 1 + list(_HASHES).index(name)


class Proof(NamedTuple):
    """One answer: the value of its ``field``, and what went into it."""

    space: Space
    field: str
    nonce: str
    uses: str
    cnonce: str
    quality: str
    target: str

    def accepted(self) -> None:
        """Let others use its nonce."""
        self.space.nonce = self.nonce


class Space:
    """What holds for all answers to one challenge, and to those that differ in the nonce alone.

    ``nonce``: to be used without being asked; empty until one was accepted. Until then it belongs to whom it
    was given: there are servers that want a nonce's counts to come in order, which those of several senders
    do not. Any thread may use it.
    """

    def __init__(self, challenge: Challenge, user: str, password: str, url: URL | None) -> None:
        given = challenge.parameters
        self.nonce = ""
        self._given = given
        self._hash = _HASHES[_algorithm(given)]
        self._quality = _quality(given) or ""
        self._counts: dict[str, int] = {}
        self._guard = Guard()
        self._places = _places(given.get("domain", ""), url)
        self._user_field, self._hashed = self._named(user)
        self._session = given.get("algorithm", "").lower().endswith("-sess")
        self._cnonce = secrets.token_hex(16)
        self._secret = self._digest(user.encode(), _raw(given["realm"]), password.encode())
        if self._session:  # the key is made once, of the first nonces (RFC 7616, 3.4.2)
            self._secret = self._digest(self._secret, _raw(given["nonce"]), self._cnonce.encode())

    @property
    def reads_body(self) -> bool:
        """Whether an answer takes the whole body of its request, which is read once more for it."""
        return self._quality == "auth-int"

    def is_of(self, challenge: Challenge) -> bool:
        """Whether a challenge differs from the one that this was made for in the nonce at most."""
        given = challenge.parameters
        another_key = self._session and given["nonce"] != self._given["nonce"]
        return not another_key and _lasting(given) == _lasting(self._given)

    def covers(self, url: URL) -> bool:
        """Whether a URL of the server lies within (RFC 7616, 3.3, ``domain``)."""
        if not self._places:
            return True
        return any(place.origin == url.origin and url.path.startswith(place.path) for place in self._places)

    def prove(self, method: str, target: str, body: Body | None, nonce: str = "") -> Proof:
        """The answer for one request: another one each time. ``nonce``: the one it was given."""
        nonce = nonce or self.nonce
        count = self._counted(nonce)
        cnonce = self._cnonce if self._session else secrets.token_hex(16)
        a2 = [method.encode(), target.encode()]
        if self.reads_body:
            a2.append(self._body_hash(body))
        response = self._response(nonce, count, cnonce, a2)
        fields = [self._user_field, f"realm={_quoted(self._given['realm'])}", f"nonce={_quoted(nonce)}"]
        fields += [f"uri={_quoted(target)}", f'response="{response}"']
        if "algorithm" in self._given:
            fields.append(f"algorithm={self._given['algorithm']}")
        if "opaque" in self._given:
            fields.append(f"opaque={_quoted(self._given['opaque'])}")
        if self._quality:
            fields += [f"qop={self._quality}", f"nc={count}", f'cnonce="{cnonce}"']
        if self._hashed:
            fields.append("userhash=true")
        return Proof(self, "Digest " + ", ".join(fields), nonce, count, cnonce, self._quality, target)

    def server_proof(self, proof: Proof) -> str:
        """What a server that knows the password tells as ``rspauth`` in its answer to ``proof``."""
        return self._response(proof.nonce, proof.uses, proof.cnonce, [b"", proof.target.encode()])

    # -- inside

    def _counted(self, nonce: str) -> str:
        """How often a nonce has been used, this time included: no two answers have both in common, also when
        a server goes back to a nonce."""
        with self._guard:
            counts = self._counts
            count = counts[nonce] = counts.pop(nonce, 0) + 1
            for oldest in list(islice(counts, max(0, len(counts) - _NONCES))):
                del counts[oldest]
        return f"{count:08x}"

    def _response(self, nonce: str, count: str, cnonce: str, a2: list[bytes]) -> str:
        use = [count.encode(), cnonce.encode(), self._quality.encode()] if self._quality else []
        return self._digest(self._secret, _raw(nonce), *use, self._digest(*a2)).decode()

    def _digest(self, *parts: bytes) -> bytes:
        return str(self._hash(b":".join(parts)).hexdigest()).encode()

    def _body_hash(self, body: Body | None) -> bytes:
        digest = self._hash(b"")
        for piece in () if body is None else body.chunks():
            digest.update(piece)
        return str(digest.hexdigest()).encode()

    def _named(self, user: str) -> tuple[str, bool]:
        """The field with the user's name, and whether that is hashed."""
        given = self._given
        if given.get("userhash", "").lower() == "true":
            return f'username="{self._digest(user.encode(), _raw(given["realm"])).decode()}"', True
        if not user.isascii() and "charset" in given:
            return f"username*=UTF-8''{quote(user, safe='')}", False
        # Servers of RFC 2617 know no other field than this; UTF-8 is what browsers send them.
        return f"username={_quoted(user.encode().decode('latin-1'))}", False


def _algorithm(given: dict[str, str]) -> str:
    return given.get("algorithm", "MD5").lower().removesuffix("-sess")


def _quality(given: dict[str, str]) -> str | None:
    """The ``qop`` to use: auth before auth-int, which takes reading the body twice; ``""`` where a server
    knows none, ``None`` where we know none of its."""
    if "qop" not in given:
        return ""
    options = {option.strip().lower() for option in given["qop"].split(",")}
    return next((option for option in ("auth", "auth-int") if option in options), None)


def _lasting(given: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in given.items() if name not in ("nonce", "stale")}


def _places(domain: str, url: URL | None) -> list[URL]:
    found: list[URL] = []
    if url is None:
        return found
    for each in domain.split():
        try:
            found.append(url.join(each))
        except AddressError:
            continue
    return found


def _raw(text: str) -> bytes:
    return text.encode("latin-1")


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
