"""``portico.open``: one response for every scheme."""

from __future__ import annotations

import csv
import io
import os

import pytest

import portico
from portico.client import opener
from portico.client.opener import register_scheme, schemes
from portico.client.request import Request
from portico.client.response import Response
from portico.errors import AddressError, ConfigError, EndOfStream, HTTPError, LocalProtocolError
from portico.web.wsgi import WSGI
from tests.http.served import serving


@pytest.fixture
def page(tmp_path):
    path = tmp_path / "grün page.csv"
    path.write_bytes("name,value\r\nä,1\r\nb,2\r\n".encode())
    return path


def test_a_file_is_a_response_like_any_other(page):
    with portico.open(page.as_uri()) as response:
        assert (response.status, response.ok) == (200, True)
        assert response.headers["Content-Type"] == "text/csv"
        assert response.headers["Content-Length"] == str(page.stat().st_size)
        assert list(response) == page.read_bytes().splitlines(keepends=True)
    assert portico.open(page.as_uri()).text == page.read_bytes().decode()
    with portico.open(page.as_uri()) as response:
        assert list(csv.reader(io.TextIOWrapper(response, "utf-8", newline=""))) == [
            ["name", "value"],
            ["ä", "1"],
            ["b", "2"],
        ]


@pytest.mark.parametrize(
    ("asked", "status", "content", "told"),
    [
        ("bytes=0-3", 206, b"0123", "bytes 0-3/10"),
        ("bytes=4-", 206, b"456789", "bytes 4-9/10"),
        ("bytes=-3", 206, b"789", "bytes 7-9/10"),
        ("bytes=8-99", 206, b"89", "bytes 8-9/10"),
        ("BYTES=9-9", 206, b"9", "bytes 9-9/10"),
        ("bytes=10-", 416, b"", "bytes */10"),
        ("bytes=-0", 416, b"", "bytes */10"),
        ("bytes=0-1,4-5", 200, b"0123456789", None),
        ("bytes=5-4", 200, b"0123456789", None),
        ("lines=1-2", 200, b"0123456789", None),
        ("nonsense", 200, b"0123456789", None),
    ],
)
def test_a_range_of_a_file_is_a_part_of_it(tmp_path, asked, status, content, told):
    (tmp_path / "file").write_bytes(b"0123456789")
    url = (tmp_path / "file").as_uri()
    with portico.open(url, headers={"Range": asked}, check=False) as response:
        assert (response.status, response.content) == (status, content)
        assert response.headers.get("content-range") == told
        assert response.headers["content-length"] == str(len(content))
    with portico.open(url, method="HEAD", headers={"Range": asked}) as response:
        assert (response.status, response.headers["content-length"]) == (200, "10")
    if status == 416:
        with pytest.raises(HTTPError, match="416 Range Not Satisfiable"):
            portico.open(url, headers={"Range": asked})


def test_a_range_of_a_file_is_of_the_version_that_is_meant(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    os.utime(path, (1_600_000_000, 1_600_000_000))
    with portico.open(path.as_uri()) as response:
        etag, modified = response.headers["etag"], response.headers["last-modified"]

    def part(condition: str) -> tuple[int, bytes]:
        with portico.open(path.as_uri(), headers={"Range": "bytes=8-", "If-Range": condition}) as response:
            return response.status, response.content

    assert part(etag) == part(modified) == (206, b"89")
    assert part('"other"') == part("Sat, 01 Jan 2022 00:00:00 GMT") == (200, b"0123456789")
    path.write_bytes(b"9876543210")
    assert part(etag) == part(modified) == (200, b"9876543210")


def test_a_range_of_a_file_that_is_cut_meanwhile_is_an_error(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    with portico.open(path.as_uri(), headers={"Range": "bytes=2-"}) as response:
        path.write_bytes(b"0123")
        with pytest.raises(EndOfStream) as caught:
            response.read()
    assert caught.value.partial == b"23"


def test_a_file_that_is_missing_is_an_answer_that_says_no(tmp_path):
    url = (tmp_path / "none").as_uri()
    with pytest.raises(HTTPError, match="No such file") as caught:
        portico.open(url)
    assert caught.value.response.status == 404
    assert portico.open(url, check=False).status == 404


def test_what_is_no_regular_file_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(ConfigError):
            portico.open(path.as_uri())
    with pytest.raises(ConfigError, match="NUL"):
        portico.open("file:///etc/passwd%00.txt")
    with pytest.raises(ConfigError, match="only read"):
        portico.open("file:///tmp/x", data=b"1")
    with pytest.raises(AddressError, match="this machine"):
        portico.open("file://elsewhere/etc/passwd")


@pytest.mark.parametrize(
    ("url", "kind", "content"),
    [
        ("data:,A%20brief%20note", "text/plain;charset=US-ASCII", b"A brief note"),
        ("data:text/html;charset=utf-8,<p>ü</p>", "text/html;charset=utf-8", "<p>ü</p>".encode()),
        ("data:;charset=utf-8,x", "text/plain;charset=utf-8", b"x"),
        ("data:image/png;base64,iVBORw0KGgo=", "image/png", b"\x89PNG\r\n\x1a\n"),
        ("data:image/png;BASE64,iVBORw0KGgo", "image/png", b"\x89PNG\r\n\x1a\n"),
        ("data:;base64,%61%47%6b%3D", "text/plain;charset=US-ASCII", b"hi"),
        ("data:;base64,a G k =", "text/plain;charset=US-ASCII", b"hi"),
        ("data:nonsense,x", "text/plain;charset=US-ASCII", b"x"),
        ("data:text/plain,a?b=c", "text/plain", b"a?b=c"),
        ("data:text/plain,a#fragment", "text/plain", b"a"),
        ("data:text/plain,100%", "text/plain", b"100%"),
        ("data:text/plain,", "text/plain", b""),
        ("DATA:text/plain,%ff%00", "text/plain", b"\xff\x00"),
    ],
)
def test_a_data_url_is_its_own_content(url, kind, content):
    response = portico.open(url)
    assert (response.headers["content-type"], response.read()) == (kind, content)


@pytest.mark.parametrize(
    "url", ["data:text/plain", "data:;base64,aGk*", "data:;base64,a", "data:;base64,aGk=="]
)
def test_a_data_url_that_is_none_is_an_error(url):
    with pytest.raises(AddressError):
        portico.open(url)


def test_http_is_opened_as_a_stream():
    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
        body = environ["wsgi.input"].read().decode()
        return [f"{environ['REQUEST_METHOD']} {body} zwölf\n".encode()] * 3

    with serving(WSGI(app)) as server:
        url = str(server.addresses[0])
        with portico.open(url) as response:
            assert list(response.iter_lines()) == ["GET  zwölf"] * 3
        with portico.open(url, data={"a": "1"}) as response:
            assert response.readline() == "POST a=1 zwölf\n".encode()
            assert response.read1(4) == b"POST"
            assert response.read(5) == b" a=1 "
            assert response.read() == "zwölf\nPOST a=1 zwölf\n".encode()
            assert response.read() == b""
        with pytest.raises(LocalProtocolError, match="in pieces"):
            response.text  # noqa: B018
        assert portico.get(url).text == "GET  zwölf\n" * 3
        assert portico.head(url).content == b""


def test_a_scheme_can_be_added(monkeypatch):
    monkeypatch.setattr(opener, "_SCHEMES", dict(opener._SCHEMES))

    def open_echo(url, **options):
        return Response(Request("GET", url), 200, "OK", [], None, f"{url.path} {options}".encode())

    register_scheme("x-echo", open_echo)
    assert "x-echo" in schemes()
    assert portico.open("x-echo:something", a=1).text == "something {'a': 1}"
    for name in ("", "UPPER", "1x", "ü", "x:", "x y"):
        with pytest.raises(ConfigError):
            register_scheme(name, open_echo)


@pytest.mark.parametrize("url", ["gopher://h/", "javascript:alert(1)", "about:blank", "example.org", ""])
def test_a_scheme_that_nobody_opens_is_an_error(url):
    with pytest.raises(AddressError, match=r"nobody opens|scheme|empty"):
        portico.open(url)
