"""``portico.toml`` is read strictly, and all that is wrong is told at once, with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from portico.errors import ConfigError
from portico.web.config import Problems, read_file
from portico.web.config.mount_kinds import CGIMount, RedirectMount, StaticMount, WSGIMount
from portico.web.config.mounts import KINDS
from portico.web.config.reading import keys_of
from portico.web.config.settings import Settings
from portico.web.passwords import hash_password


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "site").mkdir()
    (tmp_path / "cgi-bin").mkdir()
    (tmp_path / "users").write_text("")
    return tmp_path


def read(folder: Path, text: str) -> Settings:
    (folder / "portico.toml").write_text(text, encoding="utf-8")
    return read_file(str(folder / "portico.toml"))[0]


def wrong(folder: Path, text: str) -> list[str]:
    with pytest.raises(Problems) as caught:
        read(folder, text)
    return [f"{each.line}: {each}" for each in caught.value.problems]


def test_an_empty_file_is_all_defaults(folder: Path) -> None:
    assert read(folder, "") == Settings()


def test_what_a_file_says(folder: Path) -> None:
    settings = read(
        folder,
        f"""
        listen = ["https://:8443", "http://:8080"]
        engine = "events"
        workers = 2
        max_memory = "300M"
        grace = 5
        [limits]
        body = "100M"
        request = 30
        [admission]
        allow = ["10.0.0.0/8"]
        rate = "10/s:20"
        [headers.set]
        X-Frame-Options = "DENY"
        [headers.add]
        Link = ["</a>", "</b>"]
        [auth]
        realm = "here"
        users_file = "users"
        [[mount]]
        static = "site"
        auth = false
        [[mount]]
        path = "/app"
        host = "example.org"
        wsgi = "shop:app"
        early_hints = true
        threads = 4
        limits = {{ body = "none" }}
        auth.users.ada = "{hash_password("x", ln=4, r=1, p=1)}"
        [[mount]]
        path = "/cgi-bin"
        host = ["a.example", "*.b.example"]
        cgi = "cgi-bin"
        [[mount]]
        path = "/old"
        redirect = "/new{{path}}"
        """,
    )
    assert settings.listen == ("https://:8443", "http://:8080")
    assert (settings.max_memory, settings.grace, settings.workers) == (300 << 20, 5.0, 2)
    assert (settings.bounds.body, settings.bounds.request) == (100 << 20, 30)
    assert settings.admission.admission() is not None
    static, app, cgi, redirect = settings.mount
    assert isinstance(static, StaticMount)
    assert static.static == str(folder / "site")
    assert static.auth is False
    assert isinstance(app, WSGIMount)
    assert (app.host, app.threads, app.limits) == (("example.org",), 4, {"body": None})
    assert app.make(lambda mark, name: print).app is not print  # but what gives it early hints
    assert isinstance(cgi, CGIMount)
    assert cgi.host == ("a.example", "*.b.example")
    assert isinstance(redirect, RedirectMount)
    assert settings.auth is not None
    assert settings.auth.users_file == str(folder / "users")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("lissten = 1", "1: lissten: unknown key; did you mean listen?"),
        ("xyzzy = 1", "1: xyzzy: unknown key; there are: admission, auth,"),
        ("\n\nlisten = 80", "3: listen: expected a text in quotes, not 80"),
        ("listen = [\n'http://:80',\n'http://:x']", "3: listen[2]: "),
        ("engine = 'thread'", "1: engine: no engine is called 'thread'"),
        ("workers = 0", "1: workers: expected a whole number from 1 up, not 0"),
        ("workers = true", "1: workers: expected a whole number from 1 up, not true"),
        ("grace = nan", "1: grace: expected a number from 0 to 1e+06, not nan"),
        ("grace = '10'", "1: grace: expected a number"),
        ("max_memory = '3 GB'", '1: max_memory: expected a size, as in 1000 or "300M"'),
        ("tls = 1", "1: tls: expected a table, not 1"),
        ("[tls]\nminimum = '1.1'", "2: tls.minimum: '1.1' cannot stand here; "),
        ("[tls]\ncertificate = 'none.pem'", "2: tls.certificate: there is no "),
        ("[tls.names.'a.example']", '1: tls.names."a.example": certificate is missing'),
        ("[limits]\nbdy = 1", "2: limits.bdy: no limit is called 'bdy'; did you mean body?"),
        ("[limits]\nidle = 'none'", "2: limits.idle: expected a number above zero, not 'none'"),
        ("limits.headers = 1.5", "1: limits.headers: expected a whole number above zero, not 1.5"),
        ("[admission]\nallow = ['10.0.0.1/8']", "2: admission.allow[1]: "),
        ("[admission]\nrate = 'often'", "2: admission.rate: "),
        ("[headers]\nset.Connection = 'close'", "2: headers.set.Connection: Connection is the server's own"),
        ("[headers]\nadd.A = ['x', \"y\\nz\"]", "2: headers.add.A[2]: expected one line"),
        ("[headers]\nremove = ['Server']", "1: headers: Server is added by the server"),
        ("[auth]\nusers.ada = 'secret'", "2: auth.users.ada: not a hash that is known here"),
        ("[auth]\nusers.ada = 'hidden'", "2: auth.users.ada: the hash is not shown"),
        ("[auth]\nusers_file = 'none'", "2: auth.users_file: there is no "),
        ("[[mount]]\nstatic = 'sight'", "2: mount[1].static: there is no "),
        ("[[mount]]\npath = '/x'", "1: mount[1]: nothing says what is served: give one of static, cgi, wsgi"),
        ("[[mount]]\nstatic='site'\nwsgi='a:b'", "1: mount[1]: static and wsgi in one mount"),
        ("[[mount]]\nstatic='site'\npath='x'", "3: mount[1].path: the mount 'x' must begin with a slash"),
        ("[[mount]]\nstatic='site'\nhost=['a:80']", "3: mount[1].host[1]: "),
        ("[[mount]]\nstatic='site'\nlisting='yes'", "3: mount[1].listing: expected true or false, not 'yes'"),
        ("[[mount]]\nstatic='site'\nstream=true", "3: mount[1].stream: belongs to mounts of the kind wsgi"),
        ("[[mount]]\nstatic='site'\nlistin=true", "3: mount[1].listin: unknown key; did you mean listing?"),
        ("[[mount]]\nstatic='site'\nauth=true", "3: mount[1].auth: expected a table of users, or false"),
        ("[[mount]]\nstatic='site'\nlimits.idle=3", "3: mount[1].limits.idle: is the server's as a whole"),
        ("[[mount]]\nstatic='site'\ncompress='gzip'", "3: mount[1].compress: expected a list"),
        ("[[mount]]\nstatic='site'\ncompress=['lzma']", "3: mount[1].compress: no content coding is called"),
        ("[[mount]]\nstatic='site'\npages={ 200 = 'x' }", "3: mount[1].pages.200: is not the status of an"),
        ("[[mount]]\nstatic='site'\ncache={ '*' = 3 }", '3: mount[1].cache."*": expected a text'),
        ("[[mount]]\nstatic='site'\nmemory=-1", "3: mount[1].memory: expected a size"),
        ("[[mount]]\nproxy='ftp://x'", "2: mount[1].proxy: "),
        ("[[mount]]\nproxy='http://x'\ndeadlines.conect=3", "3: mount[1].deadlines.conect: unknown key; did"),
        ("[[mount]]\nproxy='http://x'\ndeadlines.whole=0", "3: mount[1].deadlines.whole: expected a number"),
        ("[[mount]]\nproxy='http://x'\nbalance='fair'", "3: mount[1].balance: 'fair' cannot stand here"),
        ("[metrics]\nbuckets=[2, 1]", "2: metrics.buckets: "),
        ("[forwarded]\ntrusted=['everybody']", "2: forwarded.trusted[1]: "),
        ("[log]\nsample=2", "2: log.sample: expected a number from"),
        ("[[mount]]\nredirect='//x'", "2: mount[1].redirect: redirect '//x': expected a path"),
        ("[[mount]]\nredirect='/x'\nstatus=200", "3: mount[1].status: 200 is no status of a redirect"),
        ("[[mount]]\nrespond=99", "2: mount[1].respond: expected a whole number from 200 to 599"),
        ("mount = 1", "1: mount: expected a list in brackets"),
        ("mount = [1]", "1: mount[1]: expected a table, not 1"),
        ("a = ", "1: not TOML: "),
        ("a = 1\nb = [1,\n", "2: not TOML: "),
        ("a = 1\na = 2", "2: not TOML: "),
    ],
)
def test_a_mistake_has_its_line_its_key_and_what_to_do(folder: Path, text: str, says: str) -> None:
    found = wrong(folder, text)
    assert len(found) == 1, found
    assert found[0].startswith(says), found


def test_all_mistakes_are_told_in_the_order_of_their_lines(folder: Path) -> None:
    text = "[[mount]]\npth = 3\n[limits]\nbdy = 1\nhead = 'x'\n[log]\nlevel = 'loud'\n"
    assert [each.partition(":")[0] for each in wrong(folder, text)] == ["1", "2", "4", "5", "7"]


def test_a_file_that_is_not_text_or_not_there(folder: Path) -> None:
    (folder / "portico.toml").write_bytes(b"a = 1\nb = '\xff'\n")
    with pytest.raises(Problems, match=r"portico\.toml:2: not UTF-8"):
        read_file(str(folder / "portico.toml"))
    with pytest.raises(ConfigError, match=r"cannot read .*none\.toml: No such file"):
        read_file(str(folder / "none.toml"))
    with pytest.raises(ConfigError, match="cannot read"):
        read_file(str(folder))
    (folder / "portico.toml").write_bytes(b"#" * (1 << 20) + b"#")
    with pytest.raises(Problems, match="larger than"):
        read_file(str(folder / "portico.toml"))


@pytest.mark.parametrize("text", ["a = " + "[" * 5000, "a = " + "{a = " * 5000, f"[{'.'.join('a' * 5000)}]"])
def test_what_is_nested_too_deeply_is_a_mistake(folder: Path, text: str) -> None:
    assert "nested too deeply" in str(wrong(folder, text))


def test_a_byte_order_mark_and_other_line_ends_are_taken(folder: Path) -> None:
    (folder / "portico.toml").write_bytes(b"\xef\xbb\xbf# first\r\ngrace = 3\r\nlog = 1\r\n")
    with pytest.raises(Problems, match=r"toml:3: log: expected a table"):
        read_file(str(folder / "portico.toml"))


def test_variables_of_the_environment_are_put_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "8081")
    monkeypatch.setenv("NAME", "site")
    settings = read(
        folder,
        "listen = 'http://127.0.0.1:${PORT}'\n[[mount]]\nstatic = '${NAME}'\ncache = '$${NAME} $NAME'\n",
    )
    assert settings.listen == ("http://127.0.0.1:8081",)
    (static,) = settings.mount
    assert isinstance(static, StaticMount)
    assert static.static == str(folder / "site")
    assert static.cache == "${NAME} $NAME"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("${NOT_SET_AT_ALL}", "is not set in the environment"),
        ("${}", "names no variable"),
        ("${a b}", "names no"),
    ],
)
def test_a_variable_that_is_missing_is_a_mistake(folder: Path, text: str, says: str) -> None:
    assert says in " ".join(wrong(folder, f"\nlisten = '{text}'"))


def test_every_key_says_what_it_is_about() -> None:
    for table in (Settings, *KINDS.values()):
        for name, key in keys_of(table).items():
            assert key.about.endswith((".", ",", "503.")), (table, name)


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ("", False),
        ('level = "debug"', False),
        ("access = true", True),
        ('file = "access.log"', True),
        ('format = "json"', True),
        ("sample = 0.5", True),
        ('access = false\nfile = "access.log"', False),
    ],
)
def test_who_says_something_of_the_access_log_gets_one(folder: Path, said: str, wanted: bool) -> None:
    assert read(folder, f"[log]\n{said}").log.wanted is wanted
