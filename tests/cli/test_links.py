"""``portico links`` and ``portico tables``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from portico.cli.main import run

PAGE = """<!doctype html><base href="http://x.test/d/"><title>T</title>
<a href="../a?b=c">A <b>b</b>\x1b[2J</a><img src=i.png><a href="mailto:a@b.c">m</a>
<table><caption>C</caption><tr><th>a<th>b<tr><td rowspan=2>1<td>2<tr><td>3</table>
<table><tr><td>x<td>\x1b]0;y\x07</table>"""


@pytest.fixture
def page(tmp_path: Path) -> str:
    path = tmp_path / "page.html"
    path.write_text(PAGE, encoding="utf-8")
    return str(path)


def said(capfd: pytest.CaptureFixture[str], *args: str, code: int = 0) -> str:
    assert run(list(args)) == code, capfd.readouterr()
    out, err = capfd.readouterr()
    assert (err.count("\n"), "Traceback" in err) == (1 if code else 0, False)
    return out if not code else err


def test_links_are_absolute_and_one_a_line(page, capfd):
    assert said(capfd, "links", page) == "http://x.test/a?b=c\nmailto:a@b.c\n"
    assert said(capfd, "links", page, "-k", "img") == "http://x.test/d/i.png\n"
    assert said(capfd, "links", page, "-k", "all").count("\n") == 3
    assert said(capfd, "links", page, "--base", "http://y.test/").startswith("http://x.test/a")
    for wrong, why in (
        ("--base=y.test", "--base 'y.test' is no URL"),
        ("--kinds=no", "--kinds ['no']: links are"),
    ):
        assert run(["links", page, wrong]) == 2
        assert why in capfd.readouterr().err
    texts = said(capfd, "links", page, "-t").splitlines()
    assert texts[0].startswith("http://x.test/a?b=c\tA b")
    assert "\x1b" not in texts[0]
    told = [json.loads(line) for line in said(capfd, "links", page, "--json").splitlines()]
    assert [each["kind"] for each in told] == ["a", "a"]


def test_tables_are_shown_with_their_numbers(page, capfd):
    out = said(capfd, "tables", page)
    assert out.startswith("0: C:\n")
    assert "\n1:\n" in out
    assert "\x1b" not in out
    told = [json.loads(line) for line in said(capfd, "tables", page, "--json").splitlines()]
    assert told[0] == {"table": 0, "caption": "C", "records": [{"a": "1", "b": "2"}, {"a": "1", "b": "3"}]}
    assert said(capfd, "data", page, "-s", "0", "--to", "csv").split() == ["a,b", "1,2", "1,3"]


def test_what_is_wrong_is_one_line(page, capfd):
    assert "nope" in said(capfd, "links", page, "-k", "nope", code=2)
    assert "No such file" in said(capfd, "links", "nowhere.html", code=2)
    assert "No such file" in said(capfd, "tables", "nowhere.html", code=2)
    assert "choose one" in said(capfd, "data", page, "--to", "csv", code=65)


def test_nothing_of_a_page_steers_the_terminal(capfd, tmp_path):
    path = tmp_path / "x.html"
    path.write_text("<a href='http://x/\u202ea'>\x1b[31m\u202e&#x1b;\x9b</a>", encoding="utf-8")
    for args in (("links", str(path), "-t"), ("links", str(path), "--json")):
        out = said(capfd, *args)
        assert not set("\x1b\u202e\x9b") & set(out)
    assert json.loads(out)["text"] == "\x1b[31m\u202e\x1b\x9b"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no full device here")
@pytest.mark.parametrize("command", ["links", "tables"])
def test_a_full_disk_is_no_fault_of_the_page(command, page):
    with open("/dev/full", "wb") as full:
        line = [sys.executable, "-m", "portico", command, page]
        done = subprocess.run(line, stdout=full, stderr=subprocess.PIPE, timeout=60)
    assert done.returncode == 2
    assert b"No space left" in done.stderr
    assert page.encode() not in done.stderr
