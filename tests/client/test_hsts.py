"""Strict Transport Security: who says so over a verified channel is never spoken to in the clear again."""

from __future__ import annotations

import subprocess

import pytest

from portico.client.hsts import HSTS, as_hsts
from portico.client.session import Session
from portico.client.url import URL
from portico.errors import ConfigError, TLSError
from portico.sockets.tls import ClientTLS, ServerTLS
from portico.web.wsgi import WSGI
from tests.http.served import serving
from tests.peers import need

NOW = 1_800_000_000.0
YEAR = 31536000


def upgraded(known: HSTS, url: str, later: float = 0.0) -> str:
    return str(known.upgrade(URL.parse(url), NOW + later))


@pytest.mark.parametrize(
    ("header", "host", "below"),
    [
        ("max-age=100", True, False),
        ("max-age=100; includeSubDomains", True, True),
        ('MAX-AGE="100" ; INCLUDESUBDOMAINS ;', True, True),
        ("max-age=100; preload; unknown=x", True, False),
        ("; max-age=100", True, False),
        ("max-age=0", False, False),
        ("max-age=", False, False),
        ("max-age=-1", False, False),
        ("max-age=1e3", False, False),
        ("max-age=" + "9" * 40, True, False),
        ("includeSubDomains", False, False),
        ("max-age=100; max-age=200", False, False),
        ("max-age=100, includeSubDomains", False, False),
        ("max-age = 100", True, False),
        ('max-age="100', False, False),
        ("", False, False),
    ],
)
def test_a_field_is_taken_as_the_rules_have_it(header, host, below):
    known = HSTS()
    known.note(URL.parse("https://example.org/"), header, NOW)
    assert (upgraded(known, "http://example.org/x?q#f") == "https://example.org/x?q#f") is host
    assert (upgraded(known, "http://a.b.example.org/") == "https://a.b.example.org/") is below
    assert upgraded(known, "http://notexample.org/") == "http://notexample.org/"
    assert upgraded(known, "http://org/") == "http://org/"


def test_it_ends_and_is_renewed_and_taken_back():
    known = HSTS()
    place = URL.parse("https://example.org/")
    known.note(place, "max-age=100", NOW)
    assert upgraded(known, "http://example.org/", 99) == "https://example.org/"
    assert upgraded(known, "http://example.org/", 101) == "http://example.org/"
    known.note(place, "max-age=100", NOW + 50)
    assert upgraded(known, "http://example.org/", 120) == "https://example.org/"
    known.note(place, "max-age=0", NOW + 60)
    assert upgraded(known, "http://example.org/", 61) == "http://example.org/"


def test_ports_and_hosts():
    known = HSTS()
    known.note(URL.parse("https://example.org/"), "max-age=100", NOW)
    assert upgraded(known, "http://example.org:8080/") == "https://example.org:8080/"
    assert upgraded(known, "http://EXAMPLE.org./") == "https://example.org./"
    for url in ("https://127.0.0.1/", "https://[::1]/", "http://other.org/"):
        known.note(URL.parse(url), "max-age=100", NOW)
    assert len(known) == 1
    assert upgraded(known, "http://127.0.0.1/") == "http://127.0.0.1/"


def test_the_number_of_hosts_is_bounded(monkeypatch):
    monkeypatch.setattr("portico.client.hsts._MOST", 10)
    known = HSTS()
    for number in range(50):
        known.note(URL.parse(f"https://h{number}.org/"), f"max-age={1000 + number}", NOW)
    assert len(known) == 10
    assert upgraded(known, "http://h49.org/") == "https://h49.org/"


def test_a_file_keeps_it_and_curl_reads_it(tmp_path):
    path = tmp_path / "hsts"
    known = HSTS(path)
    known.note(URL.parse("https://localhost/"), "max-age=100000; includeSubDomains")
    known.note(URL.parse("https://example.org/"), "max-age=100000")
    assert path.stat().st_mode & 0o777 == 0o600
    again = HSTS(path)
    assert len(again) == 2
    assert str(again.upgrade(URL.parse("http://a.localhost/"))) == "https://a.localhost/"
    curl = need("curl")
    command = [curl, "-sv", "--max-time", "2", "--hsts", path, "http://localhost:1/"]
    said = subprocess.run(command, capture_output=True, timeout=20, check=False).stderr.decode()
    assert "Switched from HTTP to HTTPS due to HSTS" in said
    assert len(HSTS(path)) == 2  # as curl has written it again


def test_the_file_is_written_when_something_is_new(tmp_path, caplog):
    path = tmp_path / "hsts"
    known, place = HSTS(path), URL.parse("https://example.org/")

    def written(header: str, now: float) -> bool:
        path.unlink(missing_ok=True)
        known.note(place, header, now)
        return path.exists()

    said = [("max-age=1000", 0), ("max-age=1000", 99), ("max-age=1000", 100), ("max-age=1000", 0)]
    said += [("max-age=1000; includeSubDomains", 0), ("max-age=0", 0), ("max-age=0", 0)]
    assert [written(header, NOW + after) for header, after in said] == [
        True, False, True, True, True, True, False,
    ]  # fmt: skip
    path.mkdir()
    known.note(place, "max-age=1000", NOW)
    assert "cannot write" in caplog.text
    assert len(known) == 1


def test_what_can_be_given(tmp_path):
    known = HSTS()
    assert as_hsts(known) is known
    assert as_hsts(None) is as_hsts(False) is None
    assert len(as_hsts(True)) == len(as_hsts(tmp_path / "hsts")) == 0
    with pytest.raises(ConfigError, match="path of a file"):
        Session(hsts=3)


@pytest.mark.parametrize(
    "line", ["example.org", 'example.org "soon"', 'exa mple "20301231 23:59:59"', 'h "20301399 23:59:59"']
)
def test_a_line_that_makes_no_sense_is_named(tmp_path, line):
    path = tmp_path / "hsts"
    path.write_text(f"# a comment\n\n{line}\n")
    with pytest.raises(ConfigError, match="line 3"):
        HSTS(path)
    with pytest.raises(ConfigError, match="cannot"):
        HSTS(tmp_path)


@pytest.mark.usefixtures("door")
def test_a_session_notes_it_over_verified_channels_alone():
    def app(environ, start_response):
        start_response("200 OK", [("Strict-Transport-Security", "max-age=1000")])
        return [environ["wsgi.url_scheme"].encode()]

    own = ServerTLS.self_signed()
    with (
        serving(WSGI(app), address="https://localhost:0", tls=own) as secure,
        serving(WSGI(app), address="http://localhost:0") as plain,
    ):
        known = HSTS()
        with Session(env=False, hsts=known, verify=ClientTLS(own.certificate_pem)) as session:
            session.get(f"http://localhost:{plain.addresses[0].port}/")
            session.get(f"https://localhost:{secure.addresses[0].port}/", verify=False)
            assert len(known) == 0
            session.get(f"https://localhost:{secure.addresses[0].port}/")
            assert len(known) == 1
            assert session.get(f"http://localhost:{secure.addresses[0].port}/").text == "https"
            with pytest.raises(TLSError):
                session.get(f"http://localhost:{plain.addresses[0].port}/")
