"""A server that wants Digest and checks it with the means of the standard library alone."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any
from urllib.request import parse_http_list, parse_keqv_list

from tests.client.hostile import Peer, Step, answer

__all__ = ["DigestServer"]

HASHES: dict[str, Callable[[bytes], Any]] = {
    "MD5": hashlib.md5,
    "SHA-256": hashlib.sha256,
    "SHA-512": hashlib.sha512,
    "SHA-512-256": lambda data: hashlib.new("sha512_256", data),
}


class DigestServer:
    """Answers as a step of a ``Hostile`` server.

    ``offer``: the parameters of its challenge beside realm and nonce. ``uses``: of a nonce, before it is
    stale; ``ordered``: it is so, too, when its counts do not come in order. ``nonces``: how many different
    ones there are. ``info``: what ``Authentication-Info`` says, given the proof that would be right.
    ``seen``: nonce and count of each good request; ``refusals``: why others were refused.
    """

    def __init__(
        self,
        *,
        user: str = "joe",
        password: str = "secret",
        realm: bytes = b"staff",
        offer: bytes = b'qop="auth", algorithm=SHA-256',
        uses: int = 1000,
        nonces: int = 1_000_000,
        ordered: bool = False,
        info: Callable[[str], bytes] | None = None,
        field: tuple[str, bytes, bytes] = ("authorization", b"401 Who", b"WWW-Authenticate"),
    ) -> None:
        self.login = user.encode() + b":" + realm + b":" + password.encode()
        self.realm = realm
        self.offer = offer
        self.uses = uses
        self.nonces = nonces
        self.ordered = ordered
        self.info = info
        self.field, self.status, self.challenge = field
        self.seen: list[tuple[str, str]] = []
        self.refusals: list[str] = []
        self.given = 0

    def step(self) -> Step:
        def serve(peer: Peer) -> None:
            while head := peer.read_head():
                length = int(_fields(head).get("content-length", "0"))
                while len(peer.early) < length:
                    peer.early += peer.sock.recv(65536)
                body, peer.early = peer.early[:length], peer.early[length:]
                peer.send(self.answer(head, body))

        return serve

    def answer(self, head: bytes, body: bytes) -> bytes:
        method, target, _ = head.split(b"\r\n")[0].split(b" ")
        told = _fields(head).get(self.field, "")
        if not told.startswith("Digest "):
            return self._refused("nothing", b"")
        given = parse_keqv_list(parse_http_list(told[7:]))
        if (given["nonce"], given.get("nc", "")) in self.seen and "nc" in given:
            return self._refused("a replay", b"")
        if given["response"] != self._proof(given, method, body) or given["uri"].encode() != target:
            return self._refused("a wrong proof", b"")
        if given["realm"].encode("latin-1") != self.realm or not given["nonce"].startswith("nonce"):
            return self._refused("another realm or nonce", b"")
        before = [uses for nonce, uses in self.seen if nonce == given["nonce"]]
        if self.ordered and before and before[-1] > given["nc"]:
            return self._refused("a stale nonce", b", stale=true")
        if sum(nonce == given["nonce"] for nonce, _ in self.seen) >= self.uses:
            return self._refused("a stale nonce", b", stale=true")
        self.seen.append((given["nonce"], given.get("nc", "")))
        fields = (
            [] if self.info is None else [b"Authentication-Info: " + self.info(self._proof(given, b"", b""))]
        )
        return answer(b"welcome", *fields)

    def _refused(self, why: str, more: bytes) -> bytes:
        self.refusals.append(why)
        self.given += 1
        nonce = b"nonce%d" % (self.given % self.nonces)
        fields = b'%s: Digest realm="%s", nonce="%s", %s%s'
        return answer(
            b"who?", fields % (self.challenge, self.realm, nonce, self.offer, more), status=self.status
        )

    def _proof(self, given: dict[str, str], method: bytes, body: bytes) -> str:
        name = given.get("algorithm", "MD5")

        def digest(*parts: bytes) -> bytes:
            return HASHES[name.removesuffix("-sess")](b":".join(parts)).hexdigest().encode()

        nonce = given["nonce"].encode("latin-1")
        a1 = digest(self.login)
        if name.endswith("-sess"):
            a1 = digest(a1, nonce, given["cnonce"].encode())
        a2 = [method, given["uri"].encode()]
        if given.get("qop") == "auth-int":
            a2.append(digest(body))
        use = [given[name].encode() for name in ("nc", "cnonce", "qop")] if "qop" in given else []
        return digest(a1, nonce, *use, digest(*a2)).decode()


def _fields(head: bytes) -> dict[str, str]:
    lines = (line.decode("latin-1").partition(": ") for line in head.split(b"\r\n")[1:])
    return {name.lower(): value for name, _, value in lines}
