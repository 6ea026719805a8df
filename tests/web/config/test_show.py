"""Settings are shown whole, can be read again, and give no secret away."""

from __future__ import annotations

import json
import tomllib
from dataclasses import fields, replace
from pathlib import Path

import pytest

from portico.limits import Limits
from portico.web.config import Settings, read_file
from portico.web.config.mounts import KINDS
from portico.web.config.reading import keys_of
from portico.web.config.show import as_data, as_toml
from portico.web.passwords import hash_password

FILE = """
listen = ["https://:8443"]
engine = "events:2"
workers = 3
[tls]
certificate = "cert.pem"
[tls.names."other.example"]
certificate = "cert.pem"
[limits]
body = "none"
idle = 5
[admission]
deny = ["10.0.0.0/8", "unix"]
[headers]
set = { "X-Frame-Options" = "a \\"quoted\\" \\\\ one" }
add = { Link = ["</a>"] }
[[mount]]
static = "site"
types = { ".foo" = "text/x-foo" }
cache = { "*.html" = "no-cache", "assets/*" = "max-age=60" }
pages = { 404 = "404.html" }
memory = 0
compress = ["gzip"]
auth = false
[mount.headers.set]
Cache-Control = "no-store"
[[mount]]
host = ["*.example.org"]
path = "/gr%C3%BC%C3%9Fe"
wsgi = "shop:app"
environ = { SECRET = "${TOKEN}", PLAIN = "$${x}" }
limits = { body = 10, request = "none" }
[[mount]]
path = "/cgi"
cgi = "site"
interpreters = { ".py" = "python3" }
[[mount]]
path = "/old"
redirect = "/new{path}"
[[mount]]
path = "/api"
proxy = ["http://127.0.0.1:9001", "unix:/app.sock"]
deadlines = { connect = 1, first_byte = "none" }
[[mount]]
path = "/health"
respond = 200
body = "one\\ntwo\\t\\u0007"
"""


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("TOKEN", "the-secret-itself")
    (tmp_path / "site").mkdir()
    (tmp_path / "cert.pem").write_text("")
    return read(tmp_path, FILE)


def read(folder: Path, text: str) -> Settings:
    (folder / "portico.toml").write_text(text, encoding="utf-8")
    return read_file(str(folder / "portico.toml"))[0]


def test_what_is_shown_can_be_read_and_is_the_same(settings: Settings, tmp_path: Path) -> None:
    shown = as_toml(settings)
    again = read(tmp_path, shown)
    assert replace(again, limits={}) == replace(settings, limits={})
    assert again.bounds == settings.bounds
    assert as_toml(again) == shown


def test_every_default_is_there(settings: Settings) -> None:
    shown = as_toml(settings)
    for field in fields(Limits):
        assert f"\n{field.name} = " in shown
    for table in (Settings, *KINDS.values()):
        for name, key in keys_of(table).items():
            if not isinstance(key.default, dict) and name not in ("auth", "handler", "program"):
                assert name in shown
    assert set(as_data(settings)) == set(keys_of(Settings))


def test_secrets_are_hidden_and_a_file_without_them_lets_nobody_in(tmp_path: Path) -> None:
    digest = hash_password("x", ln=4, r=1, p=1)
    settings = read(
        tmp_path, f"[auth]\nusers.ada = '{digest}'\n[[mount]]\nrespond = 200\nauth.users.bob = '{digest}'\n"
    )
    for shown in (as_toml(settings), json.dumps(as_data(settings))):
        assert "$scrypt" not in shown
        assert shown.count("hidden") == 2
    tomllib.loads(as_toml(settings))
    with pytest.raises(Exception, match="the hash is not shown"):
        read(tmp_path, as_toml(settings))


def test_what_came_from_the_environment_is_shown_as_it_was_written(settings: Settings) -> None:
    for shown in (as_toml(settings), json.dumps(as_data(settings))):
        assert "the-secret-itself" not in shown
        assert "${TOKEN}" in shown
