"""Forms as browsers and other programs really send them."""

from __future__ import annotations

import subprocess

import pytest

from portico.server import Server
from portico.web.forms import read_form
from portico.web.wsgi import WSGI
from tests.peers import need, need_module

PAGE = """<!doctype html><meta charset="{charset}"><title>form</title>
<form method="post" enctype="{kind}" accept-charset="{charset}">
<input type="hidden" name="_charset_"><input name='a"b\\'><textarea name="text"></textarea>
<input type="file" name="file" multiple><input type="file" name="none"><input name="empty">
<select name="many" multiple><option selected>1<option selected>2</select><button>Send</button></form>
"""
NAMES = ("Grüße 🙂.txt", 'a"b\\c;d%=1.txt', "€.bin")
CONTENTS = (b"\x00\xff\r\n--", b"", b"x" * 300_000)


@pytest.fixture
def served():
    """A server of a form, and what the last one that came had in it."""
    got = []

    def app(environ, start_response):
        if environ["REQUEST_METHOD"] == "POST":
            with read_form(environ, charset=environ["PATH_INFO"].rpartition("/")[2] or "utf-8") as form:
                for name, value in form.fields:
                    said = (
                        value if isinstance(value, str) else (value.filename, value.content_type, value.value)
                    )
                    got.append((name, said))
        _, kind, charset = f"{environ['PATH_INFO']}//".split("/")[:3]
        page = PAGE.format(
            charset=charset or "utf-8", kind=f"{'application' if kind[:1] == 'x' else 'multipart'}/{kind}"
        )
        start_response("200 OK", [("Content-Type", "text/html")])
        return [page.encode()]

    with Server(WSGI(app), "http://127.0.0.1:0") as server:
        yield f"http://127.0.0.1:{server.addresses[0].port}", got


@pytest.fixture
def files(tmp_path):
    for name, content in zip(NAMES, CONTENTS, strict=True):
        (tmp_path / name).write_bytes(content)
    return [tmp_path / name for name in NAMES]


def test_curl_sends_files(served, files):
    base, got = served
    command = [need("curl"), "-sS", base, "-F", "a=1", "-F", "a=ä"]
    # curl reads quotes and backslashes in names itself, as people escape them for it.
    for path in files:
        quoted = str(path).replace("\\", "\\\\").replace('"', '\\"')
        command += ["-F", f'file=@"{quoted}";type=text/x-{len(path.name)}']
    subprocess.run(command, check=True, timeout=30, capture_output=True)
    sent = [(path.name, f"text/x-{len(path.name)}", path.read_bytes()) for path in files]
    assert got == [("a", "1"), ("a", "ä"), *(("file", each) for each in sent)]


def test_curl_escapes_as_older_versions_did(served, files):
    base, got = served
    quoted = str(files[1]).replace("\\", "\\\\").replace('"', '\\"')
    command = [need("curl"), "-sS", "--form-escape", base, "-F", f'file=@"{quoted}"']
    subprocess.run(command, check=True, timeout=30, capture_output=True)
    assert [value[0] for _, value in got] == [NAMES[1]]


def test_requests_sends_files(served, files):
    requests = need_module("requests")
    base, got = served
    sent = [("file", (path.name, path.read_bytes(), "text/x-a")) for path in files]
    assert requests.post(base, data={"ä": ["1", "2"]}, files=sent, timeout=20).status_code == 200
    expected = [(path.name, "text/x-a", path.read_bytes()) for path in files]
    assert got == [("ä", "1"), ("ä", "2"), *(("file", each) for each in expected)]


@pytest.fixture(scope="module")
def page():
    sync_api = need_module("playwright.sync_api")
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=need("chromium"), args=["--no-sandbox"])
        yield browser.new_page()
        browser.close()


@pytest.mark.parametrize("charset", ["utf-8", "windows-1252"])
def test_chromium_sends_a_form_with_files(served, files, page, charset):
    base, got = served
    page.goto(f"{base}/form-data/{charset}")
    page.fill("input:nth-of-type(2)", "100% 'ä'")
    page.fill("textarea", "one\ntwo & three=3+4")
    page.set_input_files("input[name=file]", [str(path) for path in files])
    page.click("button")
    # What an encoding lacks, browsers write as &#number; in it.
    names = list(NAMES) if charset == "utf-8" else [NAMES[0].replace("🙂", "&#128578;"), *NAMES[1:]]
    files_got = [value[0] for name, value in got if name == "file"]
    assert files_got == names
    assert [value[2] for name, value in got if name == "file"] == list(CONTENTS)
    assert ("none", ("", "application/octet-stream", b"")) in got
    fields = [(name, value) for name, value in got if isinstance(value, str)]
    assert fields == [
        ("_charset_", "UTF-8" if charset == "utf-8" else "windows-1252"), ('a"b\\', "100% 'ä'"),
        ("text", "one\r\ntwo & three=3+4"), ("empty", ""), ("many", "1"), ("many", "2"),
    ]  # fmt: skip


@pytest.mark.parametrize("charset", ["utf-8", "windows-1252"])
def test_chromium_sends_a_form_without_files(served, page, charset):
    base, got = served
    page.goto(f"{base}/x-www-form-urlencoded/{charset}")
    page.fill("input:nth-of-type(2)", "100% 'ä'")
    page.fill("textarea", "one\ntwo & three=3+4")
    page.click("button")
    assert got == [
        ("_charset_", "UTF-8" if charset == "utf-8" else "windows-1252"), ('a"b\\', "100% 'ä'"),
        ("text", "one\r\ntwo & three=3+4"), ("file", ""), ("none", ""), ("empty", ""),
        ("many", "1"), ("many", "2"),
    ]  # fmt: skip
