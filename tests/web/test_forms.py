"""Forms: what fields say, from every kind of request, and what is refused."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tempfile
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.errors import ConfigError, FormError, FormTooLarge
from portico.limits import Limits
from portico.web.forms import Form, Upload, read_form, read_query
from portico.web.wsgi import WSGI
from tests.descriptors import descriptors, none_left_open
from tests.http.served import Client, chunked, get, post, serving
from tests.peers import root
from tests.web.recording import RecordingExchange

URLENCODED = "application/x-www-form-urlencoded"


def environ(body=b"", content_type=URLENCODED, method="POST", query="", **more):
    return {
        "REQUEST_METHOD": method,
        "CONTENT_TYPE": content_type,
        "CONTENT_LENGTH": str(len(body)),
        "QUERY_STRING": query,
        "wsgi.input": io.BytesIO(body),
        **more,
    }


def part(name, value, *more, filename=None):
    said = f'form-data; name="{name}"' + ("" if filename is None else f'; filename="{filename}"')
    lines = [f"Content-Disposition: {said}", *more]
    return "\r\n".join(["--b", *lines, "", ""]).encode() + value + b"\r\n"


def multipart(*parts):
    return environ(b"".join(parts) + b"--b--\r\n", "multipart/form-data; boundary=b")


def status_of(request, **options):
    with pytest.raises(FormError) as caught:
        read_form(request, **options)
    return caught.value.status


# What fields say


def test_the_first_all_and_the_only_value_of_a_name():
    form = read_form(environ(b"a=1&b=2&a=3&e=&n"))
    assert (form.getfirst("a"), form.getlist("a"), form.getvalue("a")) == ("1", ["1", "3"], ["1", "3"])
    assert (form.getfirst("b"), form.getlist("b"), form.getvalue("b")) == ("2", ["2"], "2")
    assert (form["e"], form["n"]) == ("", "")
    assert (form.getfirst("x"), form.getlist("x"), form.getvalue("x", 7)) == (None, [], 7)
    assert (list(form), len(form), "b" in form, "x" in form) == (["a", "b", "e", "n"], 4, True, False)
    assert form.fields == [("a", "1"), ("b", "2"), ("a", "3"), ("e", ""), ("n", "")]
    with pytest.raises(KeyError):
        form["x"]


def test_two_kinds_of_body_say_the_same():
    pairs = [("a", "1"), ("ä ü", "€\r\n"), ("a", ""), ("", "x")]
    body = multipart(*(part(name, value.encode()) for name, value in pairs))
    assert read_form(environ(urlencode(pairs).encode())).fields == read_form(body).fields == pairs


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        (b"a=1+2%2B%20", [("a", "1 2+ ")]),
        (b"a=100%&b=%zz%4", [("a", "100%"), ("b", "%zz%4")]),
        (b"&&a=1&", [("a", "1")]),
        (b"a=b=c", [("a", "b=c")]),
        (b"a;b=1;2", [("a;b", "1;2")]),
        (b"=x", [("", "x")]),
        (b"%C3%A4=%E2%82%AC", [("ä", "€")]),
        (b"a=%FF", [("a", "\ufffd")]),
        (b"a=%00", [("a", "\0")]),
        (b"", []),
    ],
)
def test_pairs_are_read_as_the_url_standard_has_it(sent, read):
    assert read_form(environ(sent)).fields == read_query(environ(query=sent.decode())).fields == read


@given(st.lists(st.tuples(st.text(), st.text()), max_size=8))
def test_whatever_is_encoded_comes_back(pairs):
    pairs = [(name, value.encode("utf-8", "replace").decode()) for name, value in pairs if name.isascii()]
    assert read_form(environ(urlencode(pairs).encode())).fields == pairs


def test_to_get_the_query_answers_and_elsewhere_only_when_asked_for():
    assert read_form(environ(b"", method="GET", query="a=1")).fields == [("a", "1")]
    assert read_form(environ(b"", method="HEAD", query="a=1")).fields == [("a", "1")]
    assert read_form(environ(b"a=2", query="a=1")).fields == [("a", "2")]
    assert read_form(environ(b"a=2", query="a=1"), query=True).fields == [("a", "2"), ("a", "1")]
    assert read_query(environ(b"a=2", query="a=1")).fields == [("a", "1")]


# Encodings


def test_a_page_in_another_encoding():
    body = b"a=" + quote("Grüße".encode("cp1252")).encode()
    assert read_form(environ(body), charset="windows-1252")["a"] == "Grüße"
    assert read_form(environ(body, f"{URLENCODED}; charset=iso-8859-1"))["a"] == "Grüße"
    assert read_form(environ(body + b"&_charset_=windows-1252"))["a"] == "Grüße"
    assert read_form(environ(body))["a"] == "Gr\ufffd\ufffde"
    assert status_of(environ(body), errors="strict") == 400


def test_the_encoding_of_a_multipart_form_may_be_told_by_a_field_or_a_part():
    korean = "한국"
    body = [part("a", korean.encode("cp949")), part("_charset_", b"EUC-KR")]
    assert read_form(multipart(*body))["a"] == korean
    typed = part("a", korean.encode("cp949"), "Content-Type: text/plain; charset=euc-kr")
    assert read_form(multipart(typed))["a"] == korean


@pytest.mark.parametrize("label", ["zlib", "punycode", "idna", "unicode_escape", "utf-16", "utf-7", "x"])
def test_what_is_no_encoding_of_forms_is_never_used(label):
    assert read_form(environ(f"_charset_={label}&a=%2Bx".encode())).fields[1] == ("a", "+x")
    assert status_of(environ(b"a=1", f"{URLENCODED}; charset={label}")) == 400
    assert status_of(multipart(part("a", b"x", f"Content-Type: text/plain; charset={label}"))) == 400
    with pytest.raises(ConfigError):
        read_form(environ(), charset=label)


# Files


def test_a_file_has_its_name_raw_its_type_and_its_content():
    sent = part("f", b"\0\r\n\xff", "Content-Type: image/png", filename="C:\\tmp\\ä%22.png")
    with read_form(multipart(part("a", b"1"), sent)) as form:
        upload = form["f"]
        assert isinstance(upload, Upload)
        assert (upload.filename, upload.content_type, upload.size) == ('C:\\tmp\\ä".png', "image/png", 4)
        assert (upload.value, upload.file.read(), upload.file.read()) == (b"\0\r\n\xff", b"\0\r\n\xff", b"")
        assert upload.headers["content-type"] == "image/png"
        assert form.uploads == [upload]
        assert form["a"] == "1"


def test_a_field_without_a_chosen_file_is_kept_and_is_false():
    form = read_form(multipart(part("f", b"", "Content-Type: application/octet-stream", filename="")))
    assert form.uploads == []
    assert not form["f"]
    assert form["f"].filename == ""


@pytest.mark.parametrize("spooled", [False, True])
def test_files_of_one_form_are_read_beside_one_another(spooled):
    contents = [os.urandom(size) for size in (70_000, 0, 1, 200_000)]
    sent = [part(f"f{n}", content, filename="x") for n, content in enumerate(contents)]
    with read_form(multipart(*sent), limits=Limits(body_memory=1000 if spooled else 1 << 20)) as form:
        first, *_, last = uploads = [form[f"f{n}"] for n in range(4)]
        assert first.file.read(10) + last.file.read(10) == contents[0][:10] + contents[3][:10]
        assert [upload.file.read() for upload in uploads[1:3]] == [b"", contents[2]]
        assert last.file.seek(-5, os.SEEK_END) == 199_995
        assert last.file.read() == contents[3][-5:]
        assert [upload.value for upload in uploads] == contents


def test_a_large_file_is_not_kept_in_memory_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    request = multipart(*(part(f"f{n}", bytes(400_000), filename="x") for n in range(20)))
    with none_left_open() as before, read_form(request) as form:
        assert sum(upload.size for upload in form.uploads) == 8_000_000
        assert list(tmp_path.iterdir()) == []  # it has no name
        assert len(descriptors() - before) == 1
    with pytest.raises(ValueError, match="closed"):
        form.uploads[0].value  # noqa: B018


def test_a_form_that_fails_leaves_nothing():
    request = multipart(part("f", bytes(400_000), filename="x"), part("b", b"", "Content-Type: multipart/x"))
    with none_left_open():
        assert status_of(request) == 400


# Limits


@pytest.mark.parametrize(
    ("limit", "sent", "status"),
    [
        ({"form_fields": 2}, environ(b"a&b&c"), 413),
        ({"form_fields": 2}, environ(b"&" * 10), 413),
        ({"form_fields": 2}, environ(method="GET", query="a&b&c"), 413),
        ({"form_fields": 2}, multipart(part("a", b""), part("b", b""), part("c", b"")), 413),
        ({"form_files": 1}, multipart(part("a", b"", filename=""), part("b", b"", filename="")), 413),
        ({"form_memory": 10}, environ(b"a=" + b"x" * 9), 413),
        ({"form_memory": 10}, environ(method="GET", query="a=123456789"), 413),
        ({"form_memory": 10}, multipart(part("a", b"x" * 10)), 413),
        ({"form_memory": 10}, multipart(part("n" * 11, b"")), 413),
        ({"form_header_bytes": 60}, multipart(part("a", b"", "X: " + "x" * 60)), 431),
        ({"body": 100}, multipart(part("a", bytes(100), filename="x")), 413),
    ],
)
def test_more_than_a_limit_allows_is_refused(limit, sent, status):
    with pytest.raises(FormTooLarge) as caught:
        read_form(sent, limits=Limits(**limit))
    assert (caught.value.limit, caught.value.status) == (*limit, status)
    sent["wsgi.input"].seek(0)
    with read_form(sent):
        pass  # and with the defaults it is none of these


def test_files_do_not_count_as_memory():
    with read_form(multipart(part("a", bytes(1000), filename="x")), limits=Limits(form_memory=10)) as form:
        assert form["a"].size == 1000


def test_an_endless_body_is_refused_early():
    class Endless(io.RawIOBase):
        def read(self, size=-1):
            return b"a=" + b"x" * (size - 2)

    endless = environ(**{"wsgi.input": Endless(), "CONTENT_LENGTH": "", "wsgi.input_terminated": True})
    assert status_of(endless) == 413


# What is no form


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (environ(b"{}", "application/json"), 415),
        (environ(b"a=1", ""), 415),
        (environ(b"a=1", HTTP_CONTENT_ENCODING="gzip"), 415),
        (
            RecordingExchange(
                "POST", "/", [("Content-Type", URLENCODED), ("Content-Encoding", "br")], body=b"a=1"
            ),
            415,
        ),
        (environ(b"a=1", CONTENT_LENGTH="4"), 400),
        (environ(b"a=1", CONTENT_LENGTH="-1"), 400),
        (environ(b"a=1", CONTENT_LENGTH="+1"), 400),
        (environ(b"a=1", CONTENT_LENGTH="٣"), 400),
        (environ(b"a=1", "multipart/form-data"), 400),
        (environ(b"a=1", "multipart/form-data; boundary="), 400),
        (environ(b"a=1", "multipart/form-data; boundary=a; boundary=b"), 400),
        (environ(b"a=1", "multipart/mixed; boundary=a"), 415),
        (environ(b"a=1", "what?"), 400),
    ],
)
def test_what_is_no_form_is_one_clear_error(request_, status):
    assert status_of(request_) == status


def test_nothing_sent_is_an_empty_form():
    assert len(read_form(environ(b"", ""))) == 0
    assert len(read_form({"REQUEST_METHOD": "POST", "wsgi.input": io.BytesIO()})) == 0
    assert len(read_form({"wsgi.input": io.BytesIO(b"a=1")})) == 0


def test_without_a_length_the_input_is_read_only_where_it_ends():
    request = environ(b"a=1", CONTENT_LENGTH="")
    assert read_form(request).fields == []
    assert read_form(request | {"wsgi.input_terminated": True}).fields == [("a", "1")]


def test_no_more_is_read_than_the_length_says():
    request = environ(b"a=1&b=2", CONTENT_LENGTH="3")
    assert read_form(request).fields == [("a", "1")]
    assert request["wsgi.input"].read() == b"&b=2"


# From every kind of request


def listing(form):
    said = [(name, value if isinstance(value, str) else value.size) for name, value in form.fields]
    return repr(said).encode()


def answer_exchange(exchange):
    with read_form(exchange) as form:
        exchange.respond(200, [], listing(form))


def answer_wsgi(environ, start_response):
    with read_form(environ) as form:
        start_response("200 OK", [])
        return [listing(form)]


@pytest.mark.parametrize("handler", [answer_exchange, WSGI(answer_wsgi), WSGI(answer_wsgi, stream=True)])
def test_a_form_of_a_request_that_is_served(handler):
    body = multipart(part("a", b"1"), part("f", bytes(300_000), filename="x"))["wsgi.input"].getvalue()
    kind = "Content-Type: multipart/form-data; boundary=b"
    with serving(handler) as server, Client(server) as client:
        for request in (post(body, "/", kind), chunked([body[:9], body[9:]], "/", kind)):
            assert client.ask(request, "POST").body == b"[('a', '1'), ('f', 300000)]"
        assert client.ask(get("/?a=%20")).body == b"[('a', ' ')]"


@pytest.mark.parametrize("handler", [answer_exchange, WSGI(answer_wsgi), WSGI(answer_wsgi, stream=True)])
def test_a_form_error_that_nobody_handles_answers_the_request(handler, caplog):
    with serving(handler, limits={"form_fields": 2}) as server, Client(server) as client:
        kind = "Content-Type: multipart/form-data; boundary=b"
        assert client.ask(get("/?a&b&c")).status == 413
        answer = client.ask(post(b"--b\r\nnonsense\r\n\r\n--b--", "/", kind), "POST")
        assert answer.status == 400
        assert b"malformed header line" in answer.body
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_a_program_reads_its_form_from_standard_input(tmp_path):
    program = (
        "import sys; from portico.web.forms import read_form\n"
        "form = read_form(); print(form.fields, sys.stdin.buffer.read())"
    )
    body = "ä=€&b=2".encode()
    about = {"REQUEST_METHOD": "POST", "CONTENT_TYPE": URLENCODED, "CONTENT_LENGTH": str(len(body))}
    done = subprocess.run(
        [sys.executable, "-X", "utf8", "-c", program],
        input=body + b"more",
        env=about | {"PATH": os.environ["PATH"], "PYTHONPATH": str(root / "src")},
        capture_output=True,
        check=False,
    )
    assert done.stdout.decode() == "[('ä', '€'), ('b', '2')] b'more'\n", done.stderr


def test_a_program_reads_a_form_of_no_length_where_its_server_says_that_it_came_in_chunks(monkeypatch):
    for name, value in (("REQUEST_METHOD", "POST"), ("CONTENT_TYPE", URLENCODED), ("CONTENT_LENGTH", "")):
        monkeypatch.setenv(name, value)
    for coding, fields in (("", []), ("chunked", [("a", "1")])):
        monkeypatch.setenv("HTTP_TRANSFER_ENCODING", coding)
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"a=1")))
        assert read_form().fields == fields


def test_a_form_tells_its_names():
    assert repr(Form([("a", "1"), ("b", "2")])) == "<Form 'a', 'b'>"
