"""The grammar of ``portico fetch``: words, items, nested names, as HTTPie reads them."""

from __future__ import annotations

import json

import pytest

from portico.cli.fetch_items import parse_item
from portico.cli.fetch_nested import nested
from portico.cli.fetch_request import read_words, wanted
from portico.cli.typed_url import full_url
from portico.errors import ConfigError

OPTIONS = {
    "raw": None,
    "form": False,
    "multipart": False,
    "ignore_stdin": True,
    "chunked": False,
    "timeout": None,
    "default_scheme": None,
}


@pytest.mark.parametrize(
    ("text", "name", "separator", "value"),
    [
        ("a=b", "a", "=", "b"),
        ("a=", "a", "=", ""),
        ("=b", "", "=", "b"),
        ("a==b", "a", "==", "b"),
        ("a===b", "a", "==", "=b"),
        ("a=b=c", "a", "=", "b=c"),
        ("a:b=c", "a", ":", "b=c"),
        ("a=b:c", "a", "=", "b:c"),
        ("a:=1", "a", ":=", "1"),
        ("a:==1", "a", ":=", "=1"),
        ("a:=@f", "a", ":=@", "f"),
        ("a=@f", "a", "=@", "f"),
        ("a==@f", "a", "==@", "f"),
        ("a:@f", "a", ":@", "f"),
        ("a@f", "a", "@", "f"),
        ("@f", "", "@", "f"),
        ("a@f;type=x/y", "a", "@", "f;type=x/y"),
        ("a@=b", "a", "@", "=b"),
        ("H:", "H", ":", ""),
        ("H;", "H", ";", ""),
        ("H: v", "H", ":", " v"),
        ("H:http://x/", "H", ":", "http://x/"),
        (r"a\=b=c", "a=b", "=", "c"),
        (r"a=b\=c", "a", "=", "b=c"),
        (r"a\:b=c", "a:b", "=", "c"),
        (r"a\@b=c", "a@b", "=", "c"),
        (r"a\;b=c", "a;b", "=", "c"),
        (r"a\=\==c", "a==", "=", "c"),
        (r"a\b=c", r"a\b", "=", "c"),
        (r"a=\n", "a", "=", r"\n"),
        (r"a\\=b", r"a\\", "=", "b"),
        (r"a\\\=b=c", r"a\\=b", "=", "c"),
        (r"a=b\\\=c", "a", "=", r"b\\=c"),
        (r"a[b]\==c", "a[b]=", "=", "c"),
        ("ä=ö", "ä", "=", "ö"),
    ],
)
def test_an_item_is_taken_apart_at_its_first_separator(text, name, separator, value):
    assert tuple(parse_item(text)) == (name, separator, value, text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("abc", "expected NAME=TEXT"),
        ("", "expected NAME=TEXT"),
        (r"a\=b", "expected NAME=TEXT"),
        ("H;x", "empty header"),
        (":x", "name of the header is missing"),
        (";", "name of the header is missing"),
    ],
)
def test_what_is_no_item_is_refused(text, says):
    with pytest.raises(ConfigError, match=says):
        parse_item(text)


@pytest.mark.parametrize(
    ("fields", "document"),
    [
        ([("a", 1)], {"a": 1}),
        ([("a", 1), ("a", 2)], {"a": 2}),
        ([("", 1)], {"": 1}),
        ([("a[b]", 1)], {"a": {"b": 1}}),
        ([("a[b][c]", 1), ("a[b][d]", 2)], {"a": {"b": {"c": 1, "d": 2}}}),
        ([("a[]", 1), ("a[]", 2)], {"a": [1, 2]}),
        ([("a[1]", 1)], {"a": [None, 1]}),
        ([("a[1]", 1), ("a[0]", 2)], {"a": [2, 1]}),
        ([("a[b][]", 1), ("a[b][]", 2), ("a[c]", 3)], {"a": {"b": [1, 2], "c": 3}}),
        ([("a[][b]", 1), ("a[][b]", 2)], {"a": [{"b": 1}, {"b": 2}]}),
        ([("a[0][b]", 1), ("a[0][c]", 2)], {"a": [{"b": 1, "c": 2}]}),
        ([("[]", 1), ("[]", 2)], [1, 2]),
        ([("[1]", 1)], [None, 1]),
        ([("[0][a]", 1)], [{"a": 1}]),
        ([("[a]", 1)], None),
        ([("1", 1)], {"1": 1}),
        ([(r"\1", 1)], {"1": 1}),
        ([(r"a[\1]", 1)], {"a": {"1": 1}}),
        ([(r"a\[b\]", 1)], {"a[b]": 1}),
        ([(r"a[\[]", 1)], {"a": {"[": 1}}),
        ([(r"a\\b", 1)], {r"a\b": 1}),
        ([("a[]", {}), ("a[0][x]", 1)], {"a": [{"x": 1}]}),
    ],
)
def test_names_are_paths(fields, document):
    if document is None:
        with pytest.raises(ConfigError, match="brackets are a path"):
            nested(fields)
    else:
        assert nested(fields) == document


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["a[b"], "brackets are a path"),
        (["a]b"], "brackets are a path"),
        (["a[]b"], "brackets are a path"),
        (["a[[b]]"], "brackets are a path"),
        (["[]a"], "brackets are a path"),
        (["a", "a[b]"], "stands already"),
        (["a[b]", "a[]"], "a list is needed"),
        (["a[]", "a[b]"], "an object is needed"),
        (["[]", "a"], "an object is needed"),
        (["a[-1]"], "between 0 and 10000"),
        (["a[999999999999]"], "between 0 and 10000"),
        (["a[" + "9" * 5000 + "]"], "between 0 and 10000"),
    ],
)
def test_paths_that_cannot_be_are_refused(names, says):
    with pytest.raises(ConfigError, match=says):
        nested([(name, "x") for name in names])


@pytest.mark.parametrize(
    ("text", "url"),
    [
        (":8000/x", "http://localhost:8000/x"),
        (":/x", "http://localhost/x"),
        (":", "http://localhost"),
        (":?q", "http://localhost?q"),
        ("localhost", "http://localhost"),
        ("LOCALHOST:80/x", "http://LOCALHOST:80/x"),
        ("app.localhost/x", "http://app.localhost/x"),
        ("127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("127.1.2.3", "http://127.1.2.3"),
        ("[::1]:8000/x", "http://[::1]:8000/x"),
        ("me:secret@localhost/x", "http://me:secret@localhost/x"),
        ("//example.org/x", "https://example.org/x"),
        ("http:/x", "http:/x"),
        ("http:8000", "https://http:8000"),
        ("[2001:db8::1]/x", "https://[2001:db8::1]/x"),
        ("example.org", "https://example.org"),
        ("example.org:8000/x", "https://example.org:8000/x"),
        ("localhost.example.org/", "https://localhost.example.org/"),
        ("localhost@example.org/", "https://localhost@example.org/"),
        ("example.org/?u=localhost", "https://example.org/?u=localhost"),
        ("127.0.0.1.example.org", "https://127.0.0.1.example.org"),
        ("[::2]/x", "https://[::2]/x"),
        ("://example.org", "https://example.org"),
        ("http://example.org", "http://example.org"),
        ("HTTP://example.org", "HTTP://example.org"),
        ("http+unix://%2Frun%2Fa/x", "http+unix://%2Frun%2Fa/x"),
        ("data:,x", "data:,x"),
        ("file:///x", "file:///x"),
    ],
)
def test_urls_may_be_short(text, url):
    assert full_url(text) == url


def test_the_scheme_of_short_urls_can_be_chosen():
    assert full_url("example.org", "http") == "http://example.org"
    assert full_url(":8000", "https") == "https://localhost:8000"


@pytest.mark.parametrize(
    ("words", "read"),
    [
        ("u", (None, "u", [])),
        ("get u", ("GET", "u", [])),
        ("purge u", ("PURGE", "u", [])),
        ("VERSION-CONTROL u a=1", ("VERSION-CONTROL", "u", ["a=1"])),
        ("localhost a=1", (None, "localhost", ["a=1"])),
        (":8000 a=1", (None, ":8000", ["a=1"])),
        ("example.org a=1 b=2", (None, "example.org", ["a=1", "b=2"])),
    ],
)
def test_a_method_may_come_first(words, read):
    assert read_words(words.split()) == read


@pytest.mark.parametrize(
    ("words", "method"),
    [("u", "GET"), (":1 H:x q==1", "GET"), (":1 a=1", "POST"), (":1 a:=1", "POST"), ("PUT u a=1", "PUT")],
)
def test_the_method_follows_from_the_body(words, method):
    assert wanted(words.split(), OPTIONS).method == method


@pytest.mark.parametrize(
    ("items", "options", "kind", "body"),
    [
        (["a=1", "n:=3"], {}, "application/json", b'{"a": "1", "n": 3}'),
        (["n:=1.50", "z:=null"], {}, "application/json", b'{"n": 1.5, "z": null}'),
        (['o:={"k": [1, "2"]}'], {}, "application/json", b'{"o": {"k": [1, "2"]}}'),
        (["a=b c", "a=ö&"], {"form": True}, "application/x-www-form-urlencoded", b"a=b+c&a=%C3%B6%26"),
        (["a[b]=1"], {"form": True}, "application/x-www-form-urlencoded", b"a%5Bb%5D=1"),
        (["n:=3", "t:=true"], {"form": True}, "application/x-www-form-urlencoded", b"n=3&t=true"),
        ([], {"raw": "hé"}, "application/json", "hé".encode()),
        ([], {"raw": "a=b", "form": True}, "application/x-www-form-urlencoded", b"a=b"),
        (["a=@text"], {}, "application/json", rb'{"a": "h\u00e9llo\n"}'),
        (["a:=@json"], {}, "application/json", b'{"a": {"k": 1}}'),
        (["@text"], {}, "application/octet-stream", "héllo\n".encode()),
        (["@text;type=x/y"], {}, "x/y", "héllo\n".encode()),
    ],
)
def test_a_body_is_made_of_items(items, options, kind, body, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text").write_text("héllo\n", encoding="utf-8")
    (tmp_path / "json").write_text('{"k": 1}')
    want = wanted([":8000", *items], OPTIONS | options)
    assert dict(want.own)["Content-Type"] == kind
    assert b"".join(want.body.chunks()) == body
    assert want.method == "POST"


def test_what_is_in_files_becomes_headers_and_parameters(tmp_path):
    (tmp_path / "f").write_text("value\n")
    want = wanted([":8000", f"H:@{tmp_path}/f", f"q==@{tmp_path}/f", "E;", "G:"], OPTIONS)
    assert want.fields() == [("H", "value"), ("E", ""), ("G", None)]
    assert want.params == [("q", "value")]


def test_files_make_a_form_of_parts(tmp_path):
    (tmp_path / "b.png").write_bytes(b"\x89PNG\0")
    want = wanted([":8000", "a=1", f"f@{tmp_path}/b.png", f"g@{tmp_path}/b.png;type=x/y"], OPTIONS)
    body = b"".join(want.body.chunks())
    assert len(body) == want.body.length
    assert b'name="a"\r\n\r\n1\r\n' in body
    assert b'name="f"; filename="b.png"\r\nContent-Type: image/png\r\n\r\n\x89PNG\0\r\n' in body
    assert b'name="g"; filename="b.png"\r\nContent-Type: x/y\r\n\r\n' in body


@pytest.mark.parametrize(
    ("items", "options", "says"),
    [
        (["a:=x"], {}, "no JSON"),
        (["a:="], {}, "no JSON"),
        (["a:=NaN"], {}, "no JSON"),
        (["a:=" + "[" * 100_000], {}, "no JSON"),
        (["a:=[1]"], {"form": True}, "a form has texts"),
        (["a:=null"], {"form": True}, "a form has texts"),
        (["a=1"], {"raw": "x"}, "one body"),
        (["a=@none"], {}, "cannot read 'none'"),
        (["a=@/"], {}, "cannot read '/'"),
        (["f@none"], {}, "cannot read 'none'"),
        (["f@/"], {}, "cannot read '/'"),
        (["@/bin/sh", "a=1"], {}, "the whole body"),
        (["a=@/bin/sh"], {}, "no text in UTF-8"),
    ],
)
def test_items_that_cannot_be_sent_are_refused(items, options, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=says):
        wanted([":8000", *items], OPTIONS | options)


def test_nested_json_is_what_is_sent():
    want = wanted([":8000", "a[b][]:=1", "a[b][]=x", "c[1]:=true"], OPTIONS)
    assert json.loads(b"".join(want.body.chunks())) == {"a": {"b": [1, "x"]}, "c": [None, True]}
