"""Request bodies: what data=, json= and files= become, and that a body never looks whole when it is not."""

from __future__ import annotations

import email
import email.policy
import gzip
import io
import os
import tempfile
import tracemalloc
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Request as WerkzeugRequest

from portico.client.body import Body
from portico.client.encode import encode_body
from portico.client.params import add_params, urlencoded
from portico.client.request import Request
from portico.client.response import Response
from portico.client.url import URL
from portico.client.wire import HeldBody
from portico.errors import ConfigError, LocalProtocolError
from portico.web.forms import read_form
from tests.web.test_forms import environ

NAMES = st.text(st.characters(exclude_categories=["C"]), min_size=1, max_size=20)


def sent(body: Body | None) -> bytes:
    assert body is not None
    data = b"".join(body.chunks())
    assert body.length is None or body.length == len(data)
    return data


def form_of(body: Body | None):
    """What our own server makes of it."""
    assert body is not None
    return read_form(environ(sent(body), str(body.content_type)))


def werkzeug_form(body: Body) -> WerkzeugRequest:
    data = sent(body)
    stream = io.BytesIO(data)
    builder = EnvironBuilder(
        method="POST", input_stream=stream, content_type=body.content_type, content_length=len(data)
    )
    return WerkzeugRequest(builder.get_environ())


@pytest.mark.parametrize(
    ("data", "content", "kind"),
    [
        ({"a": "1", "b": "two words"}, b"a=1&b=two+words", "application/x-www-form-urlencoded"),
        ([("a", "1"), ("a", "2")], b"a=1&a=2", "application/x-www-form-urlencoded"),
        (
            {"a": ["1", "2"], "b": None, "c": 3, "d": True},
            b"a=1&a=2&c=3&d=true",
            "application/x-www-form-urlencoded",
        ),
        ({"ä&=": "ö+%\r\n"}, b"%C3%A4%26%3D=%C3%B6%2B%25%0D%0A", "application/x-www-form-urlencoded"),
        ({"raw": b"\xff\x00"}, b"raw=%FF%00", "application/x-www-form-urlencoded"),
        ({}, b"", "application/x-www-form-urlencoded"),
        (b"bytes", b"bytes", None),
        (bytearray(b"bytes"), b"bytes", None),
        ("täxt", "täxt".encode(), None),
        (io.BytesIO(b"file"), b"file", None),
        (iter([b"one", b"two"]), b"onetwo", None),
        ([b"one", b"two"], b"onetwo", None),
        (lambda: [b"one"], b"one", None),
    ],
)
def test_data_becomes_a_body(data, content, kind):
    body = encode_body(data=data)
    assert body is not None
    assert (sent(body), body.content_type) == (content, kind)


def test_nothing_is_no_body():
    assert encode_body() is None


@dataclass
class Point:
    x: int
    on: date


@pytest.mark.parametrize(
    ("value", "content"),
    [
        ({"a": [1, None, "ü"]}, '{"a":[1,null,"ü"]}'.encode()),
        ([], b"[]"),
        (0, b"0"),
        (Point(1, date(2026, 11, 28)), b'{"x":1,"on":"2026-11-28"}'),
        ({"p": Point(1, date(2026, 11, 28))}, b'{"p":{"x":1,"on":"2026-11-28"}}'),
    ],
)
def test_json_becomes_a_body(value, content):
    body = encode_body(json=value)
    assert body is not None
    assert (sent(body), body.content_type, body.replayable) == (content, "application/json", True)


@pytest.mark.parametrize("value", [float("nan"), {"a": float("inf")}, object(), {1: {2}, "x": object()}])
def test_what_json_cannot_say_is_an_error(value):
    with pytest.raises(ConfigError, match="cannot be written as JSON"):
        encode_body(json=value)


def test_two_bodies_are_one_too_many():
    with pytest.raises(ConfigError, match="one body"):
        encode_body(json={}, data={})


@pytest.mark.parametrize("data", [3, object(), io.StringIO("text")])
def test_what_can_be_no_body_is_an_error(data):
    with pytest.raises(ConfigError):
        sent(encode_body(data=data))


@pytest.mark.parametrize("data", [iter(["text"]), [b"a", 3], (x for x in ("a",))])
def test_pieces_that_are_no_bytes_are_an_error(data):
    with pytest.raises(ConfigError, match="bytes"):
        sent(encode_body(data=data))


def test_an_iterator_is_sent_once_and_a_function_again():
    once = encode_body(data=iter([b"x"]))
    assert once is not None
    assert not once.replayable
    assert sent(once) == b"x"
    with pytest.raises(LocalProtocolError, match="only once"):
        sent(once)
    again = encode_body(data=lambda: iter([b"x"]))
    assert again is not None
    assert again.replayable
    assert sent(again) == sent(again) == b"x"


def test_a_file_is_sent_from_where_it_stands_and_again(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    with path.open("rb") as file:
        file.read(4)
        body = encode_body(data=file)
        assert body is not None
        assert (body.length, body.replayable) == (6, True)
        assert sent(body) == sent(body) == b"456789"


def test_a_file_that_decompresses_has_its_own_length(tmp_path):
    path = tmp_path / "file.gz"
    path.write_bytes(gzip.compress(b"x" * 100_000))
    with gzip.open(path) as file:
        assert sent(encode_body(data=file)) == b"x" * 100_000


def test_a_pipe_has_no_length_and_is_sent_once():
    reading, writing = os.pipe()
    with open(reading, "rb") as file, open(writing, "wb") as other:
        other.write(b"through a pipe")
        other.close()
        body = encode_body(data=file)
        assert body is not None
        assert (body.length, body.replayable) == (None, False)
        assert sent(body) == b"through a pipe"


def test_a_file_that_shrinks_while_it_is_sent_is_an_error(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(bytes(1 << 20))
    with path.open("rb") as file:
        body = encode_body(data=file)
        assert body is not None
        pieces = body.chunks()
        next(pieces)
        os.truncate(path, 200_000)
        with pytest.raises(LocalProtocolError, match=r"ended .* bytes before the 1048576"):
            sum(map(len, pieces))


def test_a_file_that_grows_while_it_is_sent_is_an_error(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"x" * 10)
    with path.open("rb") as file:
        body = encode_body(data=file)
        with path.open("ab") as other:
            other.write(b"more")
        with pytest.raises(LocalProtocolError, match="has grown since its 10 bytes"):
            sent(body)


@pytest.mark.parametrize(
    "arguments",
    [
        {"data": {"a": "\ud800"}},
        {"data": {"\ud800": "a"}},
        {"data": "\ud800"},
        {"data": {"a": "\ud800"}, "files": {"f": b""}},
        {"files": {"f": ("\ud800", b"")}},
        {"files": {"\ud800": b""}},
        {"files": {"f": "\ud800"}},
        {"files": ["a"]},
        {"files": [("a",)]},
        {"files": 5},
        {"files": "ab"},
        {"data": {b"\xff": "1"}, "files": {"f": b""}},
        {"files": {"f": ("n", b"", "a/b", ["zz"])}},
        {"files": {"f": Path("/dev/null")}},
        {"files": {"f": Path("/tmp")}},
    ],
)
def test_what_can_be_no_form_is_one_clear_error(arguments):
    with pytest.raises(ConfigError):
        sent(encode_body(**arguments))


def test_content_types_and_names_may_be_bytes():
    data = sent(encode_body(files={b"f": ("n", b"", b"text/plain", {b"X-A": b"1"})}))
    assert b"Content-Type: text/plain\r\nX-A: 1\r\n" in data


# -- multipart


def test_files_of_every_kind_make_a_form(tmp_path):
    path = tmp_path / "päth.txt"
    path.write_text("from a path")
    with path.open("rb") as file:
        body = encode_body(
            data={"field": "välue", "twice": ["1", "2"]},
            files=[
                ("a", file),
                ("b", b"bytes"),
                ("c", "text"),
                ("d", path),
                ("e", ("name.png", b"\x89PNG")),
                ("f", ("x", io.BytesIO(b"memory"), "text/x-own", {"X-Extra": "1"})),
                ("g", (None, "no file")),
            ],
        )
        assert body is not None
        with form_of(body) as form:
            assert form.getlist("twice") == ["1", "2"]
            assert form["field"] == "välue"
            assert form["g"] == "no file"
            found = {each.name: (each.filename, each.content_type, each.value) for each in form.uploads}
    assert found == {
        "a": ("päth.txt", "text/plain", b"from a path"),
        "b": ("b", "application/octet-stream", b"bytes"),
        "c": ("c", "application/octet-stream", b"text"),
        "d": ("päth.txt", "text/plain", b"from a path"),
        "e": ("name.png", "image/png", b"\x89PNG"),
        "f": ("x", "text/x-own", b"memory"),
    }


def test_the_server_of_another_make_reads_the_same():
    body = encode_body(
        data={"ü": "ä"}, files={"file": ('grün "q".txt', b"content\r\n--x"), "two": [b"1", b"2"]}
    )
    assert body is not None
    with closing(werkzeug_form(body)) as request:
        assert request.form.to_dict() == {"ü": "ä"}
        assert request.files["file"].read() == b"content\r\n--x"
        assert [each.read() for each in request.files.getlist("two")] == [b"1", b"2"]


def test_a_mail_parser_reads_the_same():
    body = encode_body(files={"file": ("a.bin", bytes(range(256)))})
    assert body is not None
    message = email.message_from_bytes(
        f"Content-Type: {body.content_type}\r\n\r\n".encode() + sent(body), policy=email.policy.HTTP
    )
    (part,) = message.iter_parts()
    assert part.get_filename() == "a.bin"
    assert part.get_payload(decode=True) == bytes(range(256))


@given(
    st.lists(st.tuples(NAMES, st.binary(max_size=50)), min_size=1, max_size=5),
)
def test_any_names_and_contents_come_out_as_they_went_in(parts):
    body = encode_body(files=[(name, (name, content)) for name, content in parts])
    assert body is not None
    with form_of(body) as form:
        assert [each.value for each in form.uploads] == [content for _, content in parts]


@pytest.mark.parametrize("name", ['a"; filename="evil', "a\r\nX-Evil: 1", "a\nb"])
def test_no_name_ends_the_line_it_stands_in(name):
    data = sent(encode_body(files={name: (name, b"x")}))
    head = data.partition(b"\r\n\r\n")[0]
    assert head.count(b"\r\n") == 2
    assert b"\n" not in head.replace(b"\r\n", b"")
    assert head.count(b'"') == 4


@pytest.mark.parametrize(
    "files",
    [
        {"f": ("n", b"x", "text/plain\r\nX-Evil: 1")},
        {"f": ("n", b"x", "text/plain", {"X\r\nY": "1"})},
        {"f": ("n", b"x", "text/plain", {"X": "1\r\n\r\nbody"})},
        {"f": ("n",)},
        {"f": 3},
        {"f": io.StringIO("text")},
        {"f": Path("/none/such")},
    ],
)
def test_files_that_cannot_be_are_an_error(files):
    with pytest.raises(ConfigError):
        encode_body(files=files)


def test_a_file_by_its_path_is_open_only_while_it_is_sent(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"content")
    body = encode_body(files={"f": path})
    assert body is not None
    path.write_bytes(b"longer content")
    with pytest.raises(LocalProtocolError, match="has grown"):
        sent(body)
    path.write_bytes(b"short")
    with pytest.raises(LocalProtocolError, match="ended 2 bytes before"):
        sent(body)
    path.unlink()
    with pytest.raises(LocalProtocolError, match="cannot read"):
        sent(body)


def test_an_upload_from_disk_is_never_in_memory(tmp_path):
    with tempfile.NamedTemporaryFile(dir=tmp_path) as file:
        file.truncate(200 << 20)
        body = encode_body(files={"f": Path(file.name)})
        assert body is not None
        assert body.length is not None
        tracemalloc.start()
        try:
            assert sum(map(len, body.chunks())) == body.length > 200 << 20
            assert tracemalloc.get_traced_memory()[1] < 2 << 20
        finally:
            tracemalloc.stop()


# -- bodies of answers


class Counted(bytes):
    """Counts the bytes that are copied of it."""

    copied = 0

    def __getitem__(self, key):
        part = super().__getitem__(key)
        Counted.copied += len(part)
        return Counted(part)


@pytest.mark.parametrize("held", [True, False])
@pytest.mark.parametrize("read", [iter, lambda response: iter(lambda: response.read1(10), b"")])
def test_a_body_is_copied_once_however_small_the_parts_that_are_read(held, read):
    data = Counted(b"123456789\n" * 2000)
    source = None if held else HeldBody(data)
    response = Response(Request("GET", "http://test/"), 200, "", [], source, data if held else None)
    Counted.copied = 0
    assert b"".join(read(response)) == data
    assert Counted.copied <= len(data)


# -- queries


@pytest.mark.parametrize(
    ("url", "params", "query"),
    [
        ("http://h/", {"a": 1, "b": ["x", "y"], "c": None}, "a=1&b=x&b=y"),
        ("http://h/?old=1", {"a": "b c"}, "old=1&a=b+c"),
        ("http://h/", "raw=%20&x=ö y", "raw=%20&x=%C3%B6%20y"),
        ("http://h/", "?a=1", "a=1"),
        ("http://h/", b"a=1", "a=1"),
        ("http://h/", "a=é".encode(), "a=%C3%A9"),
        ("http://h/?a", {}, "a"),
        ("http://h/", {}, None),
        ("http://h/", [("a", "1"), ("a", "2")], "a=1&a=2"),
        ("http://h/", {"q": "a&b=c#d"}, "q=a%26b%3Dc%23d"),
    ],
)
def test_params_are_added_to_the_query(url, params, query):
    assert add_params(URL.parse(url), params).query == query


@given(st.lists(st.tuples(st.text(), st.text())))
def test_a_form_is_read_as_it_was_written(pairs):
    pairs = [
        (name.encode("utf-8", "replace").decode(), value.encode("utf-8", "replace").decode())
        for name, value in pairs
    ]
    assert parse_qsl(urlencoded(pairs), keep_blank_values=True) == pairs


@pytest.mark.parametrize("params", [3, [1], [("a", "b", "c")], ["ab"]])
def test_params_that_cannot_be_are_an_error(params):
    with pytest.raises(ConfigError, match="expected a mapping or pairs"):
        add_params(URL.parse("http://h/"), params)
