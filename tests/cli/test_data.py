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


@pytest.mark.parametrize("to", ["csv", "jsonl", "xml"])
def test_a_slow_pipe_is_passed_on_as_it_comes(to):
    options = ["--from", "csv", "-d", ",", "-e", "utf-8", "--to", to]
    command = [sys.executable, "-m", "portico", "data", *options]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        came = b""
        for first in range(0, 9, 3):
            lines = "a\n" * (not first) + "".join(f"{first + more}00\n" for more in range(3))
            process.stdin.write(lines.encode())
            process.stdin.flush()
            while f"{first + 2}00".encode() not in came:  # it comes, or the test waits until it is ended
                came += os.read(process.stdout.fileno(), 1 << 16)
        process.stdin.close()
        process.stdout.read()
    assert process.returncode == 0


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
        (("x.csv", "-e", "klingon"), 2, "--encoding 'klingon'"),
        (("x.csv", "-d", ";;"), 2, "--delimiter ';;'"),
        (("x.csv", "--member", "y"), 2, "zip"),
        (("word.txt",), 65, "nothing tells its format; pass --from one of csv"),
        (("x.csv", "-o", "x.unknown"), 2, "its name tells no format; pass --to one of csv"),
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


def test_the_fields_of_many_records_are_the_columns(capfd, tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text('{"a":1}\n{"b":{"c":1}}\n{"d":3,"a":4}\n')
    out, _ = said(capfd, str(path), "--to", "csv")
    assert out.splitlines() == ["a,b,d", "1,,", ',"{""c"": 1}",', "4,,3"]


def test_a_field_that_comes_too_late_is_told(capfd, tmp_path):
    path, to = tmp_path / "x.jsonl", tmp_path / "x.csv"
    path.write_text('{"a":1}\n' * 1000 + '{"a":2,"late":1}\n{"a":3}\n')
    err = said(capfd, str(path), "-o", str(to), code=65)[1]
    assert "record 1001: a field 'late'" in err
    assert "--fields" in err
    assert not to.exists()
    said(capfd, str(path), "-o", str(to), "-k", code=65)
    assert to.read_text().splitlines()[-1] == "3"
    said(capfd, str(path), "-o", str(to), "-f", "late,a")
    assert to.read_text().splitlines()[-2:] == ["1,2", ",3"]
    path.write_text(json.dumps({"a": "x" * (1 << 20)}) + '\n{"late":1}\n')
    assert "the first 1 records" in said(capfd, str(path), "-o", str(to), code=65)[1]


def test_fields_are_names(prices, capfd):
    for text in ("", ",", "name,,price"):
        assert "--fields" in said(capfd, prices, "-f", text, code=2)[1]
    out, err = said(capfd, prices, "-f", '"nope, never", name', "-n", "1", "--to", "jsonl")
    assert (records(out), err) == (
        [{"nope, never": None, "name": "Äpfel"}],
        "portico: no record has a field 'nope, never'\n",
    )


@pytest.mark.parametrize(
    ("args", "code", "word"),
    [
        (("x.csv", "-e", "hex"), 2, "--encoding 'hex': no such"),
        (("x.csv", "-o", "x.foo"), 2, "x.foo: its name tells no format; pass --to one of"),
        (("x.csv", "-o", ""), 2, "'': no name of a file"),
        (("",), 2, "'': No such file"),
        (("", ""), 2, "unexpected extra"),
        (("x.csv", "-o", "/dev/full", "--to", "csv"), 2, "/dev/full: No space left on device"),
        (("x.csv", "-o", "nowhere/x.csv"), 2, "nowhere/x.csv: No such file"),
        (("word",), 65, "word: nothing tells its format; pass --from one of"),
        (("empty",), 65, "empty: there is nothing in it; pass --from one of"),
        (("two.html", "--to", "csv"), 65, "choose one of its tables with --select: 0:"),
        (("x.csv", "-d", "ab"), 2, "--delimiter 'ab': "),
        (("x.json", "-s", "1"), 2, "is none of .name"),
        (("x.json", "--fill"), 2, "--fill: json has none"),
        (("two.html", "-s", "9" * 5000), 2, "no CSS selector"),
    ],
)
def test_messages_speak_of_the_options_of_the_command(args, code, word, capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.csv").write_text("a,b\n1,2\n")
    (tmp_path / "x.json").write_text("[]")
    (tmp_path / "word").write_text("word")
    (tmp_path / "empty").touch()
    (tmp_path / "two.html").write_text("<table><tr><td>1</table>" * 2)
    before = sorted(os.listdir())
    out, err = said(capfd, *args, code=code)
    assert (out, err.count("\n")) == ("", 1)
    assert word in err
    assert sorted(os.listdir()) == before


def test_a_tab_can_be_typed(capfd, tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("a\tb,c\n1\t2,3\n")
    assert records(said(capfd, str(path), "-d", "\\t", "--to", "jsonl")[0]) == [{"a": "1", "b,c": "2,3"}]


def portico(*args: str, **how: object) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([sys.executable, "-m", "portico", "data", *args], timeout=60, **how)


def test_standard_streams_may_be_closed(prices, tmp_path):
    command = f"{sys.executable} -m portico data"
    for line, code, word in [
        (f"{command} <&-", 2, b"standard input is closed"),
        (f"{command} {prices} >&-", 2, b"standard output is closed"),
        (f"{command} {prices} -o {tmp_path}/x.csv >&-", 0, b""),
    ]:
        done = subprocess.run(line, shell=True, capture_output=True, timeout=60)
        assert (done.returncode, word in done.stderr) == (code, True), done
        assert b"Traceback" not in done.stderr


def test_a_silent_standard_input_is_given_up():
    reading, writing = os.pipe()
    with open(reading) as silent, open(writing, "w"):
        done = portico("--from", "csv", "--timeout", "0.1", stdin=silent, capture_output=True)
    assert done.returncode == 28
    assert b"reading standard input" in done.stderr


@pytest.mark.parametrize("form", ["csv", "tsv", "json", "jsonl", "html", "table"])
def test_a_terminal_is_steered_by_no_format(form, tmp_path):
    pty = pytest.importorskip("pty")
    path = tmp_path / "x.json"
    path.write_text('[{"\\u001b[2Ja": "\\u009b31m\\u202e\\u0007", "b": "ä\\ttab"}]')
    ours, theirs = pty.openpty()
    with open(theirs, "wb", buffering=0) as terminal, open(ours, "rb", buffering=0) as screen:
        dumb = os.environ | {"TERM": "dumb"}
        done = portico(str(path), "--to", form, stdout=terminal, stderr=subprocess.PIPE, env=dumb)
        assert done.returncode == 0
        shown = screen.read(65536).decode()
    assert not set("\x1b\x07\x9b\u202e") & set(shown)
    assert "[2Ja" in shown
    assert "ä" in shown


def test_a_file_is_followed_on_a_terminal_that_shows_nothing_of_it(monkeypatch):
    from portico.cli import data_progress

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setattr(sys, "stdout", Terminal())
    with data_progress.progress_of(quiet=False, to_stdout=True) as follow:
        assert follow is None
    with data_progress.progress_of(quiet=False, to_stdout=False) as follow:
        assert follow is not None


def test_ragged_records_are_filled_where_that_is_asked_for(capfd, tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("a,b,c\n1\n1,2,3\n")
    said(capfd, str(path), "--to", "jsonl", code=65)
    out, _ = said(capfd, str(path), "--fill", "--to", "csv")
    assert out.splitlines() == ["a,b,c", "1,,", "1,2,3"]


@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_who_is_told_to_end_leaves_no_litter(number, tmp_path):
    import signal

    (tmp_path / "x.jsonl").write_text("before")
    command = [sys.executable, "-m", "portico", "data", "--from", "csv", "-o", str(tmp_path / "x.jsonl")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(b"a,b\n" + b"1,2\n" * 200_000)
        process.stdin.flush()  # it has read almost all of that, and therefore begun
        process.send_signal(getattr(signal, number))
        process.communicate(timeout=60)
    assert process.returncode == 128 + getattr(signal, number)
    assert os.listdir(tmp_path) == ["x.jsonl"]
    assert (tmp_path / "x.jsonl").read_text() == "before"


def test_rows_have_columns(capfd, tmp_path):
    path = tmp_path / "x.json"
    path.write_text('[[1,"a"],[2,["b"]]]')
    assert said(capfd, str(path), "--to", "csv")[0].splitlines() == [
        "column_1,column_2",
        "1,a",
        '2,"[""b""]"',
    ]
    assert (
        "<record><column_1>1</column_1><column_2>a</column_2></record>"
        in said(capfd, str(path), "--to", "xml")[0]
    )


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


ENTITY = '<!DOCTYPE r [<!ENTITY e "x">]><r><i>&e;</i></r>'


@pytest.mark.parametrize(
    ("name", "text", "options", "expected"),
    [
        ("x.xml", ENTITY, "--read allow=entities", '{"#text":"x"}'),
        ("x.xml", ENTITY, "--read allow=huge,entities", '{"#text":"x"}'),
        (
            "x.xml",
            '<r xmlns="u"><i>1</i></r>',
            "-s p:i --read namespaces=p=u --to xml --write record=n --write root=all",
            '<?xml version="1.0" encoding="UTF-8"?>\n<all>\n<n>1</n>\n</all>',
        ),
        ("x.json", '{"a":NaN}', "--read allow_nan=true --to csv", "a\nnan"),
        ("x.json", '{"a":0.12345678901234567890}', "--read numbers=decimal", '{"a":0.12345678901234567890}'),
        ("x.json", '{"a":1}', "--to json --write indent=1", '[\n {\n  "a": 1\n }\n]'),
        ("x.json", '{"abc":[[1]]}', "--limit json_depth=3", '{"abc":[[1]]}'),
        ("x.csv", "no\na;b\n1,5;2\n", "--types auto --read decimal=, --read skip=1", '{"a":1.5,"b":2}'),
        ("x.csv", "1,2\n", "--read header=p,q", '{"p":"1","q":"2"}'),
        ("x.csv", 'a,b\n"1"x,2\n', "--read strict=false", '{"a":"1x","b":"2"}'),
        ("x.csv", "a,b\n1,2\n", "--to csv --write delimiter=; --write header=false", "1;2"),
    ],
)
def test_options_of_formats_are_given_by_name(capfd, tmp_path, name, text, options, expected):
    (tmp_path / name).write_text(text, encoding="utf-8")
    more = [] if "--to" in options else ["--to", "jsonl"]
    out, _ = said(capfd, str(tmp_path / name), *options.split(), *more)
    assert out.replace("\r\n", "\n") == expected + "\n"


@pytest.mark.parametrize(
    ("name", "text", "options", "code", "told"),
    [
        ("x.xml", ENTITY, "", 63, "not expanded here; --read allow=entities expands them"),
        ("x.json", '{"a":NaN}', "", 65, "--read allow_nan=true takes it"),
        ("x.csv", 'a,b\n"1"x,2\n', "", 65, "--read strict=false takes it as it is, --read quote= where"),
        ("x.csv", "a,b\n12345,2\n", "--limit csv_field=3", 63, "pass --limit csv_field=N"),
        ("x.csv", "a\n1\n", "--limit csv_feld=3", 2, "no limit is called 'csv_feld'"),
        ("x.csv", "a\n1\n", "--limit csv_field=x", 2, "--limit csv_field=x: expected a whole number"),
        ("x.csv", "a\n1\n", "--read quote", 2, "--read quote: write NAME=VALUE"),
        ("x.csv", "a\n1\n", "--read quota=x", 2, "--read: csv has no option 'quota' (it has comment, "),
        ("x.csv", "a\n1\n", "--read strict=no", 2, "--read strict=no: expected true or false"),
        ("x.csv", "a\n1\n", "--read type=x", 2, "--read type: only programs can give it"),
        ("x.csv", "a\n1\n", "--write indent=2", 2, "--write: csv has no option 'indent'"),
    ],
)
def test_wrong_options_of_formats_are_told_in_one_line(capfd, tmp_path, name, text, options, code, told):
    (tmp_path / name).write_text(text, encoding="utf-8")
    out, err = said(capfd, str(tmp_path / name), *options.split(), code=code)
    assert out == ""
    assert err.count("\n") == 1
    assert told in err
