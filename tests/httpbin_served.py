"""A pytest plugin: the fixtures of pytest-httpbin, with httpbin served by Portico over HTTP and HTTPS.

``make requests`` runs the tests of requests with it, which are written for those fixtures.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from portico.server import Server
from portico.sockets.tls import ServerTLS

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of httpbin's own making
    from httpbin import app

__all__ = ["httpbin", "httpbin_ca_bundle", "httpbin_secure"]


@dataclass(frozen=True)
class Served:
    """``url`` is all that the tests of requests ask for."""

    url: str


@pytest.fixture(scope="session")
def httpbin() -> Iterator[Served]:
    """httpbin over HTTP."""
    with Server(app, "http://127.0.0.1:0") as server:
        yield Served(f"http://127.0.0.1:{server.addresses[0].port}")


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[trustme.CA, Path]:
    """Who vouches for the server, and where its certificate lies."""
    ca = trustme.CA()
    file = tmp_path_factory.mktemp("authority") / "ca.pem"
    ca.cert_pem.write_to_path(file)
    return ca, file


@pytest.fixture(scope="session")
def httpbin_secure(authority: tuple[trustme.CA, Path]) -> Iterator[Served]:
    """httpbin over HTTPS."""
    issued = authority[0].issue_cert("localhost", "127.0.0.1")
    chain = b"".join(pem.bytes() for pem in issued.cert_chain_pems)
    tls = ServerTLS(chain.decode(), issued.private_key_pem.bytes().decode())
    with Server(app, "https://127.0.0.1:0", tls=tls) as server:
        yield Served(f"https://localhost:{server.addresses[0].port}")


@pytest.fixture(scope="session")
def httpbin_ca_bundle(authority: tuple[trustme.CA, Path]) -> str:
    """The authority's certificate, for those who want to trust it."""
    return str(authority[1])
