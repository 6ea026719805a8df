"""Where keys stand in a TOML file."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.web.config.lines import Lines

FILE = Path(__file__).with_name("lines.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("path", "marker"),
    [
        (("listen",), "listen ="),
        (("listen", 0), "listen ="),
        (("listen", 1), '"""two'),
        (("listen", 2), "'three'"),
        (("quoted key",), '"quoted key"'),
        (("a",), "a.b.'c d'"),
        (("a", "b", "c d"), "a.b.'c d'"),
        (("tls",), "[tls]"),
        (("tls", "certificate"), "certificate"),
        (("tls", "names", "a.example", "key"), "names ="),
        (("tls", "names", "b", 1, "c"), "names ="),
        (("tls", "missing"), "[tls]"),
        (("mount",), "[[mount]] # first"),
        (("mount", 0), "[[mount]] # first"),
        (("mount", 0, "path"), 'path = "/a"'),
        (("mount", 0, "limits", "body"), "limits.body"),
        (("mount", 0, "headers", "set", "X-A"), "headers ="),
        (("mount", 0, "auth"), "[mount.auth]"),
        (("mount", 0, "auth", "realm"), "realm ="),
        (("mount", 0, "auth", "users", "ada"), "users.ada"),
        (("mount", 1, "path"), 'path = """a'),
        (("mount", 1, "inner", 0, "x"), "x = 1"),
        (("mount", 1, "inner", 1, "x"), "x = 2979"),
        (("sp ace", "x", "y"), "y = -1.5e3"),
    ],
)
def test_each_key_is_found_in_its_line(path, marker):
    lines = FILE.splitlines()
    assert marker in lines[Lines(FILE).of(path) - 1]


def test_the_file_is_toml_and_nothing_has_no_line():
    assert tomllib.loads(FILE)["mount"][1]["inner"][1]
    assert Lines(FILE).of(("nothing",)) == 0
    assert Lines("").of(("a",)) == 0
    assert Lines("a = 1").of(("a",)) == 1
    assert Lines("\n\na = [\n]\nb=2").of(("b",)) == 5


KEYS = st.sampled_from(["a", "b-c", '"d e"', "'f.g'", '"h\\"#"'])
VALUES = st.recursive(
    st.sampled_from(
        [
            *("1", "true", '"x"', "'y'", '"]#"', '"""z\n"""', "'''\n[w]\n'''", r'"\\"', "1979-05-27"),
            *('""', "''", '""""""'),
        ]
    ),
    lambda inner: st.lists(inner, max_size=3).map(lambda items: "[" + ",\n".join(items) + "]"),
    max_leaves=6,
)


@given(st.lists(st.tuples(KEYS, VALUES), max_size=6), st.booleans())
def test_every_key_of_any_file_has_the_line_where_it_was_written(pairs, spaced):
    text, expected = "", {}
    for number, (name, value) in enumerate(pairs):
        joint = " = " if spaced else "="
        text += f"[[t]]\n{name}{joint}{value} # end\n"
        (key,) = tomllib.loads(f"{name} = 1")
        expected[("t", number, key)] = text[: -len(f"{name}{joint}{value} # end\n")].count("\n") + 1
    tomllib.loads(text)
    lines = Lines(text)
    assert {path: lines.of(path) for path in expected} == expected
