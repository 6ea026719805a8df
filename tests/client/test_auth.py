"""Who asks: challenges, Digest by its examples and against servers, netrc, and secrets that stay so."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from portico.client.auth import Basic, Bearer, as_auth
from portico.client.challenges import parse_challenges
from portico.client.digest import Digest
from portico.client.digest_space import Space, strength
from portico.client.request import Request
from portico.client.session import Session
from portico.client.url import URL
from portico.errors import AuthenticationError, ConfigError, HTTPError, LocalProtocolError, PorticoError
from portico.sync import TaskGroup
from tests.client.digesting import DigestServer
from tests.client.hostile import Hostile, answer, every, redirect
from tests.client.peers import FOREIGN, LOGIN
from tests.client.peers import apache as apache_for

pytestmark = pytest.mark.timeout(30)
on_each_door = pytest.mark.usefixtures("door")


@contextmanager
def guarded(**options: Any) -> Iterator[tuple[DigestServer, Hostile]]:
    checks = DigestServer(**options)
    with Hostile([checks.step()]) as server:
        yield checks, server


@contextmanager
def telling() -> Iterator[tuple[Hostile, list[str]]]:
    """A server that takes anything, and the credentials that came with each request."""
    told: list[str] = []

    def note(head: bytes) -> bytes:
        lines = head.decode("latin-1").split("\r\n")
        told.append(next((line[15:] for line in lines if line.lower().startswith("authorization:")), ""))
        if b" /here " in head:
            return redirect(b"/there")
        if b" /away " in head:
            return redirect(b"{other}/away")
        return answer(b"ok")

    with Hostile([every(note)]) as server:
        yield server, told


def session(**options: Any) -> Session:
    return Session(**{"timeout": 20, "env": False, **options})


# -- challenges


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ([], []),
        ([""], []),
        (["Basic"], [("basic", {})]),
        (['Basic realm="x"'], [("basic", {"realm": "x"})]),
        (["bAsIc REALM=x"], [("basic", {"realm": "x"})]),
        (
            ['Basic realm="x", charset="UTF-8", Digest realm="y", nonce=n'],
            [("basic", {"realm": "x", "charset": "UTF-8"}), ("digest", {"realm": "y", "nonce": "n"})],
        ),
        (["Negotiate, Basic realm=x"], [("negotiate", {}), ("basic", {"realm": "x"})]),
        (
            ["Negotiate", "NTLM", 'Basic realm="x"'],
            [("negotiate", {}), ("ntlm", {}), ("basic", {"realm": "x"})],
        ),
        (["Negotiate YWJj/+==, Basic realm=x"], [("negotiate", {"": "YWJj/+=="}), ("basic", {"realm": "x"})]),
        (['Digest realm="a, b=\\"c\\\\", nonce=n'], [("digest", {"realm": 'a, b="c\\', "nonce": "n"})]),
        (['Digest realm="Basic realm=x", nonce=n'], [("digest", {"realm": "Basic realm=x", "nonce": "n"})]),
        (["Digest realm = x , nonce\t=\tn"], [("digest", {"realm": "x", "nonce": "n"})]),
        ([", ,Digest ,realm=x,, ,nonce=n, ,"], [("digest", {"realm": "x", "nonce": "n"})]),
        (['Digest realm="", nonce=""'], [("digest", {"realm": "", "nonce": ""})]),
        (["Digest realm=a, realm=b"], [("digest", {"realm": "a"})]),
        (['Digest realm="open, nonce=n'], [("digest", {})]),
        (["Digest realm=a nonce=n", "Basic realm=x"], [("digest", {}), ("basic", {"realm": "x"})]),
        (["=", "Basic realm=x"], [("basic", {"realm": "x"})]),
        (['"Basic" realm=x'], []),
    ],
)
def test_challenges_are_read(fields, expected):
    assert [tuple(found) for found in parse_challenges(fields)] == expected


@pytest.mark.parametrize("part", ["a, ", "a b, ", "a=b, ", 'a="', '\\"', "a ", ",", "\t", 'a="b"c, '])
def test_a_huge_challenge_takes_no_time(part):
    assert len(parse_challenges([f"Digest {part * 100_000}"])) <= 8192


# -- Digest by the book

BOOK = (
    'Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm={}, '
    'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", '
    'opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
)
UNICODE = (
    'Digest realm="api@example.org", qop="auth", algorithm=SHA-512-256, '
    'nonce="5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK", '
    'opaque="HRPCssKJSGjCrkzDg8OhwpzCiGPChXYjwrI2QmXDnsOS", charset=UTF-8, userhash={}'
)


def proved(challenge: str, login: tuple[str, str], cnonce: str, monkeypatch, **of: Any) -> str:
    monkeypatch.setattr("portico.client.digest_space.secrets.token_hex", lambda size: cnonce)
    space = Space(parse_challenges([challenge])[0], *login, None)
    space.nonce = parse_challenges([challenge])[0].parameters["nonce"]
    return space.prove("GET", of.get("target", "/dir/index.html"), None).field


@pytest.mark.parametrize(
    ("algorithm", "response"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_digest_is_that_of_rfc_7616_3_9_1(algorithm, response, monkeypatch):
    cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
    said = proved(BOOK.format(algorithm), ("Mufasa", "Circle of Life"), cnonce, monkeypatch)
    assert f'response="{response}"' in said
    assert said == (
        'Digest username="Mufasa", realm="http-auth@example.org", '
        'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", uri="/dir/index.html", '
        f'response="{response}", algorithm={algorithm}, '
        'opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS", '
        f'qop=auth, nc=00000001, cnonce="{cnonce}"'
    )


@pytest.mark.parametrize("userhash", ["true", "false"])
def test_digest_is_that_of_rfc_7616_3_9_2_as_mended(userhash, monkeypatch):
    """Erratum 4897: what the RFC prints was made with another SHA-512/256."""
    if not strength(parse_challenges([UNICODE.format(userhash)])[0]):
        pytest.skip("this OpenSSL has no SHA-512/256")
    cnonce = "NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v"
    login = ("J\u00e4s\u00f8n Doe", "Secret, or not?")
    said = proved(UNICODE.format(userhash), login, cnonce, monkeypatch, target="/doe.json")
    assert 'response="3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5"' in said
    hashed = 'username="793263caabb707a56211940d90411ea4a575adeccb7e360aeb624ed06ece9b0b"'
    assert (hashed in said, "userhash=true" in said) == (userhash == "true",) * 2
    assert ("username*=UTF-8''J%C3%A4s%C3%B8n%20Doe," in said) == (userhash == "false")


def test_digest_is_that_of_rfc_2617_and_of_rfc_2069(monkeypatch):
    challenge = (
        'Digest realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", '
        'opaque="5ccc069c403ebaf9f0171e9517f40e41"'
    )
    login = ("Mufasa", "Circle Of Life")
    said = proved(f'{challenge}, qop="auth,auth-int"', login, "0a4f113b", monkeypatch)
    assert 'response="6629fae49393a05397450978507c4ef1"' in said
    old = proved(challenge, login, "", monkeypatch)
    assert 'response="670fd8c2df070c60b045671b8b24ff02"' in old  # as urllib and requests answer
    assert not {"qop", "nc", "cnonce", "algorithm"} & {part.partition("=")[0] for part in old.split(", ")}


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        (["algorithm=MD5", "algorithm=SHA-256"], "SHA-256"),
        (["algorithm=sha-256", "algorithm=SHA-256-sess"], "sha-256"),
        (["algorithm=SHA-256, qop=other", "algorithm=MD5"], "MD5"),
        (["algorithm=SHA-1024", ""], None),
        (["algorithm=SHA-256, qop=auth-int", 'algorithm=MD5, qop="auth"'], "SHA-256"),
    ],
)
def test_the_strongest_challenge_that_is_known_is_answered(offered, chosen):
    fields = [f'Digest realm="r", nonce="n", {each}'.rstrip(", ") for each in offered]
    found = Digest("a", "b").best(["Basic realm=x", ", ".join(fields), "Negotiate"])
    assert found is not None
    assert found.parameters.get("algorithm") == chosen


@pytest.mark.parametrize(
    "challenge", ["Basic realm=x", "Digest realm=x", "Digest nonce=n", 'Digest realm=x, nonce=n, qop=""']
)
def test_what_cannot_be_answered_is_not(challenge):
    assert Digest("a", "b").best([challenge]) is None


# -- Digest against a server


@on_each_door
@pytest.mark.parametrize(
    "offer",
    [
        b'qop="auth"',
        b'qop="auth", algorithm=MD5',
        b'qop="auth,auth-int", algorithm=SHA-256, opaque="a \\"quoted\\" one"',
        b'qop="auth-int", algorithm=SHA-256',
        b'qop=auth, algorithm="SHA-512"',
        b'qop="auth", algorithm=MD5-sess',
        b'qop="auth-int", algorithm=SHA-256-sess',
        b"algorithm=MD5",
        b'domain="/ /other http://["',
    ],
)
def test_a_challenge_is_answered_once_and_for_all(offer):
    with guarded(offer=offer) as (checks, server), session(auth=Digest(*LOGIN)) as one:
        for body in (b"", b"some", b"x" * 100_000):
            assert one.post(f"{server.url}/a?b=c,d", data=body).text == "welcome"
        assert one.get(f"{server.url}/x").text == "welcome"
    assert checks.refusals == ["nothing"]
    counts = [count for _, count in checks.seen if count]
    assert counts == [f"{count + 1:08x}" for count in range(len(counts))]


@on_each_door
def test_names_and_realms_in_any_language():
    for realm in ("Büro".encode(), "Büro".encode("latin-1"), b'a "b" c'.replace(b'"', b"'")):
        for more in (b"", b", charset=UTF-8, userhash=true"):
            offer = b'qop="auth", algorithm=SHA-256' + more
            with guarded(user="jürgen", password="ß", realm=realm, offer=offer) as (checks, server):
                with session(auth=Digest("jürgen", "ß")) as one:
                    assert one.get(server.url).text == "welcome"
                assert checks.refusals == ["nothing"]


@on_each_door
def test_a_wrong_password_is_tried_once():
    with (
        guarded() as (checks, server),
        session(auth=Digest("joe", "wrong")) as one,
        pytest.raises(HTTPError, match="401"),
    ):
        one.get(server.url)
    assert checks.refusals == ["nothing", "a wrong proof"]


@on_each_door
def test_a_stale_nonce_is_renewed_and_an_endless_no_ends():
    with guarded(uses=2) as (checks, server), session(auth=Digest(*LOGIN)) as one:
        assert [one.get(server.url).status for _ in range(5)] == [200] * 5
        assert checks.refusals == ["nothing", "a stale nonce", "a stale nonce"]
    with guarded(uses=0) as (checks, server), session(auth=Digest(*LOGIN)) as one:
        with pytest.raises(HTTPError, match="401"):
            one.get(server.url)
        assert len(checks.refusals) == 5


@on_each_door
def test_the_next_nonce_is_used_and_one_that_comes_back_is_counted_on():
    turn = iter(range(1, 100))

    def info(proof: str) -> bytes:
        return b'nextnonce="nonce-%d"' % (next(turn) // 2 % 2)

    with guarded(info=info) as (checks, server), session(auth=Digest(*LOGIN)) as one:
        for _ in range(8):
            one.get(server.url)
    assert checks.refusals == ["nothing"]
    assert len(set(checks.seen)) == 8
    assert {nonce for nonce, _ in checks.seen} == {"nonce1", "nonce-0", "nonce-1"}


@on_each_door
def test_a_server_that_does_not_know_the_password_is_found_out():
    def right(proof: str) -> bytes:
        return b'rspauth="%s", qop=auth' % proof.encode()

    with guarded(info=right) as (_, server), session(auth=Digest(*LOGIN)) as one:
        assert [one.get(server.url).text for _ in range(2)] == ["welcome"] * 2
    for wrong in (b'rspauth="%s", qop=auth' % (b"0" * 64), b'rspauth="", qop="auth"', b"rspauth=x"):
        with (
            guarded(info=lambda proof, wrong=wrong: wrong) as (_, server),
            session(auth=Digest(*LOGIN)) as one,
        ):
            with pytest.raises(AuthenticationError, match="does not prove"):
                one.get(server.url)
            assert repr(one) == "<Session: 1 connections, 1 at rest>"  # nothing is left in use


@on_each_door
@pytest.mark.parametrize("nonces", [1, 1_000_000])
def test_no_count_is_used_twice_by_many_at_once(nonces):
    """Also where many are told the same nonce at once."""
    statuses: list[int] = []

    def ask() -> None:
        statuses.extend(one.get(server.url).status for _ in range(8))

    with (
        guarded(nonces=nonces) as (checks, server),
        session(auth=Digest(*LOGIN)) as one,
        TaskGroup() as group,
    ):
        for _ in range(16):
            group.start(ask)
    assert statuses == [200] * 128
    assert len(set(checks.seen)) == 128
    assert set(checks.refusals) == {"nothing"}


@on_each_door
@pytest.mark.parametrize("offer", [b'qop="auth"', b'qop="auth", algorithm=SHA-256-sess'])
def test_a_server_that_wants_counts_in_order_serves_many_at_once(offer):
    """A fresh nonce is used by nobody else until it is accepted, and so each gets its answer."""
    statuses: list[int] = []

    def ask() -> None:
        statuses.extend(one.get(server.url).status for _ in range(8))

    with (
        guarded(offer=offer, ordered=True) as (checks, server),
        session(auth=Digest(*LOGIN)) as one,
        TaskGroup() as group,
    ):
        for _ in range(16):
            group.start(ask)
    assert statuses == [200] * 128
    assert set(checks.refusals) <= {"nothing", "a stale nonce"}


def test_a_nonce_is_for_others_once_it_was_accepted():
    space = Space(parse_challenges(["Digest realm=r, nonce=one, qop=auth"])[0], "a", "b", None)
    proof = space.prove("GET", "/", None, "one")
    assert (proof.nonce, proof.uses, space.nonce) == ("one", "00000001", "")
    proof.accepted()
    fresh = space.prove("GET", "/", None, "two")
    assert (space.prove("GET", "/", None).nonce, fresh.nonce) == ("one", "two")
    fresh.accepted()
    again = space.prove("GET", "/", None)
    assert (again.nonce, again.uses) == ("two", "00000002")


def test_no_count_is_used_twice_by_threads():
    space = Space(parse_challenges(["Digest realm=r, nonce=n, qop=auth"])[0], "a", "b", None)
    seen: list[tuple[str, str]] = []

    def prove() -> None:
        for number in range(500):
            if not number % 100:
                space.nonce = f"n{number}"
            proof = space.prove("GET", "/", None)
            seen.append((proof.nonce, proof.uses))

    threads = [threading.Thread(target=prove) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == len(set(seen)) == 8000


@on_each_door
def test_a_body_that_cannot_be_sent_twice_is_sent_once():
    with guarded(offer=b'qop="auth-int"') as (checks, server), session(auth=Digest(*LOGIN)) as one:
        for _ in range(2):
            with pytest.raises(HTTPError, match="401"):
                one.post(server.url, data=iter([b"once"]), headers={"Content-Length": "4"})
            assert checks.refusals.pop() == "nothing"
            assert one.get(server.url).text == "welcome"  # so that the second time it is known
    with guarded() as (checks, server), session(auth=Digest(*LOGIN)) as one:
        assert one.get(server.url).text == "welcome"
        assert one.post(server.url, data=iter([b"once"]), headers={"Content-Length": "4"}).text == "welcome"


@on_each_door
def test_outside_its_domain_nothing_is_told_before_it_is_asked_for():
    with guarded(offer=b'domain="/in/"') as (checks, server), session(auth=Digest(*LOGIN)) as one:
        for path in ("/in/a", "/in/b", "/out"):
            assert one.get(server.url + path).text == "welcome"
    assert checks.refusals == ["nothing", "nothing"]


def test_digest_leaves_a_request_alone_that_has_its_own():
    digest = Digest("a", "b")
    url = URL.parse("http://h/")
    space = digest._spaces[url.origin] = Space(
        parse_challenges(["Digest realm=r, nonce=n"])[0], "a", "b", url
    )
    assert digest.begin(Request("GET", url)) is None  # nobody has been accepted yet
    space.nonce = "n"
    assert digest.begin(Request("GET", url, {"Authorization": "Own"})) is None
    signed = digest.begin(Request("GET", url))
    assert signed is not None
    assert signed.headers["authorization"].startswith("Digest username=")


# -- where credentials go


@on_each_door
@pytest.mark.parametrize("auth", [LOGIN, Basic(*LOGIN), Bearer("t0ken"), Digest(*LOGIN)], ids=repr)
def test_credentials_stay_with_their_origin(auth):
    def back(head: bytes) -> bytes:
        return redirect(b"{other}/back") if b" /away " in head else answer(b"ok")

    with telling() as (server, told), Hostile([every(back)]) as other, session() as one:
        server.names[b"other"] = other.url.encode()
        other.names[b"other"] = server.url.encode()
        assert one.get(f"{server.url}/away", auth=auth).text == "ok"
        assert len(other.requests) == 1
        assert not any(b"authorization" in head.lower() for head in other.requests)
        assert told[1:] == [""]  # also when we are sent back: it chose what we ask
        user = server.url.replace("://", "://joe:secret@")
        assert one.get(f"{user}/away").text == "ok"
        assert not any(b"authorization" in head.lower() for head in other.requests)


@on_each_door
def test_what_a_url_holds_is_decoded_and_goes_along_within_its_origin():
    with telling() as (server, told), session() as one:
        url = server.url.replace("://", "://j%C3%BCrgen:geheim%3A%20%C3%9F@")
        response = one.get(f"{url}/here")
        assert (response.text, len(response.history)) == ("ok", 1)
        assert told == [Basic(*FOREIGN).value] * 2
        one.get(f"{url}/x", auth=Bearer("t"), headers={})
        one.get(f"{url}/x", headers={"Authorization": "Own"})
        assert told[2:] == ["Bearer t", "Own"]
        assert "@" not in str(response.url)


@on_each_door
def test_a_function_changes_the_request_or_returns_another():
    def mark(request: Request) -> None:
        request.headers["Authorization"] = "Mine"

    def another(request: Request) -> Request:
        return request.but(url=URL.parse(f"{request.url}?signed"))

    with telling() as (server, told), session() as one:
        one.get(server.url, auth=mark)
        response = one.get(server.url, auth=another)
        assert told == ["Mine", ""]
        assert server.requests[-1].startswith(b"GET /?signed ")
        assert response.request.url.query == "signed"

        def fails(request: Request) -> None:
            raise KeyError("no key")

        with pytest.raises(KeyError, match="no key"):
            one.get(server.url, auth=fails)


@on_each_door
def test_a_bearer_and_a_session_s_own():
    with telling() as (server, told), session(auth=Bearer("a.b-c_d~e+f/g==")) as one:
        one.get(server.url)
        one.get(server.url, auth=None)
        one.get(server.url, auth=LOGIN)
    assert told == ["Bearer a.b-c_d~e+f/g==", "", "Basic am9lOnNlY3JldA=="]


@pytest.mark.parametrize(
    "given",
    [
        "joe:secret",
        ("joe",),
        ("joe", "secret", "more"),
        ("joe", None),
        (1, 2),
        (b"joe", b"\xff"),
        ("jo:e", "secret"),
        ("joe", "secret\n"),
        ("joe\r\nX: y", "secret"),
        ("joe", "secret\udcff"),
        7,
    ],
)
def test_what_is_no_login_is_refused_without_repeating_it(given):
    with pytest.raises(ConfigError) as error:
        as_auth(given)
    assert "secret" not in str(error.value)


# -- netrc

NETRC = """
machine 127.0.0.1
    login joe
    password secret
machine Example.ORG login a password b
default login anybody password nothing
"""


@pytest.fixture
def netrc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "my netrc"
    file.write_text(NETRC)
    monkeypatch.setenv("NETRC", str(file))
    return file


@on_each_door
def test_netrc_knows_hosts_and_a_default(netrc):
    with telling() as (server, told):
        with session(env=True) as one:
            for url in (server.url, server.url.replace("127.0.0.1", "localhost")):
                one.get(url, proxies=False)
                one.get(url, proxies=False, headers={"Authorization": "Own"})
            one.get(server.url, proxies=False, auth=Bearer("t"))
            one.get(server.url.replace("://", "://url:own@"), proxies=False)
        with session(env=False) as one:
            one.get(server.url)
    joe, anybody, url = Basic(*LOGIN).value, Basic("anybody", "nothing").value, Basic("url", "own").value
    assert told == [joe, "Own", anybody, "Own", "Bearer t", url, ""]


def test_netrc_is_found_at_home_and_need_not_be(tmp_path, monkeypatch):
    from portico.client.netrc import read_netrc

    monkeypatch.delenv("NETRC", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert not read_netrc()
    monkeypatch.setenv("HOME", "/proc/self/mem")  # nothing can be below it
    assert not read_netrc()
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".netrc").write_text(NETRC)
    found = read_netrc()
    assert [found.for_host(host).user for host in ("127.0.0.1", "example.org", "other")] == [
        "joe",
        "a",
        "anybody",
    ]
    (tmp_path / ".netrc").write_text("machine a login b password c\nmachine empty\n")
    found = read_netrc()
    assert (found.for_host("b"), found.for_host("empty")) == (None, None)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("machine h login joe secret\n", "line 2: not what is expected"),
        ("secret\n", "line 2: not what is expected"),
        ("machine h login jo:e password secret\n", "the entry of 127.0.0.1"),
        (b"machine h login joe password \xff\xff\n", "not UTF-8"),
        (None, "directory"),
    ],
)
def test_a_netrc_that_cannot_be_read_is_one_error_without_secrets(text, says, tmp_path, monkeypatch):
    file = tmp_path / "netrc"
    if text is None:
        file.mkdir()
    else:
        file.write_bytes(
            text if isinstance(text, bytes) else text.replace("machine h", "machine 127.0.0.1").encode()
        )
    monkeypatch.setenv("NETRC", str(file))
    with session(env=True) as one, pytest.raises(ConfigError, match=says) as error:
        one.get("http://127.0.0.1:1/", proxies=False)
    assert str(file) in str(error.value)
    assert "secret" not in str(error.value)


# -- secrets stay secret


def test_nothing_shows_a_secret():
    digest = Digest("joe", "s3cret")
    request = Request("GET", "http://joe:s3cret@h/", {"Authorization": Basic("joe", "s3cret").value})
    values = (digest, Basic("joe", "s3cret"), Bearer("s3cret"), request, request.headers, request.url)
    with session(auth=("joe", "s3cret"), proxies="http://joe:s3cret@p") as one:
        for value in (*values, one, one.defaults, one.defaults.proxies):
            assert "s3cret" not in repr(value) + str(value)
            assert "am9lO" not in repr(value)


@pytest.mark.parametrize(
    "url",
    [
        "http://joe:s3/cret@h/",
        "http://joe:s3?cret@h/",
        "http://joe:s3cret@h:port/",
        "http://joe:s3cret@[/",
        "http://joe:s3cret@a@b/",
        "http://joe:s3cret%ff@h/",
        "http://joe:s3cret%00@h/",
        "//joe:s3cret@h",
    ],
)
def test_no_error_about_a_url_shows_its_secret(url):
    with session() as one, pytest.raises(PorticoError) as error:
        one.get(url)
    assert "s3" not in str(error.value)


def test_no_error_about_a_field_shows_its_secret():
    with session() as one:
        with pytest.raises(LocalProtocolError, match=r"Authorization.*'\\n'") as error:
            one.get("http://127.0.0.1:1/", headers={"Authorization": "Bearer s3cret\n"})
        assert "s3cret" not in str(error.value)
    with pytest.raises(ConfigError, match="token") as refused:
        Bearer("s3cret\n")
    assert "s3cret" not in str(refused.value)


def test_a_trace_tells_the_scheme_alone():
    heard: list[Any] = []
    with telling() as (server, told), session(trace=lambda name, facts: heard.append(facts)) as one:
        one.get(server.url, auth=("joe", "s3cret"))
    assert told == [Basic("joe", "s3cret").value]
    assert ("Authorization", "Basic …") in next(facts["headers"] for facts in heard if "headers" in facts)
    assert "am9l" not in str(heard)


# -- servers of others


@on_each_door
@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256", "SHA-512"])
@pytest.mark.parametrize("qop", ["auth", "auth-int"])
def test_httpbin_takes_our_digest(httpbin, qop, algorithm):
    url = f"{httpbin}/digest-auth/{qop}/joe/secret/{algorithm}"
    with session(auth=Digest("joe", "secret")) as one:
        assert [one.get(url).json()["authenticated"] for _ in range(2)] == [True, True]
        assert one.get(f"{url}/2", auth=Digest("joe", "secret")).json()["user"] == "joe"
        with pytest.raises(HTTPError, match="401"):
            one.get(url, auth=Digest("joe", "other"))


@on_each_door
def test_httpbin_takes_basic_and_bearer(httpbin):
    with session() as one:
        assert one.get(f"{httpbin}/basic-auth/joe/secret", auth=LOGIN).json()["authenticated"]
        assert one.get(f"{httpbin}/hidden-basic-auth/joe/secret", auth=LOGIN).json()["authenticated"]
        assert one.get(f"{httpbin}/bearer", auth=Bearer("abc")).json()["token"] == "abc"
        assert one.get(f"{httpbin}/basic-auth/joe/secret", auth=("joe", "no"), check=False).status == 401


@on_each_door
@pytest.mark.parametrize("login", [LOGIN, FOREIGN], ids=["ascii", "foreign"])
def test_apache_takes_our_digest(apache, login):
    with session(auth=Digest(*login), check=False) as one:
        for _ in range(3):
            response = one.get(f"{apache}/digest/page.txt")
            assert response.status == 200
            assert "rspauth=" in response.headers["authentication-info"]  # and so it has been checked
        assert one.head(f"{apache}/digest/page.txt").status == 200
        assert one.put(f"{apache}/digest/put.txt", data=b"x" * 5000).status in (201, 204)
        assert one.get(f"{apache}/digest/page.txt", auth=Digest(login[0], "wrong")).status == 401
        assert repr(one) == "<Session: 1 connections, 1 at rest>"


def test_a_nonce_that_apache_calls_stale_is_renewed():
    heard: list[str] = []

    def hear(name: str, facts: dict[str, Any]) -> None:
        if name == "response":
            heard.append(" ".join(value for key, value in facts["headers"] if key == "www-authenticate"))

    with (
        apache_for(LOGIN, lifetime="AuthDigestNonceLifetime 1") as url,
        session(auth=Digest(*LOGIN), trace=hear) as one,
    ):
        one.get(f"{url}/digest/page.txt")
        time.sleep(1.1)
        assert one.get(f"{url}/digest/page.txt").status == 200
    assert ["stale=true" in each for each in heard] == [False, False, True, False]


@on_each_door
@pytest.mark.parametrize("login", [LOGIN, FOREIGN], ids=["ascii", "foreign"])
def test_apache_and_nginx_take_our_basic(apache, nginx, login):
    with session(check=False) as one:
        for url in (f"{apache}/basic/page.txt", f"{nginx}/basic/page.txt"):
            assert one.get(url, auth=login).status == 200
            assert one.get(url, auth=(login[0], "wrong")).status == 401
            assert one.get(url).status == 401
