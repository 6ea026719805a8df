"""Digest authentication (RFC 7616): the password is proved, and never sent.

Of several challenges the strongest is answered. What a server has told once serves for later requests to it,
each with a count of its own, so that no answer can be used twice.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from hmac import compare_digest
from typing import TYPE_CHECKING, Any

from portico.client.challenges import Challenge, parse_challenges, parse_parameters
from portico.client.params import encoded
from portico.client.url import Origin
from portico.errors import AuthenticationError
from portico.sync import Guard

if TYPE_CHECKING:
    from portico.client.request import Request
    from portico.client.response import Response

__all__ = ["Digest"]

_STRENGTH = ("sha-512-256", "sha-256", "md5")
"""The algorithms that are known, best first; each with or without ``-sess``."""
_KEPT = 256
"""Servers whose challenge is remembered."""


def _hash(algorithm: str) -> Callable[[bytes], Any]:
    if algorithm == "sha-512-256":
        return lambda data: hashlib.new("sha512_256", data)
    if algorithm == "sha-256":
        return hashlib.sha256
    return lambda data: hashlib.md5(data, usedforsecurity=False)


class _Space:
    """A challenge that was answered: its nonce, and how often that has been used."""

    def __init__(self, challenge: Challenge) -> None:
        self.parameters = challenge.parameters
        self.nonce = challenge.parameters["nonce"]
        self.count = 0
        self.secret_nonce = secrets.token_hex(16)  # of -sess, which keeps the first one


class Digest:
    """Proves ``user`` and ``password`` by RFC 7616; to a proxy with ``proxy=True``. Any thread may use it.

    MD5, SHA-256 and SHA-512-256 (where the system has it), with and without ``-sess``; ``qop`` ``auth`` and
    ``auth-int``, or none.
    """

    def __init__(self, user: str, password: str, *, proxy: bool = False) -> None:
        encoded(f"{user}:{password}", "auth")  # refused here rather than when a challenge comes
        self.user = user
        self._password = password
        self._challenge, self._answer, self._info, self._status = (
            ("proxy-authenticate", "Proxy-Authorization", "proxy-authentication-info", 407)
            if proxy
            else ("www-authenticate", "Authorization", "authentication-info", 401)
        )
        self._spaces: dict[Origin, _Space] = {}
        self._guard = Guard()

    def begin(self, request: Request) -> None:
        """Answer the challenge that the server of ``request`` gave before."""
        space = self._spaces.get(request.url.origin)
        if space is not None and self._covers(space, request):
            request.headers[self._answer] = self.answer(space, request.method, request.url.target, request)

    def again(self, request: Request, response: Response) -> Request | None:
        """After a challenge: the request that answers it. ``None``: there is none, or it was answered in
        vain.

        Raises ``AuthenticationError`` for a server that cannot prove that it knows the password, where it
        tries to.
        """
        if response.status != self._status:
            self._note(request, response)
            return None
        if request.body is not None and not request.body.replayable:
            return None
        challenges = response.headers.all(self._challenge)
        stale = any(
            each.parameters.get("stale", "").lower() == "true" for each in parse_challenges(challenges)
        )
        if not stale and self._was_fresh(request):
            return None  # it was right as far as we can tell, and was refused
        space = self.space_of(challenges)
        if space is None:
            return None
        with self._guard:
            if len(self._spaces) >= _KEPT:
                self._spaces.clear()
            self._spaces[request.url.origin] = space
        another = request.but()
        another.headers[self._answer] = self.answer(space, request.method, request.url.target, request)
        return another

    def space_of(self, challenges: list[str]) -> _Space | None:
        """The strongest of the challenges that can be answered, ready for that; ``None``: none can."""
        challenge = self._best(challenges)
        return None if challenge is None else _Space(challenge)

    def __repr__(self) -> str:
        return f"<Digest for {self.user!r}>"

    # -- inside

    def _was_fresh(self, request: Request) -> bool:
        """Whether the request answered a challenge that nobody had answered before."""
        space = self._spaces.get(request.url.origin)
        tried = parse_parameters(request.headers.get(self._answer, "")[7:])
        return space is not None and tried.get("nonce") == space.nonce and space.count == 1

    def _covers(self, space: _Space, request: Request) -> bool:
        """Whether a request lies in the protection space (RFC 7616, 3.3, ``domain``)."""
        domain = space.parameters.get("domain", "").split()
        if not domain:
            return True
        places = [request.url.join(each) for each in domain]
        return any(
            place.origin == request.url.origin and request.url.path.startswith(place.path) for place in places
        )

    def _best(self, fields: list[str]) -> Challenge | None:
        best, place = None, len(_STRENGTH)
        for challenge in parse_challenges(fields):
            parameters = challenge.parameters
            if challenge.scheme != "digest" or "nonce" not in parameters or "realm" not in parameters:
                continue
            algorithm = _algorithm(parameters)[0]
            options = {option.strip().lower() for option in parameters.get("qop", "auth").split(",")}
            if algorithm in _STRENGTH[:place] and options & {"auth", "auth-int"} and _available(algorithm):
                best, place = challenge, _STRENGTH.index(algorithm)
        return best

    def answer(self, space: _Space, method: str, target: str, request: Request | None) -> str:
        """The value of the field for one request: another one each time."""
        with self._guard:
            space.count += 1
            count, nonce = f"{space.count:08x}", space.nonce
        given = space.parameters
        algorithm, session = _algorithm(given)
        secret_nonce = space.secret_nonce if session else secrets.token_hex(16)
        quality = _quality(given)
        a2 = f"{method}:{target}"
        if quality == "auth-int":
            a2 += ":" + _body_hash(algorithm, request)
        response = self._response(algorithm, session, given, nonce, count, secret_nonce, quality, a2)
        user, realm = self.user, given["realm"]
        hashed = given.get("userhash", "").lower() == "true"
        if hashed:
            user = _digest(algorithm, f"{user}:{realm}".encode())
        fields = [_user_field(user, given), f"realm={_quoted(realm)}", f"nonce={_quoted(nonce)}"]
        fields += [f"uri={_quoted(target)}", f'response="{response}"']
        fields += [f"algorithm={given['algorithm']}"] if "algorithm" in given else []
        fields += [f"opaque={_quoted(given['opaque'])}"] if "opaque" in given else []
        fields += [f"qop={quality}", f"nc={count}", f'cnonce="{secret_nonce}"'] if quality else []
        fields += ["userhash=true"] if hashed else []
        return "Digest " + ", ".join(fields)

    def _response(
        self,
        algorithm: str,
        session: bool,
        given: dict[str, str],
        nonce: str,
        count: str,
        secret_nonce: str,
        quality: str,
        a2: str,
    ) -> str:
        secret = _digest(algorithm, f"{self.user}:{given['realm']}:{self._password}".encode())
        if session:
            secret = _digest(algorithm, f"{secret}:{nonce}:{secret_nonce}".encode())
        second = _digest(algorithm, a2.encode())
        middle = f"{count}:{secret_nonce}:{quality}:" if quality else ""
        return _digest(algorithm, f"{secret}:{nonce}:{middle}{second}".encode())

    def _note(self, request: Request, response: Response) -> None:
        """What a server tells with its answer: the next nonce, and a proof that it knows the password."""
        info = response.headers.get(self._info)
        space = self._spaces.get(request.url.origin)
        if info is None or space is None:
            return
        told = parse_parameters(info)
        sent = parse_parameters(request.headers.get(self._answer, "")[7:])
        if "rspauth" in told and told.get("qop", "").lower() == "auth" == sent.get("qop"):
            algorithm, session = _algorithm(space.parameters)
            expected = self._response(
                algorithm,
                session,
                space.parameters,
                sent["nonce"],
                sent["nc"],
                sent["cnonce"],
                "auth",
                f":{sent['uri']}",
            )
            if not compare_digest(expected.encode(), told["rspauth"].encode()):
                raise AuthenticationError(
                    f"{request.url}: the server does not prove that it knows the password"
                )
        if told.get("nextnonce"):
            with self._guard:
                space.nonce, space.count = told["nextnonce"], 0


def _algorithm(parameters: dict[str, str]) -> tuple[str, bool]:
    """The algorithm in lower case, and whether it is one of a session."""
    name = parameters.get("algorithm", "MD5").lower()
    return name.removesuffix("-sess"), name.endswith("-sess")


def _available(algorithm: str) -> bool:
    return algorithm != "sha-512-256" or "sha512_256" in hashlib.algorithms_available


def _quality(parameters: dict[str, str]) -> str:
    """The ``qop`` to use: auth before auth-int, which takes reading the body twice; none for old servers."""
    if "qop" not in parameters:
        return ""
    options = {option.strip().lower() for option in parameters["qop"].split(",")}
    return "auth" if "auth" in options else "auth-int"


def _body_hash(algorithm: str, request: Request | None) -> str:
    digest = _hash(algorithm)(b"")
    if request is not None and request.body is not None:
        for piece in request.body.chunks():
            digest.update(piece)
    return str(digest.hexdigest())


def _digest(algorithm: str, data: bytes) -> str:
    return str(_hash(algorithm)(data).hexdigest())


def _user_field(user: str, given: dict[str, str]) -> str:
    if user.isascii():
        return f"username={_quoted(user)}"
    from urllib.parse import quote

    return f"username*=UTF-8''{quote(user, safe='')}"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
