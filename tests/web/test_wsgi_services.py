"""Services that people run, with the clients that people use: Radicale, Trac, pypiserver, WsgiDAV."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import tarfile
import zipfile

import pytest

from tests.peers import need, need_installed
from tests.web.applications import Curl, process

# WsgiDAV: a WebDAV server, and litmus, which tests such servers

WSGIDAV = """
from wsgidav.wsgidav_app import WsgiDAVApp
app = WsgiDAVApp({
    "provider_mapping": {"/": "files"}, "simple_dc": {"user_mapping": {"*": True}},
    "property_manager": True, "lock_storage": True, "logging": {"enable": False}, "verbose": 1,
})
"""


def test_litmus_has_no_complaint_about_wsgidav(tmp_path):
    need_installed("wsgidav")
    (tmp_path / "files").mkdir()
    with process(WSGIDAV, tmp_path) as base:
        done = subprocess.run(
            [need("litmus"), "-k", f"{base}/"], cwd=tmp_path, capture_output=True, text=True, timeout=50
        )
    summaries = re.findall(
        r"summary for `(\w+)': of (\d+) tests run: (\d+) passed, (\d+) failed", done.stdout
    )
    assert sum(int(run) for _, run, _, _ in summaries) == 104, done.stdout
    assert [(name, failed) for name, _, _, failed in summaries if failed != "0"] == []
    assert "WARNING" not in done.stdout


# pypiserver: an index of packages, and twine and pip

PYPISERVER = """
import pypiserver
app = pypiserver.app(roots=["packages"], password_file=".", authenticate=[])
"""
METADATA = "Metadata-Version: 2.1\nName: tiny-thing\nVersion: 1.0\n"


def a_wheel(folder):
    path = folder / "tiny_thing-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("tiny_thing.py", "x = 1\n" * 100_000)
        wheel.writestr("tiny_thing-1.0.dist-info/METADATA", METADATA)
        wheel.writestr("tiny_thing-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr("tiny_thing-1.0.dist-info/RECORD", "")
    return path


def an_archive(folder):
    path = folder / "tiny_thing-1.0.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        top = tarfile.TarInfo("tiny_thing-1.0")
        top.type = tarfile.DIRTYPE
        archive.addfile(top)
        info = tarfile.TarInfo("tiny_thing-1.0/PKG-INFO")
        info.size = len(METADATA)
        archive.addfile(info, io.BytesIO(METADATA.encode()))
    return path


def python(*arguments):
    done = subprocess.run(
        [sys.executable, "-m", *map(str, arguments)], capture_output=True, text=True, timeout=50
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_twine_uploads_to_pypiserver_and_pip_gets_it_back(tmp_path):
    need_installed("pypiserver")
    need_installed("twine")
    for name in ("packages", "made", "got"):
        (tmp_path / name).mkdir()
    made = [a_wheel(tmp_path / "made"), an_archive(tmp_path / "made")]
    with process(PYPISERVER, tmp_path) as base:
        options = [
            "--repository-url",
            base,
            "-u",
            "a",
            "-p",
            "b",
            "--non-interactive",
            "--disable-progress-bar",
        ]
        python("twine", "upload", *options, *made)
        index = ["--index-url", f"{base}/simple/", "--no-cache-dir", "--disable-pip-version-check"]
        python("pip", "--isolated", "download", *index, "--no-deps", "-d", tmp_path / "got", "tiny-thing")
    wheel = made[0]
    assert (tmp_path / "got" / wheel.name).read_bytes() == wheel.read_bytes()
    assert (tmp_path / "packages" / made[1].name).read_bytes() == made[1].read_bytes()


# Radicale: calendars

RADICALE = """
from radicale import config
from radicale.app import Application
settings = config.load()
settings.update({"storage": {"filesystem_folder": "calendars"}, "auth": {"type": "none"}}, "the test")
app = Application(settings)
"""
EVENT = """\
BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//test//EN
BEGIN:VEVENT
UID:one
DTSTAMP:20260101T000000Z
DTSTART:20260704T100000Z
SUMMARY:Grüße
END:VEVENT
END:VCALENDAR
"""
QUERY = """\
<?xml version="1.0"?>
<C:calendar-query xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav">
<D:prop><C:calendar-data/></D:prop>
<C:filter><C:comp-filter name="VCALENDAR"><C:comp-filter name="VEVENT">
<C:time-range start="20260701T000000Z" end="20260801T000000Z"/>
</C:comp-filter></C:comp-filter></C:filter>
</C:calendar-query>
"""


def test_a_calendar_of_radicale_s(tmp_path):
    need_installed("radicale")
    with process(RADICALE, tmp_path) as base:
        curl = Curl(base, tmp_path)
        curl("/me/cal/", "-X", "MKCALENDAR", "-u", "me:")
        assert curl.status == 201
        curl("/me/cal/one.ics", "-T", "-", "-u", "me:", data=EVENT.encode())  # in chunks
        assert curl.status == 201
        assert "SUMMARY:Grüße" in curl("/me/cal/one.ics", "-u", "me:")
        tag = re.search(r"(?i)^etag: (.*)$", curl.head, re.MULTILINE)[1]
        curl("/me/cal/one.ics", "-T", "-", "-u", "me:", "-H", 'If-Match: "other"', data=EVENT.encode())
        assert curl.status == 412
        listed = curl("/me/cal/", "-X", "PROPFIND", "-H", "Depth: 1", "-u", "me:")
        assert (curl.status, listed.count("<href>/me/cal/one.ics</href>")) == (207, 1)
        found = curl("/me/cal/", "-X", "REPORT", "-H", "Depth: 1", "-u", "me:", "--data-binary", QUERY)
        assert (curl.status, "Grüße" in found) == (207, True)
        curl("/me/cal/one.ics", "-X", "DELETE", "-H", f"If-Match: {tag}", "-u", "me:")
        assert curl.status == 200
        curl("/me/cal/one.ics", "-u", "me:")
        assert curl.status == 404


# Trac: a wiki and tickets, with its own static files

TRAC = """
import os
os.environ["TRAC_ENV"] = "env"
from trac.web.main import dispatch_request as app
"""
MAKE_TRAC = """
from trac.admin.console import TracAdmin
admin = TracAdmin("env")
admin.onecmd("initenv Test sqlite:db/trac.db")
admin.onecmd("permission add anonymous TRAC_ADMIN")
"""


@pytest.fixture(scope="module")
def trac(tmp_path_factory):
    need_installed("trac")
    folder = tmp_path_factory.mktemp("trac")
    for command in (
        ["initenv", "Test", "sqlite:db/trac.db"],
        ["permission", "add", "anonymous", "TRAC_ADMIN"],
    ):
        subprocess.run(
            [sys.executable, "-W", "ignore", "-m", "trac.admin.console", "env", *command],
            cwd=folder,
            check=True,
            capture_output=True,
            timeout=50,
        )
    with process(TRAC, folder) as base:
        yield Curl(base, folder)


def token_of(page):
    return re.search(r'name="__FORM_TOKEN" value="(\w+)"', page)[1]


def test_a_page_of_trac_s_wiki(trac, tmp_path):
    token = token_of(trac("/wiki/%C3%9Cber?action=edit"))
    (tmp_path / "text").write_text("= Grüße =\n" + "word " * 50_000)
    fields = ["-d", "action=edit", "-d", "save=1", "-d", "version=0", "-d", f"__FORM_TOKEN={token}"]
    trac("/wiki/%C3%9Cber", *fields, "--data-urlencode", f"text@{tmp_path}/text")
    assert trac.status == 303
    page = trac("/wiki/%C3%9Cber")
    assert (trac.status, ">Grüße<" in page, page.count("word") >= 50_000) == (200, True, True)


def test_a_file_attached_to_a_ticket_of_trac_s(trac, tmp_path):
    token = token_of(trac("/newticket"))
    fields = ["-d", "field_summary=Broken", "-d", "field_status=new", "-d", "submit=1"]
    trac("/newticket", "-d", f"__FORM_TOKEN={token}", *fields)
    assert (trac.status, trac.head.count("/ticket/1\n")) == (303, 1)
    (tmp_path / "ä.bin").write_bytes(bytes(range(256)) * 4)
    form = ["-F", f"__FORM_TOKEN={token}", "-F", f"attachment=@{tmp_path}/ä.bin", "-F", "action=new"]
    trac("/attachment/ticket/1/", *form, "-F", "realm=ticket", "-F", "id=1")
    assert trac.status == 303
    raw = trac("/raw-attachment/ticket/1/%C3%A4.bin", text=False)
    assert (trac.status, raw) == (200, bytes(range(256)) * 4)


def test_static_files_and_errors_of_trac_s(trac):
    assert "body {" in trac("/chrome/common/css/trac.css")
    changed = re.search(r"(?i)^last-modified: (.*)$", trac.head, re.MULTILINE)[1]
    trac("/chrome/common/css/trac.css", "-H", f"If-Modified-Since: {changed}")
    assert trac.status == 304
    assert "No handler matched" in trac("/nowhere")
    assert trac.status == 404
