"""Digest authentication (RFC 7616): the password is proved, and never sent.

Of several challenges the strongest is answered. What a server has told once serves for later requests to it,
each with a count of its own, so that no answer can be used twice.
"""

from __future__ import annotations

from hmac import compare_digest

from portico.client.challenges import Challenge, parse_challenges, parse_parameters
from portico.client.digest_space import Proof, Space, strength
from portico.client.logins import check_login
from portico.client.request import Request
from portico.client.response import Response
from portico.client.url import URL, Origin
from portico.errors import AuthenticationError
from portico.sync import Guard

__all__ = ["Digest"]

_KEPT = 256
"""Servers whose challenge is remembered."""


class Digest:
    """Proves ``user`` and ``password`` by RFC 7616. Any thread and any strand may use it.

    MD5, SHA-256, SHA-512-256 (where the system has it) and SHA-512 (of which no RFC speaks, but servers do),
    with and without ``-sess``; ``qop`` ``auth`` and ``auth-int``, or none. Raises ``ConfigError`` for what
    cannot be carried.
    """

    def __init__(self, user: str, password: str) -> None:
        check_login("Digest", user, password)
        self.user = user
        self._password = password
        self._spaces: dict[Origin, Space] = {}
        self._guard = Guard()

    def begin(self, request: Request) -> Request | None:
        """The request with an answer to the challenge that its server gave before; ``None``: as it is."""
        space = self._spaces.get(request.url.origin)
        if space is None or not space.nonce or "authorization" in request.headers:
            return None
        if not space.covers(request.url):
            return None
        if space.reads_body and request.body is not None and not request.body.replayable:
            return None
        return _Signed(request, space)

    def again(self, request: Request, response: Response) -> Request | None:
        """After a challenge: the request that answers it. ``None``: there is none, or it was answered in
        vain.

        Raises ``AuthenticationError`` for a server that cannot prove that it knows the password, where it
        tries to.
        """
        if response.status != 401:
            if isinstance(request, _Signed):
                if request.fresh:
                    request.proof.accepted()
                self._note(request, response)
            return None
        challenge = self.best(response.headers.all("www-authenticate"))
        if challenge is None or (request.body is not None and not request.body.replayable):
            return None
        if isinstance(request, _Signed) and request.fresh and not challenge.stale:
            return None  # the nonce was good, and so it is the password that is not
        return _Signed(request, self._space(request.url, challenge), challenge.parameters["nonce"])

    def best(self, fields: list[str]) -> Challenge | None:
        """The strongest of the challenges that can be answered; of equals, the first."""
        known = [(strength(challenge), challenge) for challenge in parse_challenges(fields)]
        known = [each for each in known if each[0]]
        return max(known, key=lambda each: each[0])[1] if known else None

    def space(self, challenge: Challenge, url: URL | None, known: Space | None) -> Space:
        """Where the answers to a challenge hold: what is ``known``, if it is that, so that the uses of each
        nonce are counted."""
        if known is not None and known.is_of(challenge):
            return known
        return Space(challenge, self.user, self._password, url)

    def __repr__(self) -> str:
        return f"<Digest for {self.user!r}>"

    # -- inside

    def _space(self, url: URL, challenge: Challenge) -> Space:
        with self._guard:
            space = self.space(challenge, url, self._spaces.get(url.origin))
            if len(self._spaces) >= _KEPT:
                self._spaces.clear()
            self._spaces[url.origin] = space
        return space

    def _note(self, request: _Signed, response: Response) -> None:
        """What a server tells with its answer: the next nonce, and a proof that it knows the password."""
        info = response.headers.get("authentication-info")
        if info is None:
            return
        told = parse_parameters(info)
        # With auth-int its proof covers a body that is still to come.
        if "rspauth" in told and request.proof.quality == "auth" == told.get("qop", "auth").lower():
            expected = request.proof.space.server_proof(request.proof)
            if not compare_digest(expected.encode(), told["rspauth"].encode()):
                raise AuthenticationError(
                    f"{request.url}: the server does not prove that it knows the password"
                )
        if told.get("nextnonce"):
            request.proof.space.nonce = told["nextnonce"]


class _Signed(Request):
    """A request with an answer to a challenge. ``fresh``: to one that came in this very exchange, with
    ``nonce``."""

    __slots__ = ("fresh", "proof")

    def __init__(self, request: Request, space: Space, nonce: str = "") -> None:
        super().__init__(request.method, request.url, request.headers.copy(), request.body)
        self.fresh = bool(nonce)
        self.proof: Proof = space.prove(request.method, request.url.target, request.body, nonce)
        self.headers["Authorization"] = self.proof.field
