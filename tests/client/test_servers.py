"""The client in front of nginx, Apache and httpbin, on threads, on events, and awaited."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from portico.client.session import Session
from portico.errors import CertificateError, HTTPError, RedirectError
from portico.sockets.tls import ClientTLS
from portico.sync import TaskGroup
from tests.client.peers import LARGE, PAGE

pytestmark = [pytest.mark.usefixtures("door"), pytest.mark.timeout(30)]


class Heard(list[tuple[str, Any]]):
    """What a trace was told."""

    def __call__(self, name: str, facts: dict[str, Any]) -> None:
        self.append((name, facts))

    def count_of(self, name: str) -> int:
        return sum(each == name for each, _ in self)


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def session(heard: Heard) -> Iterator[Session]:
    with Session(timeout=20, env=False, trace=heard) as made:
        yield made


@pytest.fixture(params=["nginx", "apache"])
def server(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(request.param))


# -- servers of files


def test_one_connection_serves_all_that_is_asked(server, session, heard):
    for _ in range(5):
        assert session.get(f"{server}/page.txt").content == PAGE
        assert session.head(f"{server}/page.txt").content == b""
        assert session.get(f"{server}/nothing", check=False).status == 404
        assert session.get(f"{server}/page.txt", headers={"Accept-Encoding": "identity"}).content == PAGE
    with pytest.raises(HTTPError, match="404") as error:
        session.get(f"{server}/nothing")
    assert b"404" in error.value.response.content
    with session.get(f"{server}/large", stream=True) as response:
        assert response.read(10) == bytes(10)  # the rest is not wanted
    assert session.get(f"{server}/page.txt").content == PAGE
    # A second one after the body that was given up, unless all of that had come already.
    assert heard.count_of("connect") in (1, 2)
    assert repr(session) == "<Session: 1 connections, 1 at rest>"


def test_a_packed_page_is_unpacked(server, session):
    response = session.get(f"{server}/page.txt", headers={"Accept-Encoding": "gzip"})
    assert response.headers["content-encoding"] == "gzip"
    assert ("transfer-encoding" in response.headers) != ("content-length" in response.headers)
    assert response.content == PAGE
    with session.get(f"{server}/page.txt", stream=True) as response:
        assert list(response.iter_lines()) == PAGE.decode().splitlines()


def test_a_head_tells_what_a_get_would(server, session):
    identity = {"Accept-Encoding": "identity"}
    head = session.head(f"{server}/large", headers=identity)
    assert (head.headers["content-length"], head.content) == (str(LARGE), b"")
    assert session.get(f"{server}/large", headers=identity).headers["etag"] == head.headers["etag"]


def test_ranges_and_conditions(server, session):
    identity = {"Accept-Encoding": "identity"}
    whole = session.get(f"{server}/page.txt", headers=identity)
    for spec, expected in (("0-9", PAGE[:10]), ("-10", PAGE[-10:]), (f"{len(PAGE) - 5}-", PAGE[-5:])):
        part = session.get(f"{server}/page.txt", headers={**identity, "Range": f"bytes={spec}"})
        assert (part.status, part.content) == (206, expected)
    parts = session.get(f"{server}/page.txt", headers={**identity, "Range": "bytes=0-1,10-11"})
    assert parts.headers["content-type"].startswith("multipart/byteranges")
    assert PAGE[10:12] in parts.content
    far = session.get(f"{server}/page.txt", headers={**identity, "Range": "bytes=9999999-"}, check=False)
    assert far.status == 416
    same = session.get(f"{server}/page.txt", headers={**identity, "If-None-Match": whole.headers["etag"]})
    assert (same.status, same.content) == (304, b"")
    assert session.get(f"{server}/page.txt", headers=identity).content == PAGE


def test_redirects_are_followed(server, session):
    response = session.get(f"{server}/hop/3")
    assert [each.status for each in response.history] == [307, 302]
    assert (response.url.path, response.content) == ("/page.txt", PAGE)
    with pytest.raises(RedirectError, match="2 redirects"):
        session.get(f"{server}/hop/3", redirects=1)
    assert session.get(f"{server}/hop/3", redirects=0).status == 307


def test_a_large_file_comes_whole_and_in_pieces(server, session):
    assert session.get(f"{server}/large").content == bytes(LARGE)
    with session.get(f"{server}/large", stream=True) as response:
        assert sum(map(len, response.iter_bytes(100_000))) == LARGE


def test_many_at_once(server, session):
    contents: list[bytes] = []
    with TaskGroup() as group:
        for _ in range(24):
            group.start(lambda: contents.extend(session.get(f"{server}/page.txt").content for _ in range(4)))
    assert contents == [PAGE] * 96


# -- what is sent


@pytest.mark.parametrize("expect", [{}, {"Expect": "100-continue"}])
def test_uploads_arrive_with_and_without_a_length(apache, session, heard, expect, door):
    url = f"{apache}/put-{door}.bin"
    data = bytes(range(256)) * 16_384
    session.put(url, data=data, headers=expect)
    assert session.get(url).content == data
    answer = session.put(
        url, data=(data[at : at + 70_000] for at in range(0, len(data), 70_000)), headers=expect
    )
    assert answer.status == 204
    assert session.get(url).content == data
    assert session.put(url, data=b"", headers=expect).status == 204
    assert session.get(url).content == b""
    assert session.delete(url).status == 204
    assert heard.count_of("connect") == 1  # Apache closes after an Expect with nothing to come


def test_methods_of_webdav(apache, session, door):
    url = f"{apache}/folder-{door}/"
    assert session.request("MKCOL", url).status == 201
    found = session.request("PROPFIND", url, headers={"Depth": "0"})
    assert found.status == 207
    assert found.xml().tag == "{DAV:}multistatus"
    assert session.delete(url).status == 204
    assert "PROPFIND" in session.options(f"{apache}/").headers["allow"]


def test_a_body_is_asked_for_or_refused_before_it_is_sent(nginx, session):
    expect = {"Expect": "100-continue"}
    assert session.post(f"{nginx}/length", data=bytes(LARGE), headers=expect).text == str(LARGE)
    assert session.post(f"{nginx}/length", data=bytes(LARGE)).text == str(LARGE)
    for headers in (expect, {}):  # without it nginx answers while the body is on its way
        with pytest.raises(HTTPError, match="413"):
            session.post(f"{nginx}/refused", data=bytes(LARGE), headers=headers)
    assert session.get(f"{nginx}/page.txt").content == PAGE


def test_cookies_are_kept_by_path(nginx, session):
    assert sorted(session.get(f"{nginx}/set").text.split("; ")) == ["a=1", "b=2"]
    assert session.get(f"{nginx}/got").text == "b=2; a=1"  # the longer path first (RFC 6265, 5.4)
    assert {each.name for each in session.cookies} == {"a", "b"}


# -- httpbin


def test_httpbin_tells_what_it_was_sent(httpbin, session):
    told = session.post(f"{httpbin}/post", data={"a": ["1", "2"], "ü": "ß"}, params={"q": "ö"}).json()
    assert (told["form"], told["args"]) == ({"a": ["1", "2"], "ü": "ß"}, {"q": "ö"})
    told = session.post(f"{httpbin}/post", {"t": "1"}, files={"f": ("grün.txt", b"content")}).json()
    assert (told["form"], told["files"]) == ({"t": "1"}, {"f": "content"})
    assert session.put(f"{httpbin}/put", json={"x": [1, None]}).json()["json"] == {"x": [1, None]}
    assert session.patch(f"{httpbin}/patch", data=b"raw").json()["data"] == "raw"
    assert session.delete(f"{httpbin}/delete").json()["url"].endswith("/delete")
    assert session.get(f"{httpbin}/headers", headers={"X-One": "1"}).json()["headers"]["X-One"] == "1"


@pytest.mark.parametrize("coding", ["gzip", "deflate", "brotli"])
def test_httpbin_packs(httpbin, session, coding):
    assert session.get(f"{httpbin}/{coding}").json()[
        {"gzip": "gzipped", "deflate": "deflated"}.get(coding, coding)
    ]


def test_httpbin_redirects_cookies_and_statuses(httpbin, session):
    for kind in ("redirect", "relative-redirect", "absolute-redirect"):
        response = session.get(f"{httpbin}/{kind}/3")
        assert (len(response.history), response.url.path) == (3, "/get")
    told = session.post(f"{httpbin}/redirect-to?url=/anything&status_code=307", data=b"again").json()
    assert (told["method"], told["data"]) == ("POST", "again")
    told = session.post(f"{httpbin}/redirect-to?url=/anything&status_code=303", data=b"gone").json()
    assert (told["method"], told["data"]) == ("GET", "")
    assert session.get(f"{httpbin}/cookies/set?one=1&two=2").json()["cookies"] == {"one": "1", "two": "2"}
    assert session.get(f"{httpbin}/cookies/delete?one").json()["cookies"] == {"two": "2"}
    for status in (400, 404, 418, 500, 503):
        with pytest.raises(HTTPError, match=str(status)):
            session.get(f"{httpbin}/status/{status}")


def test_httpbin_streams(httpbin, session):
    with session.get(f"{httpbin}/stream/20", stream=True) as response:
        assert [number for number, _ in enumerate(response.iter_lines())] == list(range(20))
    assert (
        session.get(f"{httpbin}/stream-bytes/100000?chunk_size=999").headers["transfer-encoding"] == "chunked"
    )
    assert session.get(f"{httpbin}/drip?numbytes=5&duration=0.1&delay=0").content == b"*****"
    assert len(session.get(f"{httpbin}/range/1000", headers={"Range": "bytes=10-19"}).content) == 10
    assert session.get(f"{httpbin}/encoding/utf8").text.count("∮") == 1
    assert session.get(f"{httpbin}/response-headers?X=1&X=2").headers.all("x") == ["1", "2"]


def test_a_trace_hears_of_the_end_of_connections(server):
    heard = Heard()
    with Session(trace=heard, env=False) as session:
        assert session.get(f"{server}/page.txt").content == PAGE
        assert heard.count_of("close") == 0
        session.get(f"{server}/large", stream=True).close()
    ends = [facts for name, facts in heard if name == "close"]
    assert len(ends) == heard.count_of("connect")
    assert {str(facts["peer"]) for facts in ends} == {str(heard[1][1]["peer"])}


# -- certificates of clients


def test_a_server_sees_our_certificate(members):
    url, folder = members
    pair = (str(folder / "joe.crt"), str(folder / "joe.key"))
    ways = [
        {"verify": str(folder / "ca.pem"), "cert": str(folder / "joe.pem")},
        {"verify": str(folder / "ca.pem"), "cert": pair},
        {"verify": ClientTLS(folder / "ca.pem", certificate=pair)},
        {"verify": ClientTLS(folder / "ca.pem", certificate=folder / "joe.pem")},
    ]
    for way in ways:
        with Session(env=False, timeout=20, **way) as session:
            for _ in range(2):
                told, _, who = session.get(url).text.partition(" ")
                assert (told, "CN=Joe" in who) == ("SUCCESS", True)


def test_a_server_that_wants_another_certificate_says_no(members):
    url, folder = members
    with Session(env=False, timeout=20, verify=str(folder / "ca.pem"), check=False) as session:
        without, other = session.get(url), session.get(url, cert=str(folder / "eve.pem"))
    assert (without.status, "No required SSL certificate" in without.text) == (400, True)
    assert (other.status, "SSL certificate error" in other.text) == (400, True)


def test_what_a_call_says_of_tls_leaves_the_rest_as_the_session_has_it(members):
    url, folder = members
    ca, joe = str(folder / "ca.pem"), str(folder / "joe.pem")
    with Session(env=False, timeout=20, verify=ca) as session:
        assert session.get(url, cert=joe).text.startswith("SUCCESS")
    with Session(env=False, timeout=20, cert=joe, check=False) as session:
        assert session.get(url, verify=ca).text.startswith("SUCCESS")
        assert session.get(url, verify=ca, cert=None).status == 400
        assert session.get(url, verify=ClientTLS(ca)).status == 400
        with pytest.raises(CertificateError):
            session.get(url)


def test_a_connection_with_our_certificate_is_for_requests_with_it(members, session, heard):
    url, folder = members
    trust = {"verify": str(folder / "ca.pem"), "check": False}
    joe = {**trust, "cert": str(folder / "joe.pem")}
    assert [session.get(url, **how).status for how in (joe, trust, joe, joe)] == [200, 400, 200, 200]
    assert heard.count_of("connect") == 2
