"""The client in front of servers that misbehave."""

from __future__ import annotations

import datetime as dt
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from portico.client.auth import Basic
from portico.client.response import Response
from portico.client.session import Session
from portico.errors import CertificateError, ConnectionLost, EndOfStream, HTTPError, PorticoError, TLSError
from tests.client import (
    hostile_codings,
    hostile_cuts,
    hostile_fields,
    hostile_framing,
    hostile_heads,
    hostile_origins,
    hostile_redirects,
    hostile_reuse,
)
from tests.client.hostile import Hostile, Step, answer, cut, every, farewell, hold, read
from tests.client.hostile_case import Case

pytestmark = pytest.mark.timeout(60)
DOORS = pytest.mark.usefixtures("door")
ROOT = Path(__file__).parents[2]
CASES = [
    case
    for table in (
        hostile_cuts,
        hostile_framing,
        hostile_heads,
        hostile_origins,
        hostile_reuse,
        hostile_redirects,
        hostile_fields,
        hostile_codings,
    )
    for case in table.CASES
]
OK = b"HTTP/1.1 200 OK\r\n"


@DOORS
@pytest.mark.parametrize("case", CASES, ids=repr)
def test_a_server_that_misbehaves_gets_what_it_must(case: Case) -> None:
    case.carry_out()


def test_what_blows_up_costs_little_memory() -> None:
    command = [sys.executable, "-m", "tests.client.hostile_memory", str(2 << 30)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=55, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    peaks = [int(line.split()[0]) for line in done.stdout.splitlines()]
    assert len(peaks) >= 10
    assert max(peaks) < 512, done.stdout


# -- TLS


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def trust(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("authority") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


def context(authority: trustme.CA, *names: str, expired: bool = False) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    past = dt.datetime(2020, 1, 1, tzinfo=dt.UTC) if expired else None
    certificate = authority.issue_cert(*(names or ("127.0.0.1",)), not_after=past)
    certificate.configure_cert(made)
    return made


@pytest.mark.parametrize(
    ("body", "ending", "content"),
    [
        (OK + b"Content-Length: 3\r\n\r\nabc", cut, b"abc"),
        (OK + b"\r\nabc", farewell, b"abc"),
        (OK + b"\r\nabc", cut, None),
        (OK + b"Content-Length: 4\r\n\r\nabc", cut, None),
        (OK + b"Content-Length: 4\r\n\r\nabc", farewell, None),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", cut, None),
        (OK, cut, None),
        (b"", farewell, None),
    ],
)
@DOORS
def test_the_end_of_tls_is_the_end_only_with_its_alert(
    authority: trustme.CA, trust: str, body: bytes, ending: Step, content: bytes | None
) -> None:
    with (
        Hostile([read, body, ending], tls=context(authority)) as server,
        Session(env=False, timeout=5, verify=trust) as session,
    ):
        if content is not None:
            assert session.get(server.url).content == content
            return
        with pytest.raises(ConnectionLost) as caught:
            session.get(server.url)
        assert caught.value.partial == (b"abc" if b"abc" in body else caught.value.partial)


def certificates(authority: trustme.CA) -> dict[str, ssl.SSLContext]:
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(old)
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version = ssl.TLSVersion.TLSv1
    old.maximum_version = ssl.TLSVersion.TLSv1_1
    return {
        "expired": context(authority, expired=True),
        "of another name": context(authority, "example.org"),
        "of another address": context(authority, "127.0.0.2"),
        "of a wildcard": context(authority, "*.example.org"),
        "of an unknown authority": context(trustme.CA()),
        "too old": old,
    }


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    "name",
    [
        "expired",
        "of another name",
        "of another address",
        "of a wildcard",
        "of an unknown authority",
        "too old",
    ],
)
@DOORS
def test_a_server_that_cannot_be_trusted_gets_no_request(
    authority: trustme.CA, trust: str, name: str
) -> None:
    tls = certificates(authority)[name]
    with (
        Hostile([every(answer(b"evil"))], tls=tls) as server,
        Session(env=False, timeout=5, verify=trust, headers={"X-Key": "s3cret"}) as session,
    ):
        with pytest.raises((TLSError, ConnectionLost)) as caught:
            session.get(server.url.replace("http:", "https:"))
        assert server.requests == []
        assert isinstance(caught.value, CertificateError) == (name != "too old")
        assert caught.value.reached == "tls"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    "bytes_sent",
    [
        b"",
        b"HTTP/1.1 400 Bad\r\n\r\n",
        b"\x15\x03\x01\x00\x02\x02\x28",
        b"\x16\x03\x03\xff\xff" + b"a" * 70000,
        b"\x00" * 100,
    ],
)
@DOORS
def test_what_is_no_handshake_is_an_error_of_tls(bytes_sent: bytes) -> None:
    with Hostile([bytes_sent]) as server, Session(env=False, timeout=5) as session:
        with pytest.raises((TLSError, ConnectionLost)) as caught:
            session.get(server.url.replace("http:", "https:"))
        assert caught.value.reached == "tls"


@DOORS
def test_a_redirect_to_what_is_not_encrypted_is_refused(authority: trustme.CA, trust: str) -> None:
    with (
        Hostile([every(answer(b"plain"))]) as plain,
        Hostile(
            [every(answer(b"", b"Location: " + plain.url.encode(), status=b"302 F"))], tls=context(authority)
        ) as server,
        Session(env=False, timeout=5, verify=trust, headers={"X-Key": "s3cret"}) as session,
    ):
        with pytest.raises(PorticoError, match="not encrypted"):
            session.get(server.url)
        assert plain.requests == []
        assert session.get(server.url, downgrade=True).content == b"plain"
        assert b"s3cret" not in plain.requests[0]


# -- bodies in pieces


def pieces(response: Response, how: str) -> Iterator[bytes]:
    if how == "content":
        yield response.content
    elif how == "lines":
        yield from response
    elif how == "pieces":
        yield from response.iter_bytes()
    else:
        take = {"read": response.read, "read(n)": lambda: response.read(4), "readline": response.readline}[
            how
        ]
        yield from iter(take, b"")


@pytest.mark.parametrize("how", ["content", "read", "read(n)", "readline", "lines", "pieces"])
@DOORS
def test_what_came_of_a_body_that_ends_short_is_never_lost(how: str) -> None:
    with (
        Hostile([read, OK + b"Content-Length: 100\r\n\r\nabc", lambda peer: None, b"def"]) as server,
        Session(env=False, timeout=5) as session,
        session.get(server.url, stream=True) as response,
    ):
        taken: list[bytes] = []
        with pytest.raises(EndOfStream) as caught:
            taken.extend(pieces(response, how))
        assert b"".join(taken) + caught.value.partial == b"abcdef"


@pytest.mark.parametrize("where", ["hook", "auth"])
@DOORS
def test_what_chokes_on_an_answer_leaves_no_connection_open(where: str) -> None:
    def choke(*_: object) -> None:
        raise ZeroDivisionError

    class Choking(Basic):
        again = choke  # type: ignore[assignment]

    use = {"hooks": {"response": choke}} if where == "hook" else {"auth": Choking("user", "x")}
    with (
        Hostile([read, OK + b"\r\nabc", hold]) as server,
        Session(env=False, timeout=5, stream=True) as session,
    ):
        with pytest.raises(ZeroDivisionError):
            session.get(server.url, **use)
        assert "0 connections" in repr(session)


def test_a_hook_that_raises_for_the_status_keeps_the_page() -> None:
    with Hostile([every(answer(b"why", status=b"404 No"))]) as server, Session(env=False) as session:
        with pytest.raises(HTTPError) as caught:
            session.get(server.url, hooks={"response": Response.raise_for_status}, stream=True)
        page = caught.value.response
        assert isinstance(page, Response)
        assert page.content == b"why"


def test_the_table_has_no_name_twice() -> None:
    names = [case.name for case in CASES]
    assert len(names) == len(set(names)) >= 400
