"""Having an HTTP proxy connect: CONNECT (RFC 9110, 9.3.6)."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from portico.client.proxy_login import FIELD, ROUNDS, ProxyLogin
from portico.errors import AuthenticationError, ConnectError
from portico.http.client_connection import ClientConnection
from portico.limits import Limits
from portico.sockets.stream import Stream

__all__ = ["lead_http", "refused"]


class _Answer(NamedTuple):
    connection: ClientConnection
    status: int
    reason: str
    challenges: list[str]


def lead_http(
    stream: Stream, host: str, port: int, login: ProxyLogin | None, dial: Callable[[], Stream]
) -> Stream:
    """Have the proxy at the other end of ``stream`` connect; the stream that leads there, which is another
    one from ``dial`` after a challenge.

    Raises ``ConnectError``, ``AuthenticationError``, ``ProtocolError``.
    """
    target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    answer = _asked(stream, target, [] if login is None else login.first("CONNECT", target, None))
    proof = None
    for _ in range(ROUNDS):
        if answer.status != 407 or login is None:
            break
        another = login.answer(answer.challenges, "CONNECT", target, None, proof)
        if another is None:
            break
        proof = another
        answer.connection.close()  # many proxies do so themselves
        answer = _asked(dial(), target, [(FIELD, proof.field)])
    if answer.status in (401, 407):  # tinyproxy takes the wrong one for a wrong password
        raise refused(login)
    if proof is not None:
        proof.accepted()
    if not 200 <= answer.status < 300:
        raise ConnectError(f"{answer.status} {answer.reason}".rstrip())
    return answer.connection.switch()


def refused(login: ProxyLogin | None) -> AuthenticationError:
    """What a 407 means after which nothing else can be tried."""
    return AuthenticationError("it wants a login" if login is None else "it does not accept this login")


def _asked(stream: Stream, target: str, own: list[tuple[str, str]]) -> _Answer:
    connection = ClientConnection(stream, Limits())
    connection.send_head("CONNECT", target, [("Host", target), *own])
    head = connection.read_final_head()
    challenges = [value for name, value in head.headers if name == "proxy-authenticate"]
    return _Answer(connection, head.status, head.reason, challenges)
