"""The demo site of ``make serve``, as a visitor meets it: a real process, curl, a real browser."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from types import ModuleType
from typing import Any
from urllib.parse import urlencode
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest

from tests.peers import need, need_module, root

DEMO = root / "examples" / "demo"
COMMAND = ["serve", "site", "/app=wsgi:app:app", "/cgi-bin=cgi:cgi-bin", "--at", "http://127.0.0.1:0"]
CHROMIUM = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]


class Demo:
    """``portico serve`` of the demo, in a process of its own; what it prints is gathered in ``output``."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "portico", *COMMAND],
            cwd=DEMO,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            text=True,
        )
        self.output: list[str] = []
        self.url = ""
        self._known = threading.Event()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.output.append(line)
            if not self.url and (found := re.search(r"http://127\.0\.0\.1:[1-9]\d*", line)):
                self.url = found[0]
                self._known.set()
        self._known.set()

    def wait_for_address(self) -> str:
        self._known.wait(30)
        assert self.url, f"no address was printed:\n{''.join(self.output)}"
        return self.url

    def stop(self) -> int:
        """Ask for the end as a supervisor does; the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(30)
        finally:
            self.process.kill()
            self._reader.join()
            assert self.process.stdout is not None
            self.process.stdout.close()


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    demo = Demo()
    try:
        yield demo.wait_for_address()
    finally:
        code = demo.stop()
    printed = "".join(demo.output)
    assert code == 0, printed
    assert "Traceback" not in printed, printed


def curl(*args: str) -> str:
    command = [need("curl"), "--silent", "--show-error", "--noproxy", "*", "--max-time", "20", *args]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_page_arrives_as_it_is_on_disk(site: str) -> None:
    assert curl(f"{site}/") == (DEMO / "site" / "index.html").read_text(encoding="utf-8")
    assert "image/svg+xml" in curl("--head", f"{site}/favicon.svg")


def test_the_application_answers_in_json_and_line_by_line(site: str) -> None:
    assert json.loads(curl(f"{site}/app/now.json"))["time"]
    assert curl(f"{site}/app/count").endswith("done\n")


def test_the_programs_run(site: str) -> None:
    assert curl(f"{site}/cgi-bin/clock").rstrip().endswith("UTC")
    page = curl(f"{site}/cgi-bin/environment.py/some/path?colour=%3Cgreen%3E")
    assert "<tr><th>PATH_INFO<td><code>/some/path</code>" in page
    assert "<tr><th>QUERY_STRING<td><code>colour=%3Cgreen%3E</code>" in page


def test_the_page_of_the_environment_cannot_be_made_to_run_scripts(site: str) -> None:
    page = curl(
        "--user-agent", "<script>alert(1)</script>", "--data", "<b>", f"{site}/cgi-bin/environment.py"
    )
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "<pre>&lt;b&gt;</pre>" in page


def test_the_server_ends_when_asked_and_says_so_with_its_exit_code() -> None:
    demo = Demo()
    try:
        curl(f"{demo.wait_for_address()}/")
    finally:
        code = demo.stop()
    assert code == 0, "".join(demo.output)


@pytest.fixture
def page() -> Iterator[Any]:
    """An empty page of a headless Chromium, with the list of its console's errors as ``page.errors``."""
    program = need("chromium")
    playwright = need_module("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=CHROMIUM)
        page = browser.new_page()
        page.set_default_timeout(20_000)
        page.errors = []
        page.on("console", lambda message: message.type == "error" and page.errors.append(message.text))
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        page.on("requestfailed", lambda request: page.errors.extend(failure(request)))
        yield page
        browser.close()


def failure(request: Any) -> list[str]:
    """What went wrong on the wire. Chromium calls a stream that its script read to the end aborted."""
    return [] if request.failure == "net::ERR_ABORTED" else [f"{request.url}: {request.failure}"]


def visit(page: Any, site: str) -> None:
    """Open the page and wait until its live panel has heard from everybody."""
    page.goto(f"{site}/")
    page.wait_for_function("document.getElementById('live').textContent === 'all four answered'")


@pytest.mark.timeout(120)
def test_a_browser_sees_the_site_live(site: str, page: Any) -> None:
    visit(page, site)
    assert "UTC" in page.text_content("#wsgi-time")
    assert "UTC" in page.text_content("#cgi-time")
    assert page.text_content("#static-type").startswith("image/svg+xml")
    assert page.text_content("#stream").endswith("done\n")
    assert page.errors == []


@pytest.mark.timeout(120)
def test_a_browser_signs_the_guest_book(site: str, page: Any) -> None:
    visit(page, site)
    page.click("text=guest book")
    page.fill("[name=name]", "Ada <b>Lovelace</b>")
    page.fill("[name=words]", "Grüße & <script>alert(1)</script>")
    page.click("text=Sign")
    page.wait_for_selector("#entries article")
    assert page.url == f"{site}/app/"
    assert page.text_content("#entries h2") == "Ada <b>Lovelace</b>"
    assert page.text_content("#entries p") == "Grüße & <script>alert(1)</script>"
    assert page.errors == []


# The application alone, under the validator of PEP 3333: it holds on any server.


@pytest.fixture
def guest_book() -> ModuleType:
    """A fresh copy of the application, with an empty book."""
    spec = importlib.util.spec_from_file_location("demo_app", DEMO / "app.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def call(
    module: ModuleType, method: str, path: str, body: bytes = b"", **environ: str
) -> tuple[str, dict[str, str], str]:
    started: list[Any] = []
    asked: dict[str, Any] = {"REQUEST_METHOD": method, "PATH_INFO": path, "QUERY_STRING": ""}
    asked |= {
        "SCRIPT_NAME": "/app",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
        **environ,
    }
    setup_testing_defaults(asked)
    answer = validator(module.app)(
        asked, lambda status, headers, exc_info=None: started.extend((status, headers))
    )
    try:
        text = b"".join(answer).decode()
    finally:
        answer.close()
    return started[0], dict(started[1]), text


def form(name: str, words: str) -> bytes:
    return urlencode({"name": name, "words": words}).encode()


def test_an_entry_is_shown_escaped(guest_book: ModuleType) -> None:
    status, headers, _ = call(guest_book, "POST", "/", form("<i>Ada", "1 < 2 & 'so'"))
    assert (status, headers["Location"]) == ("303 See Other", "/app/")
    _, _, page = call(guest_book, "GET", "/")
    assert "&lt;i&gt;Ada" in page
    assert "1 &lt; 2 &amp;" in page
    assert "<i>" not in page


def test_a_form_of_another_site_signs_nothing(guest_book: ModuleType) -> None:
    status, _, _ = call(guest_book, "POST", "/", form("x", "y"), HTTP_SEC_FETCH_SITE="cross-site")
    assert status.startswith("403")
    assert not guest_book.book


@pytest.mark.parametrize(
    ("method", "path", "body", "expected"),
    [
        ("POST", "/", form("x", "y" * 9000), "413"),
        ("POST", "/", form("x", " "), "422"),
        ("POST", "/", b"\xff=%ff&&&", "422"),
        ("DELETE", "/", b"", "405"),
        ("GET", "/../app.py", b"", "404"),
    ],
)
def test_what_makes_no_sense_is_refused(
    guest_book: ModuleType, method: str, path: str, body: bytes, expected: str
) -> None:
    status, _, _ = call(guest_book, method, path, body)
    assert status.startswith(expected)
    assert not guest_book.book


def test_the_book_keeps_the_newest_fifty(guest_book: ModuleType) -> None:
    for number in range(60):
        call(guest_book, "POST", "/", form(f"n{number}", "x"))
    assert [entry[1] for entry in guest_book.book] == [f"n{number}" for number in range(59, 9, -1)]


def test_head_has_no_body(guest_book: ModuleType) -> None:
    status, headers, text = call(guest_book, "HEAD", "/now.json")
    assert (status, text) == ("200 OK", "")
    assert int(headers["Content-Length"]) > 0
