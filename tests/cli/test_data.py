"""``portico data``: what it converts, chooses and shows, and how it ends."""

from __future__ import annotations

import gzip
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from portico.cli.main import run

PRICES = 'name,price,unit price\nÄpfel,12.50,1\nBirnen,2,\n"Pflaumen, süß",7,3\n'
ROWS = [
    {"name": "Äpfel", "price": "12.50", "unit price": "1"},
    {"name": "Birnen", "price": "2", "unit price": ""},
    {"name": "Pflaumen, süß", "price": "7", "unit price": "3"},
]


@pytest.fixture
def prices(tmp_path: Path) -> str:
    path = tmp_path / "prices.csv"
    path.write_text(PRICES, encoding="utf-8")
    return str(path)


def said(capfd: pytest.CaptureFixture[str], *args: str, code: int = 0) -> tuple[str, str]:
    """What ``portico data`` prints, and says on stderr."""
    assert run(["data", *args]) == code, capfd.readouterr()
    out, err = capfd.readouterr()
    assert "Traceback" not in err
    return out, err


def records(text: str) -> list[object]:
    return [json.loads(line) for line in text.splitlines()]


def test_csv_becomes_json_lines_and_back(prices, capfd, tmp_path):
    out, err = said(capfd, prices, "--to", "jsonl")
    assert (records(out), err) == (ROWS, "")
    (tmp_path / "x.jsonl").write_text(out, encoding="utf-8")
    out, _ = said(capfd, str(tmp_path / "x.jsonl"), "--to", "csv")
    assert out.replace("\r\n", "\n") == PRICES


@pytest.mark.parametrize("form", ["csv", "tsv", "json", "jsonl", "xml", "html"])
def test_every_format_can_be_written_and_read(prices, capfd, tmp_path, form):
    path = tmp_path / f"x.{form}.gz"
    assert said(capfd, prices, "-o", str(path)) == ("", "")
    assert gzip.decompress(path.read_bytes())
    out, _ = said(capfd, str(path), "--to", "jsonl", *(["-s", "record"] if form == "xml" else []))
    found = [{name.replace("unit_price", "unit price"): value or "" for name, value in each.items()}
             for each in records(out)]  # fmt: skip
    assert found == ROWS


def test_records_are_chosen_and_cut(prices, capfd):
    assert records(said(capfd, prices, "--to", "jsonl", "-w", "price > 5 and has('unit price')")[0]) == [
        ROWS[0],
        ROWS[2],
    ]
    assert records(said(capfd, prices, "--to", "jsonl", "-n", "1")[0]) == ROWS[:1]
    assert records(said(capfd, prices, "--to", "jsonl", "-f", "price, name", "-n", "1")[0]) == [
        {"price": "12.50", "name": "Äpfel"}
    ]
    assert records(said(capfd, prices, "--to", "jsonl", "--types", "auto", "-f", "price")[0]) == [
        {"price": 12.5},
        {"price": 2.0},
        {"price": 7.0},
    ]


def test_elements_of_a_document_are_selected(capfd, tmp_path):
    path = tmp_path / "x.json"
    path.write_text('{"shop": {"items": [{"n": 1, "in": {"x": "a"}}, {"n": 2, "tags": ["b", "c"]}]}}')
    assert records(said(capfd, str(path), "--to", "jsonl", "-s", "shop.items[*]")[0]) == [
        {"n": 1, "in": {"x": "a"}},
        {"n": 2, "tags": ["b", "c"]},
    ]
    out, _ = said(capfd, str(path), "--to", "csv", "-s", "shop.items[*]", "-f", "n,in.x,tags")
    assert out.splitlines() == ["n,in.x,tags", "1,a,", '2,,"[""b"", ""c""]"']


def test_a_pipe_is_read_and_written(prices):
    command = [sys.executable, "-m", "portico", "data", "--to", "jsonl"]
    packed = gzip.compress(PRICES.encode("utf-16"))
    done = subprocess.run(command, input=packed, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert records(done.stdout.decode()) == ROWS


def test_a_reader_that_goes_ends_it_quietly(tmp_path):
    (tmp_path / "long.csv").write_text("a,b\n" + "1,2\n" * 400_000)
    command = [sys.executable, "-m", "portico", "data", str(tmp_path / "long.csv"), "--to", "jsonl"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert json.loads(process.stdout.readline()) == {"a": "1", "b": "2"}
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 141


# -- what fails


def test_what_is_wrong_is_said_in_one_line_and_nothing_is_left(capfd, tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("a,b\n1,2\n1,2,3\n4,5\n")
    out, err = said(capfd, str(path), "-o", str(tmp_path / "out.jsonl"), code=65)
    assert out == ""
    assert err.startswith(f"portico: {path}, line 3")
    assert err.count("\n") == 1
    assert sorted(os.listdir(tmp_path)) == ["x.csv"]


def test_going_on_leaves_out_what_is_wrong(capfd, tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("a,b\n1,2\n1,2,3\n4,5\n")
    out, err = said(capfd, str(path), "--to", "jsonl", "-k", code=65)
    assert records(out) == [{"a": "1", "b": "2"}, {"a": "4", "b": "5"}]
    assert "line 3" in err
    path = tmp_path / "x.jsonl"
    path.write_text('{"a": 1}\n{"a": \n{"a": 3}\n')
    out, err = said(capfd, str(path), "--to", "jsonl", "-k", code=65)
    assert records(out) == [{"a": 1}, {"a": 3}]
    assert "line 2" in err
    path = tmp_path / "x.json"
    path.write_text('[{"a": 1}, {"a": 2}, {"a"')
    out, err = said(capfd, str(path), "-o", str(tmp_path / "kept.jsonl"), "-k", code=65)
    assert records((tmp_path / "kept.jsonl").read_text()) == [{"a": 1}, {"a": 2}]


@pytest.mark.parametrize(
    ("args", "code", "word"),
    [
        (("nowhere.csv",), 2, "No such file"),
        (("x.csv", "--to", "yaml"), 2, "yaml"),
        (("x.csv", "--from", "yaml"), 2, "yaml"),
        (("x.csv", "-s", "a"), 2, "--select"),
        (("x.json", "-d", ";"), 2, "--delimiter"),
        (("x.csv", "-w", "1 +"), 2, "--where"),
        (("x.csv", "-w", "nowhere > 1"), 65, "nowhere"),
        (("x.csv", "-e", "klingon"), 2, "klingon"),
        (("x.csv", "--member", "y"), 2, "zip"),
        (("word.txt",), 65, "nothing tells its format"),
        (("x.csv", "-o", "nowhere/x.json"), 2, "No such file"),
        (("http://127.0.0.1:1/x.csv",), 7, "127.0.0.1"),
        (("x.csv", "--timeout", "0"), 2, "above zero"),
        (("x.json", "--to", "table2"), 2, "table2"),
    ],
)
def test_wrong_usage_is_one_line(capfd, tmp_path, monkeypatch, args, code, word):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.csv").write_text("a,b\n1,2\n")
    (tmp_path / "x.json").write_text('[{"a": 1}]')
    (tmp_path / "word.txt").write_text("word")
    out, err = said(capfd, *args, code=code)
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith("portico: ")
    assert word in err


def test_attacks_are_refused(capfd, tmp_path):
    bomb = tmp_path / "bomb.json.gz"
    bomb.write_bytes(gzip.compress(b'["' + bytes(300 << 20).replace(b"\0", b"a")))
    assert "times as many" in said(capfd, str(bomb), "-o", str(tmp_path / "out.csv"), code=63)[1]
    deep = tmp_path / "deep.json"
    deep.write_bytes(b"[" * 1_000_000)
    said(capfd, str(deep), "-o", str(tmp_path / "out.csv"), code=63)
    laughs = tmp_path / "laughs.xml"
    laughs.write_text(
        '<!DOCTYPE l [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><l><r>&b;</r><r>&b;</r></l>'
    )
    said(capfd, str(laughs), "--to", "jsonl", code=63)
    assert not (tmp_path / "out.csv").exists()


def test_the_terminal_is_not_ordered_about(capfd, tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("a,b\n\x1b[2J,\x07\n")
    assert "\x1b" not in said(capfd, str(path), "--to", "table")[0]


def test_progress_is_told_by_lines_when_it_takes_long(monkeypatch):
    from portico.cli import data_progress

    monkeypatch.setattr(data_progress, "_EVERY", 0.0)
    text = io.StringIO()
    monkeypatch.setattr(sys, "stderr", text)
    with data_progress.progress_of(quiet=False) as follow:
        assert follow is not None
        follow(1 << 20, 2 << 20)
    assert text.getvalue().startswith("1.0 MiB read, 50 %, ")
    with data_progress.progress_of(quiet=True) as follow:
        assert follow is None


def test_of_a_page_that_is_cut_the_rows_before_are_kept(tmp_path, capfd):
    page = "<table><tr><th>n<th>m" + "".join(f"<tr><td>{n}<td>{n * 7919 % 10_007}" for n in range(9000))
    cut = tmp_path / "page.html.gz"
    cut.write_bytes(gzip.compress(page.encode())[:20_000])
    out, err = said(capfd, str(cut), "--to", "jsonl", "--keep-going", code=65)
    rows = records(out)
    assert len(rows) > 1000
    assert rows == [{"n": str(n), "m": str(n * 7919 % 10_007)} for n in range(len(rows))]
    assert err.count("\n") == 1
    assert err.startswith(f"portico: {cut}: ")
    file = tmp_path / "x.jsonl"
    said(capfd, str(cut), "-o", str(file), code=65)
    assert not file.exists()
    said(capfd, str(cut), "-o", str(file), "--keep-going", code=65)
    assert records(file.read_text()) == rows


def test_a_page_that_is_too_much_is_one_line(tmp_path, capfd):
    deep = tmp_path / "deep.html"
    deep.write_text("<table>" + "<div>" * 9000)
    for more in ([], ["--keep-going"]):
        out, err = said(capfd, str(deep), "--to", "jsonl", *more, code=63)
        assert out == ""
        assert err == f"portico: {deep}: a page of more than 4096 elements within elements\n"
