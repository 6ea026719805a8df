"""Forms of pages, filled in and submitted: what is sent is what Chromium sends."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import portico
from portico.data import html as data_html
from portico.data import source
from portico.errors import AddressError, ConfigError
from portico.server import Server
from portico.web.forms import read_form
from portico.web.wsgi import WSGI
from tests.peers import need, need_module

pytestmark = pytest.mark.usefixtures("door")

PAGES: dict[str, tuple[str, str]] = {}
"""Pages, and the button to press."""
for block in (Path(__file__).parent / "forms.txt").read_text().split("\n== ")[1:]:
    title, _, page = block.partition("\n")
    title, _, button = title.partition(" | ")
    PAGES[title] = page.rstrip("\n"), button


@dataclass
class Got:
    method: str = ""
    target: str = ""
    kind: str | None = None
    referer: str | None = None
    body: bytes = b""


@pytest.fixture(scope="module")
def shop():
    """A server of the pages, and what their forms sent it."""
    pages = {f"/page/{number}": page for number, (page, _) in enumerate(PAGES.values())}
    got: list[Got] = []

    def app(environ, start_response):
        page = pages.get(environ["PATH_INFO"])
        query = environ["QUERY_STRING"]
        if (
            page is None
            or environ["REQUEST_METHOD"] == "POST"
            or "submitted" in environ.get("HTTP_COOKIE", "")
        ):
            body = environ["wsgi.input"].read()
            kind = environ.get("CONTENT_TYPE") or None
            target = environ["PATH_INFO"] + (f"?{query}" if query else "")
            got.append(Got(environ["REQUEST_METHOD"], target, kind, environ.get("HTTP_REFERER"), body))
            page = "<p>thanks"
        start_response("200 OK", [("Content-Type", "text/html; charset=utf-8")])
        return [b"<!doctype html>" + page.encode()]

    with Server(WSGI(app), "http://127.0.0.1:0") as server:
        yield f"http://127.0.0.1:{server.addresses[0].port}", got


def comparable(got):
    """What was sent, with the boundary of its parts as ``B``."""
    kind, body = got.kind, got.body
    boundary = re.search(r"boundary=(\S+)", kind or "")
    if boundary is not None:
        kind = kind.replace(boundary[1], "B")
        body = body.replace(boundary[1].encode(), b"B")
    return got.method, got.target, kind, got.referer, body


@pytest.fixture(scope="module")
def chromium(shop):
    """What Chromium sends of every page."""
    base, got = shop
    sync_api = need_module("playwright.sync_api")
    sent = {}
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=need("chromium"), args=["--no-sandbox"])
        for number, (name, (_, button)) in enumerate(PAGES.items()):
            context = browser.new_context()
            page = context.new_page()
            page.goto(f"{base}/page/{number}")
            got.clear()
            context.add_cookies([{"name": "submitted", "value": "1", "url": base}])
            with page.expect_navigation():
                page.evaluate(
                    "id => id ? document.getElementById(id).click() : document.forms[0].submit()", button
                )
            sent[name] = comparable(next(each for each in got if each.target != "/favicon.ico"))
            context.close()
        browser.close()
    return sent


@pytest.mark.parametrize("name", list(PAGES))
def test_a_form_is_submitted_as_chromium_does(shop, chromium, name):
    base, got = shop
    with portico.Session() as session:
        page = session.get(f"{base}/page/{list(PAGES).index(name)}")
        form = page.form()
        got.clear()
        session.cookies.set("submitted", "1", domain="127.0.0.1")
        session.submit(form, PAGES[name][1] or False).close()
    assert comparable(got[-1]) == chromium[name]


# -- filling in

LOGIN = """<!doctype html><form id=search action=/search><input name=q><button>Go</button></form>
<form id=login name=enter method=post action=/login><input type=hidden name=token value=t0k>
<input name=user><input type=password name=password><input type=checkbox name=remember value=yes>
<input type=checkbox name=lists value=a checked><input type=checkbox name=lists value=b>
<input type=radio name=size value=s><input type=radio name=size value=m checked>
<select name=land><option value=ch>Switzerland<option value=fr>France<option disabled value=xx>None</select>
<select name=tongues multiple><option>de<option>fr<option>it</select><textarea name=note></textarea>
<input name=twice value=1><input name=twice value=2><input type=file name=photo>
<button name=do value=enter>Enter</button><button name=do value=forget id=forgot>Forget</button></form>"""


@pytest.fixture
def login():
    """A session with an application that has a page of two forms, and tells what came."""

    def app(environ, start_response):
        body = environ["wsgi.input"].read() if environ["REQUEST_METHOD"] == "POST" else b""
        page = (
            LOGIN.encode() if environ["PATH_INFO"] == "/" else b"?" + environ["QUERY_STRING"].encode() + body
        )
        start_response("200 OK", [("Content-Type", "text/html; charset=utf-8")])
        return [page]

    with portico.Session(app=app, base_url="http://shop.test") as session:
        yield session


def test_what_is_filled_in_is_sent(login):
    form = login.get("/").form("login")
    assert form.fields == {
        "token": "t0k", "user": "", "password": "", "remember": False, "lists": ["a"], "size": "m",
        "land": ["ch"], "tongues": [], "note": "", "twice": ["1", "2"], "photo": [],
    }  # fmt: skip
    form["user"] = "Zoë"
    form["password"] = "a&b=c d"
    form["remember"] = True
    form["lists"] = ["b"]
    form["size"] = "s"
    form["land"] = "France"
    form["tongues"] = ["it", "de"]
    form["note"] = "one\ntwo"
    form["twice"] = ["3"]
    sent = login.submit(form, "forget")
    assert sent.request.method == "POST"
    assert str(sent.url) == "http://shop.test/login"
    assert sent.text == (
        "?token=t0k&user=Zo%C3%AB&password=a%26b%3Dc+d&remember=yes&lists=b&size=s&land=fr&tongues=de"
        "&tongues=it&note=one%0D%0Atwo&twice=3&twice=2&photo=&do=forget"
    )


@pytest.mark.parametrize(
    ("button", "sent"),
    [(None, "enter"), (True, "enter"), (False, None), ("enter", "enter"), ("forget", "forget"),
     ("forgot", "forget"), ("do", "enter")],
)  # fmt: skip
def test_a_button_is_named_by_its_name_value_or_id(login, button, sent):
    body = login.submit(login.get("/").form(1), button).text
    assert re.findall(r"&do=(\w+)", body) == ([] if sent is None else [sent])


def test_forms_are_found_by_number_id_and_name(login):
    page = login.get("/")
    assert [form.id for form in page.forms()] == ["search", "login"]
    assert [page.form(which).id for which in (0, -1, "login", "#login", "enter")] == [
        "search", "login", "login", "login", "login",
    ]  # fmt: skip
    assert "user" in page.form("login")
    assert "do" not in page.form("login")
    assert page.form("login").buttons == ["do", "do"]
    assert (page.form(1).method, str(page.form(1).action)) == ("POST", "http://shop.test/login")
    assert repr(page.form()) == "<HTMLForm 'search': q>"


@pytest.mark.parametrize(
    ("use", "says"),
    [
        (lambda page: page.form(2), "there are 2 forms, and no number 2"),
        (lambda page: page.form("logon"), "no form is 'logon'; there are: search, login"),
        (lambda page: page.form(""), "no form is ''; there are: search, login"),
        (lambda page: page.form(1)["usr"], "there is no field 'usr'; there are: token, user, password"),
        (lambda page: page.form(1).__setitem__("usr", "x"), "there is no field 'usr'"),
        (lambda page: page.form(1).__setitem__("do", "x"), "there is no field 'do'"),
        (lambda page: page.form(1).__setitem__("land", "xx"), "'land' has no choice 'xx'; there are: ch, fr"),
        (lambda page: page.form(1).__setitem__("land", ["ch", "fr"]), "'land' takes one choice, not 2"),
        (lambda page: page.form(1).__setitem__("size", "l"), "'size' has no choice 'l'; there are: s, m"),
        (lambda page: page.form(1).__setitem__("lists", "c"), "'lists' has no box 'c'; there are: a, b"),
        (lambda page: page.form(1).__setitem__("twice", ["1", "2", "3"]), "2 times, not 3"),
        (lambda page: page.form(1).submitted("x"), "no button is 'x'; there are: do, do"),
    ],
)
def test_what_is_not_there_is_told(login, use, says):
    with pytest.raises(ConfigError, match=re.escape(says)):
        use(login.get("/"))


@pytest.mark.parametrize(
    ("page", "error", "says"),
    [
        ("<form action='javascript:alert(1)'>", ConfigError, "its action is a javascript: URL"),
        ("<form action='mailto:a@b.example'>", ConfigError, "its action is a mailto: URL"),
        ("<form action='file:///etc/passwd'>", ConfigError, "its action is a file: URL"),
        ("<form method=dialog>", ConfigError, "closes a dialog"),
        ("<form action='http://[::1'>", AddressError, "[::1"),
    ],
)
def test_a_form_that_cannot_be_sent_says_so(page, error, says):
    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/html")])
        return [page.encode()]

    with portico.Session(app=app, base_url="http://shop.test") as session:
        form = session.get("/").form()
        with pytest.raises(error, match=re.escape(says)):
            session.submit(form)


def test_a_form_elsewhere_gets_no_credentials_and_no_page_to_come_from():
    seen = []

    def app(environ, start_response):
        seen.append((environ["HTTP_HOST"], environ.get("HTTP_REFERER"), environ.get("HTTP_AUTHORIZATION")))
        start_response("200 OK", [("Content-Type", "text/html")])
        return [b"<form method=post action='http://u:p@other.test/x'>"]

    with portico.Session(app=app, auth=("ada", "secret"), base_url="http://shop.test") as session:
        session.submit(session.get("/a?token=1").form()).close()
    assert [host for host, _, _ in seen] == ["shop.test", "other.test"]
    assert seen[0][2] is not None
    assert seen[1][1:] == ("http://shop.test/", None)


def test_files_are_sent(login, tmp_path):
    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/html")])
        if environ["REQUEST_METHOD"] == "GET":
            return [b"<form method=post enctype=multipart/form-data><input type=file multiple name=f>"]
        with read_form(environ) as form:
            return [repr([(v.filename, v.content_type, v.value) for _, v in form.fields]).encode()]

    (tmp_path / "ä.txt").write_bytes(b"one")
    with portico.Session(app=app, base_url="http://shop.test") as session:
        form = session.get("/").form()
        form["f"] = [tmp_path / "ä.txt", ("b.bin", b"two"), ("c", b"three", "x/y")]
        with (tmp_path / "ä.txt").open("rb") as file:
            form["f"] = [*form["f"], file]
            sent = session.submit(form).text
    assert sent == repr([
        ("ä.txt", "text/plain", b"one"), ("b.bin", "application/octet-stream", b"two"),
        ("c", "x/y", b"three"), ("ä.txt", "text/plain", b"one"),
    ])  # fmt: skip


NUMBERS = (
    st.sampled_from("1e308 -1e308 1e-308 1e999 -0 .5 5. 00012 ² 9999999999999999999999 any x".split())
    | st.text()
)
TIMES = st.from_regex(r"[0-9]{1,6}-[0-9W]{2,3}-?[0-9]{0,2}[T ]?[0-9:.]{0,12}", fullmatch=True)


@given(
    kind=st.sampled_from("range number date month week time datetime-local color url email text".split()),
    attributes=st.dictionaries(st.sampled_from("min max step value size".split()), NUMBERS | TIMES),
)
def test_no_page_makes_more_than_text_of_its_values(kind, attributes):
    said = " ".join(f'{name}="{html.escape(value)}"' for name, value in attributes.items())
    page = f"<form><input name=a type={kind} {said}><select name=b {said}><option>1</select>"
    (form,) = data_html.forms(source(page.encode("utf-8", "replace"), encoding="utf-8"))
    text, choice = form.controls
    assert len(text.values) == 1
    assert isinstance(text.value, str)
    assert choice.values in ([], ["1"])


def test_a_long_and_broken_page_takes_no_longer_than_its_length_says():
    page = (
        "<form>" * 20_000
        + "<select><option>" * 20_000
        + "<input name=a" * 900
        + ">"
        + "<fieldset disabled>" * 20_000
    )

    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/html")])
        return [page.encode()]

    with portico.Session(app=app, base_url="http://shop.test") as session:
        assert len(session.get("/").forms()) == 1
