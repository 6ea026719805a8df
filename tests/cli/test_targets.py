"""The grammar of what ``portico serve`` is given: each argument has one meaning."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from portico.cli.programs import is_program, load
from portico.cli.serve_options import told_by
from portico.cli.serve_site import Served, make_served
from portico.cli.targets import Folders, Target, make_settings, read_target
from portico.errors import ConfigError
from portico.limits import Limits
from portico.web.config import Settings
from portico.web.config.mount import Headers
from portico.web.mounts import Mounts

PROGRAM = '''
import functools
from http.server import BaseHTTPRequestHandler
from socketserver import BaseRequestHandler

from portico.web.handlers import Request, Routes

def app(environ, start_response):
    start_response("200 OK", [])
    return [b"app"]

def make(greeting="hi", *, times=1):
    return lambda environ, start_response: [greeting * times]

def broken():
    raise RuntimeError("no\\nway")

def leaves():
    raise SystemExit(3)

def hello(stream):
    stream.write(b"hello")

def answer(request):
    return "answer"

def told(it: "Request"):
    return "told"

def unclear(x):
    pass

async def later(request):
    pass

class Things:
    def get(self, request):
        return "things"

async def asgi(scope, receive, send):
    pass

async def waiter(stream):
    pass

def nothing():
    return None

def four(a, b, c, d):
    pass

class Site:
    app = staticmethod(app)

class Chat:
    def handle(self):
        pass

class Plain:
    pass

class AppClass:
    """The class of PEP 3333."""
    def __init__(self, environ, start_response):
        pass
    def __iter__(self):
        yield b""

def request_app(function):
    @functools.wraps(function)
    def application(*args):
        return []
    return application

@request_app
def wrapped(request):
    pass

class Proxy:
    """As flask.request is outside of a request."""
    def __getattr__(self, name):
        raise RuntimeError("outside of a request")
    def __call__(self):
        pass

number = 7
proxy = Proxy()
site = Site()
routes = Routes([("/", answer)])

class OldWeb(BaseHTTPRequestHandler):
    pass

class OldTalk(BaseRequestHandler):
    pass

old_web = functools.partial(OldWeb)
'''


def served_by(*texts: str, at: tuple[str, ...] = ()) -> Served:
    return make_served(Settings(mount=make_settings(texts, Folders()), listen=at))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A current folder with a site, a program and odd names; modules imported from it are forgotten."""
    for name in ("site", "b", "wsgi", "a=b", "static:x", "shop:app", "grüße"):
        (tmp_path / name).mkdir()
    (tmp_path / "site" / "index.html").write_text("site")
    (tmp_path / "shop_t.py").write_text(PROGRAM)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    known = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - known:
        if getattr(sys.modules[name], "__file__", "") and str(tmp_path) in str(sys.modules[name].__file__):
            del sys.modules[name]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("site", Target(None, "static", "site")),
        ("site/", Target(None, "static", "site/")),
        ("/=site", Target("/", "static", "site")),
        ("/docs=site", Target("/docs", "static", "site")),
        ("/docs/deep=site", Target("/docs/deep", "static", "site")),
        ("static:site", Target(None, "static", "site")),
        ("/x=static:missing", Target("/x", "static", "missing")),
        ("cgi:scripts", Target(None, "cgi", "scripts")),
        ("/api=proxy:http://127.0.0.1:9000", Target("/api", "proxy", "http://127.0.0.1:9000")),
        ("//a.example=respond:200:x", Target("//a.example", "respond", "200:x")),
        ("/app=wsgi:shop:app", Target("/app", "wsgi", "shop:app")),
        ("handler:shop:hello", Target(None, "handler", "shop:hello")),
        ("asgi:shop:app", Target(None, "asgi", "shop:app")),
        ("pkg.mod:create.app", Target(None, "program", "pkg.mod:create.app")),
        ("shop:make('x', y=1)", Target(None, "program", "shop:make('x', y=1)")),
        ("/app=shop:make(y='=')", Target("/app", "program", "shop:make(y='=')")),
        # Odd names of folders.
        ("wsgi", Target(None, "static", "wsgi")),
        ("a=b", Target(None, "static", "a=b")),
        ("/x=a=b", Target("/x", "static", "a=b")),
        ("./static:x", Target(None, "static", "./static:x")),
        ("static:static:x", Target(None, "static", "static:x")),
        ("shop:app", Target(None, "static", "shop:app")),
        ("grüße", Target(None, "static", "grüße")),
        ("/grüße=grüße", Target("/grüße", "static", "grüße")),
    ],
)
def test_an_argument_is_read(text: str, expected: Target) -> None:
    assert read_target(text) == expected


def test_a_path_that_exists_is_not_a_mount(folder: Path) -> None:
    (folder / "a=c").mkdir()
    assert read_target(f"{folder}/a=c") == Target(None, "static", f"{folder}/a=c")
    assert read_target(f"/={folder}/a=c") == Target("/", "static", f"{folder}/a=c")


def test_a_mount_whose_whole_does_not_exist_is_a_mount(folder: Path) -> None:
    assert read_target(f"{folder}/z=b") == Target(f"{folder}/z", "static", "b")


def test_what_can_be_read_both_ways_is_refused_with_both_spellings(folder: Path) -> None:
    text = f"{folder}/a=b"  # a folder, and "b" is one too
    with pytest.raises(ConfigError) as caught:
        read_target(text)
    assert f"/={text} " in str(caught.value)
    assert f"{folder}/a=./b " in str(caught.value)
    assert read_target(f"/={text}") == Target("/", "static", text)
    assert read_target(f"{folder}/a=./b") == Target(f"{folder}/a", "static", "./b")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("missing", "there is no folder missing; name one that exists, or an application as module:name"),
        ("shop_t", "write shop_t:NAME"),
        ("shop_t.py", "is a file, not a folder: static:shop_t.py serves it as it is"),
        ("shop_t.py:app", "without .py, as in shop_t:app"),
        ("./shop_t.py:app", "without .py, as in shop_t:app"),
        ("sub/shop_t.py:app", "without .py, as in sub.shop_t:app"),
        ("../there/shop_t.py:app", "without .py, as in shop_t:app in its folder"),
        ("site/index.html", "static:site/index.html"),
        ("app=site", "the mount 'app' must begin with a slash, as in /app=site"),
        ("/app=", "nothing stands after the mount /app"),
        ("static:", "as in static:site"),
        ("/cgi-bin=cgi:", "as in cgi:cgi-bin"),
        ("wsgi:", "as in wsgi:shop:app"),
        ("", "there is no folder"),
    ],
)
def test_what_cannot_be_read_says_what_to_write(text: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_target(text)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a:b", True),
        ("a.b:c.d()", True),
        ("a:", False),
        ("a", False),
        ("a/b:c", False),
        ("a b:c", False),
        (":a", False),
    ],
)
def test_a_program_is_told_by_its_form(text: str, expected: bool) -> None:
    assert is_program(text) is expected


@pytest.mark.parametrize(
    ("text", "wire", "kind"),
    [
        ("shop_t:app", "http", "WSGI"),
        ("shop_t:site.app", "http", "WSGI"),
        ("shop_t:make()", "http", "WSGI"),
        ("shop_t:make('ho', times=2)", "http", "WSGI"),
        ("shop_t:AppClass", "http", "WSGI"),
        ("shop_t:wrapped", "http", "WSGI"),
        ("wsgi:shop_t:four", "http", "WSGI"),
        ("shop_t:hello", "stream", "function"),
        ("shop_t:waiter", "stream", "function"),
        ("handler:shop_t:waiter", "stream", "function"),
        ("shop_t:Chat", "stream", "type"),
        ("handler:shop_t:hello", "stream", "function"),
        ("shop_t:answer", "http", "App"),
        ("shop_t:told", "http", "App"),
        ("shop_t:Things", "http", "App"),
        ("shop_t:routes", "http", "Routes"),
        ("app:shop_t:unclear", "http", "App"),
        ("app:shop_t:routes", "http", "Routes"),
        ("app:shop_t:Things", "http", "App"),
        ("handler:shop_t:unclear", "stream", "function"),
        ("/x=shop_t:unclear", "http", "App"),  # streams have no paths
        ("shop_t:OldWeb", "http", "type"),
        ("shop_t:old_web", "http", "partial"),
        ("shop_t:OldTalk", "stream", "type"),
    ],
)
def test_what_a_program_is_is_found_out(text: str, wire: str, kind: str) -> None:
    served = served_by(text)
    assert served.wire == wire
    value = served.handler
    if isinstance(value, Mounts):
        (mount,) = value
        value = mount.gateway
    assert type(value).__name__ == kind


@pytest.mark.parametrize(
    ("text", "at", "wire"),
    [
        ("shop_t:unclear", "http://:80", "http"),
        ("shop_t:unclear", "tcp://:80", "stream"),
        ("shop_t:answer", "tcp://:80", "stream"),  # a name is less than an address
        ("shop_t:later", "tcp://:80", "stream"),
        ("shop_t:answer", "unix:x", "http"),
        ("shop_t:told", "tcp://:80", "http"),  # an annotation is more
        ("shop_t:Things", "tcp://:80", "http"),
        ("shop_t:hello", "http://:80", "stream"),
        ("app:shop_t:unclear", "tcp://:80", "http"),
    ],
)
def test_the_address_decides_what_a_function_of_one_argument_is(text: str, at: str, wire: str) -> None:
    assert served_by(text, at=(at,)).wire == wire


@pytest.mark.parametrize(
    ("at", "wire"),
    [
        ([], ""),
        (["127.0.0.1:80"], ""),
        (["unix:x"], ""),
        (["fd://3", "fd://name"], ""),
        (["http://:80", "https://:443"], "http"),
        (["https://:443", "unix:x"], "http"),
        (["tcp://:80"], "stream"),
        (["tls://:80", "127.0.0.1:1"], "stream"),
        (["tcp://:80", "http://:80"], ""),
        (["udp://:80"], "stream"),
        (["unixgram:x", "tcp://:80"], "stream"),
    ],
)
def test_what_addresses_tell(at: list[str], wire: str) -> None:
    assert told_by(at) == wire


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("shop_t:ap", "the module shop_t has no 'ap'; did you mean 'app'"),
        ("shop_t:xyzzy", "there are: app, make, broken"),
        ("shop_t:site.ap", "the Site in shop_t has no 'ap'; did you mean 'app'"),
        ("shop_y:app", "there is no module 'shop_y'"),
        ("shop_y:app", "did you mean 'shop_t'"),
        ("shop_t.sub:app", "'shop_t' is not a package"),
        ("shop_t:proxy", "cannot tell what shop_t:proxy is: RuntimeError: outside of a request"),
        ("shop_t:number", "shop_t:number is of type int, not callable"),
        ("wsgi:shop_t:number", "not callable"),
        ("shop_t:nothing()", "shop_t:nothing() is None, not callable"),
        ("shop_t:number()", "leave out the brackets"),
        ("shop_t:nothing", "shop_t:nothing() serves what it makes"),
        ("shop_t:four", "wsgi:shop_t:four, app:shop_t:four or handler:shop_t:four"),
        (
            "shop_t:unclear",
            "a function of a request or of a stream: app:shop_t:unclear or handler:shop_t:unclear",
        ),
        ("shop_t:later", "async def"),
        ("app:shop_t:later", "async def"),
        ("app:shop_t:number", "cannot be called"),
        ("/x=shop_t:OldWeb", "served alone"),
        ("/x=shop_t:OldTalk", "served alone"),
        ("shop_t:Plain", "cannot tell what shop_t:Plain is"),
        ("shop_t:broken()", "shop_t:broken() failed: RuntimeError: no\nway (shop_t.py, line 16)"),
        ("shop_t:leaves()", "failed: SystemExit: 3"),
        ("shop_t:make(app)", "a call with plain values"),
        ("shop_t:make(**{})", "a call with plain values"),
        ("shop_t:app; import os", "expected a name after the colon"),
        ("shop_t:__import__('os').system('true')", "expected a name after the colon"),
        ("wsgi:shop_t", "'shop_t' lacks a name"),
        ("wsgi:shop_t.py:app", "leave out .py, as in shop_t:app"),
        ("wsgi:dir/shop:app", "with dots"),
        ("shop_t:asgi", "ASGI"),
        ("wsgi:shop_t:asgi", "ASGI"),
        ("asgi:shop_t:asgi", "ASGI"),
        ("handler:shop_t:asgi", "ASGI"),
        ("handler:shop_t:Plain", "without a method handle()"),
        ("static:missing", "No such file"),
        ("cgi:missing", "there is no"),
        ("cgi:shop_t.py", "chmod +x"),
        ("/a/../b=site", "dots"),
        ("/a b=site", "plain path"),
        ("/a//b=site", "empty segment"),
    ],
)
def test_a_mistake_says_what_to_do(text: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        served_by(text)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("import no_such", "ModuleNotFoundError: No module named 'no_such' (bad_t.py, line 2)"),
        ("x = 1 +", "SyntaxError: invalid syntax (bad_t.py, line 2)"),
        ("1 / 0", "ZeroDivisionError: division by zero (bad_t.py, line 2)"),
        ("raise SystemExit('bye')", "SystemExit: bye (bad_t.py, line 2)"),
    ],
)  # fmt: skip
def test_a_module_that_fails_is_told_with_its_line(folder: Path, source: str, says: str) -> None:
    (folder / "bad_t.py").write_text(f"\n{source}\n")
    with pytest.raises(ConfigError) as caught:
        load("bad_t:app")
    assert str(caught.value) == f"cannot import bad_t: {says}"


def test_the_current_folder_comes_first_and_once(folder: Path) -> None:
    load("shop_t:app")
    load("shop_t:hello")
    assert sys.path[0] == str(folder)
    assert sys.path.count(str(folder)) == 1


def test_folders_alone_import_nothing_and_leave_the_path_alone() -> None:
    before = list(sys.path)
    served_by("site")
    assert sys.path == before


@pytest.mark.parametrize("texts", [["site", "b"], ["/a=site", "/a/=b"], ["/a=site", "/%61=b"]])
def test_two_targets_at_one_place_are_refused(texts: list[str]) -> None:
    with pytest.raises(ConfigError, match="two targets are mounted at"):
        served_by(*texts)


@pytest.mark.parametrize(
    "texts", [["/x=shop_t:hello"], ["site", "/x=handler:shop_t:hello"], ["shop_t:hello", "/b=b"]]
)
def test_a_handler_of_streams_stands_alone(texts: list[str]) -> None:
    with pytest.raises(ConfigError, match="served alone"):
        served_by(*texts)


def test_mounts_made_in_python_are_served_as_they_are(folder: Path) -> None:
    (folder / "made_t.py").write_text(
        "from portico import Limits, Mounts\nfrom portico.http.exchange import Mount\n"
        "from portico.web.headers import Edit\nfrom portico.web.static import Static\n"
        "edit, limits = Edit(remove=['X-Gone']), Limits(body=7)\n"
        "site = Mounts([('/s', Mount(Static('site'), '/s', edit=edit, limits=limits))])\n"
    )
    served = served_by("made_t:site")
    assert [mount.prefix for mount in served.handler] == ["/s"]
    (mount,) = make_served(
        Settings(mount=make_settings(["made_t:site"], Folders()), headers=Headers(set={"X-Outer": "1"}))
    ).handler
    assert mount.limits == Limits(body=7)
    assert mount.edit([("X-Gone", "1"), ("A", "b")]) == [("A", "b"), ("X-Outer", "1")]
    with pytest.raises(ConfigError, match="mounts of its own"):
        served_by("/x=made_t:site")


def test_the_current_folder_is_served(folder: Path) -> None:
    (mount,) = served_by(".").handler
    assert mount.prefix == ""
    assert mount.gateway.name == f"static:{folder}"
