"""Path patterns, and the segments of a path."""

from __future__ import annotations

import time
from urllib.parse import quote
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.errors import ConfigError
from portico.web.handlers.pattern import Pattern, Segment, split_raw


@pytest.mark.parametrize(
    ("raw", "segments"),
    [
        ("/", [""]),
        ("/a/b", ["a", "b"]),
        ("/a/b/", ["a", "b", ""]),
        ("//a", ["", "a"]),
        ("/a%2Fb/c", ["a/b", "c"]),
        ("/a%2fb", ["a/b"]),
        ("/%61", ["a"]),
        ("/a%2525", ["a%25"]),  # decoded once
        ("/gr%C3%B6%C3%9Fe", ["größe"]),
        ("/gr\u00c3\u00b6", ["grö"]),  # raw bytes, as latin-1 text
        ("/a+b", ["a+b"]),
        ("/%ff", None),
        ("/%c3", None),
        ("/%zz", None),
        ("/%", None),
        ("/%4", None),
        ("/% 4", None),
        ("/%+4", None),
        ("/..", None),
        ("/a/%2e%2E/b", None),
        ("/.", None),
        ("/%2e", None),
        ("/a%00b", None),
        ("/...", ["..."]),
    ],
)
def test_a_path_is_split_before_it_is_decoded(raw, segments):
    assert split_raw(raw) == segments


@pytest.mark.parametrize(
    ("pattern", "text", "values"),
    [
        ("{a}", "x", ["x"]),
        ("{a}", "x/y", ["x/y"]),
        ("{a}", "", None),
        ("{a}.json", "b.json", ["b"]),
        ("{a}.json", "b.json.json", ["b.json"]),
        ("{a}.json", ".json", None),
        ("v{n:int}", "v12", [12]),
        ("{n:int}", "0", [0]),
        ("{n:int}", "-5", [-5]),
        ("{n:int}", "007", None),
        ("{n:int}", "-0", None),
        ("{n:int}", "+5", None),
        ("{n:int}", "1_0", None),
        ("{n:int}", "٣", None),
        ("{n:int}", "9" * 19, None),
        ("{n:int}", "5\n", None),
        ("{a}-{n:int}", "x-y-5", ["x-y", 5]),
        ("{a}-{b}", "x-y-z", ["x", "y-z"]),
        ("{u:uuid}", "6BA7b810-9dad-11d1-80b4-00c04fd430c8", [UUID("6ba7b810-9dad-11d1-80b4-00c04fd430c8")]),
        ("{u:uuid}", "{6ba7b810-9dad-11d1-80b4-00c04fd430c8}", None),
        ("a.{x}", "abx", None),
        ("{a}", "line\nend", ["line\nend"]),
    ],
)
def test_a_segment_reads_its_parameters(pattern, text, values):
    assert Segment(pattern).read(text) == values


@pytest.mark.parametrize(
    "text",
    [
        "a",
        "",
        "/a?b",
        "/a#b",
        "/%41",
        "/{}",
        "/{1a}",
        "/{a b}",
        "/{class}",
        "/{a:float}",
        "/{a:}",
        "/{a",
        "/a}",
        "/{a}{b}",
        "/{a}-{b}-{c}",
        "/{a}/{a}",
        "/{p:path}/x",
        "/x{p:path}",
        "//a",
        "/a//b",
        "/..",
        "/./a",
    ],
)
def test_a_pattern_that_cannot_work_is_refused(text):
    with pytest.raises(ConfigError):
        Pattern(text)


def test_a_path_is_made_with_its_values_encoded():
    pattern = Pattern("/größe/{a}/{n:int}.json/{p:path}")
    assert (
        pattern.path({"a": "a/b c?ü%", "n": 5, "p": "x y/z/"})
        == "/gr%C3%B6%C3%9Fe/a%2Fb%20c%3F%C3%BC%25/5.json/x%20y/z/"
    )


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"a": "x"},
        {"a": "", "p": "x"},
        {"a": "..", "p": "x"},
        {"a": "x\0", "p": "x"},
        {"a": "x", "p": ""},
        {"a": "x", "p": "/etc/passwd"},
        {"a": "x", "p": "a/../b"},
        {"a": "x", "p": "a//b"},
    ],
)
def test_no_path_is_made_that_would_not_be_read_so(values):
    with pytest.raises(ConfigError):
        Pattern("/{a}/{p:path}").path(values)


def test_values_with_braces_are_values():
    assert Pattern("/{a}.{b}").path({"a": "{b}", "b": "{a}"}) == "/%7Bb%7D.%7Ba%7D"


@given(st.text(min_size=1))
def test_what_is_written_is_read(text):
    pattern = Pattern("/{a}")
    try:
        path = pattern.path({"a": text})
    except ConfigError:
        assert text in (".", "..") or any(char == "\0" or "\ud800" <= char <= "\udfff" for char in text)
        return
    assert split_raw(path) == [text]


def test_a_hostile_segment_costs_no_time():
    segment = Segment("{a}-{b}x")
    began = time.process_time()
    assert segment.read("-" * 8000) is None
    assert segment.read("-" * 250) is None
    assert time.process_time() - began < 1


def test_quoting_leaves_what_a_path_may_hold():
    assert Pattern("/{a}").path({"a": "a:b@c!$&'()*+,;=~"}) == "/" + quote(
        "a:b@c!$&'()*+,;=~", safe=":@!$&'()*+,;=~"
    )
