import pytest

from portico.errors import ConfigError
from portico.web.types import UNKNOWN, media_type, table_of


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("index.html", "text/html; charset=utf-8"),
        ("app.js", "text/javascript; charset=utf-8"),
        ("app.mjs", "text/javascript; charset=utf-8"),
        ("style.css", "text/css; charset=utf-8"),
        ("notes.txt", "text/plain; charset=utf-8"),
        ("README.md", "text/markdown; charset=utf-8"),
        ("data.json", "application/json"),
        ("app.webmanifest", "application/manifest+json"),
        ("code.wasm", "application/wasm"),
        ("font.woff2", "font/woff2"),
        ("logo.svg", "image/svg+xml"),
        ("a.webp", "image/webp"),
        ("a.avif", "image/avif"),
        ("a.tar.gz", "application/gzip"),
        ("LOUD.HTML", "text/html; charset=utf-8"),
    ],
)
def test_endings_have_the_types_browsers_expect(name, kind):
    assert media_type(name.encode()) == kind


@pytest.mark.parametrize("name", [b"", b"README", b".html", b"a.", b"a.unheard-of", b"a.\xff\xfe"])
def test_a_name_without_a_known_ending_is_bytes(name):
    assert media_type(name) == UNKNOWN


def test_own_endings_come_before_the_table_and_text_gets_its_charset():
    table = table_of({".Foo": "text/x-foo", ".html": "application/x-mine"})
    assert media_type(b"a.foo", table) == "text/x-foo; charset=utf-8"
    assert media_type(b"a.html", table) == "application/x-mine"
    assert media_type(b"a.html") == "text/html; charset=utf-8"


@pytest.mark.parametrize(
    ("ending", "kind"),
    [("foo", "a/b"), (".a.b", "a/b"), (".a", "text"), (".a", "a/b\r\nX: y"), (".a", "é/b")],
)
def test_what_is_no_ending_or_no_type_is_refused(ending, kind):
    with pytest.raises(ConfigError):
        table_of({ending: kind})
