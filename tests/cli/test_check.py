"""``portico check`` and ``portico hash-password``."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
import trustme

from portico.cli.main import run
from portico.web.passwords import read_hash
from tests.peers import root

ENOUGH = 30.0

GOOD = """
listen = "https://127.0.0.1:0"
tls.certificate = "cert.pem"
[[mount]]
static = "site"
[[mount]]
path = "/app"
wsgi = "shop:app"
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "site").mkdir()
    (tmp_path / "shop.py").write_text("def app(environ, start_response): ...\nnumber = 7\n")
    trustme.CA().issue_cert("a.example").private_key_and_cert_chain_pem.write_to_path(
        str(tmp_path / "cert.pem")
    )
    (tmp_path / "portico.toml").write_text(GOOD)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def portico(folder: Path, *args: str, given: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "portico", *args],
        cwd=folder, input=given, capture_output=True, text=True, timeout=ENOUGH,
    )  # fmt: skip


def test_a_good_file(folder: Path) -> None:
    for args in ([], ["portico.toml"], [str(folder / "portico.toml")]):
        done = portico(folder, "check", *args)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.endswith("portico.toml: good; 2 mounts, engine threads\n")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (
            "shop:app",
            "shop:ap",
            ["portico.toml:8: mount[2].wsgi: the module shop has no 'ap'; did you mean 'app'?"],
        ),
        (
            "shop:app",
            "shop:number",
            ["portico.toml:8: mount[2].wsgi: shop:number is of type int, not callable"],
        ),
        ('"/app"', '"/"', ["portico.toml:8: mount[2].wsgi: two targets are mounted at /"]),
        (
            'tls.certificate = "cert.pem"',
            "",
            ["portico.toml:2: listen: https://127.0.0.1:0 needs a certificate"],
        ),
        ('"cert.pem"', '"shop.py"', ["portico.toml:3: tls.certificate: ", "contains no certificate"]),
        ("https:", "http:", ["portico.toml:3: tls.certificate: there is a certificate, but"]),
        ("https:", "ftp:", ["portico.toml:2: listen: --at ftp://127.0.0.1:0"]),
        (
            '"https://127.0.0.1:0"',
            '"127.0.0.1"',
            ["portico.toml:2: listen: address '127.0.0.1': the port is"],
        ),
        (
            '"https://127.0.0.1:0"',
            '["https://127.0.0.1:1", "https://127.0.0.1:1"]',
            ["portico.toml:2: listen: https://127.0.0.1:1 is named twice"],
        ),
        (
            "tls.cert",
            "https_only = true\ntls.cert",
            ["portico.toml:3: https_only: https_only needs an https"],
        ),
        ('"site"', '"site"\nindex = "a/b"', ["portico.toml:6: mount[1].index: static index 'a/b'"]),
        ('"site"', '"site"\npages.404 = "x"', ["portico.toml:6: mount[1].pages: static pages[404]='x'"]),
        ("[[mount]]\nst", "max_age = 3\n[[mount]]\nst", ["portico.toml:4: max_age: ", "--workers"]),
        (
            "[[mount]]\nst",
            "admission.max_connections = 99999\n[[mount]]\nst",
            ["portico.toml:4: admission.max_connections: ", "nobody would be refused"],
        ),
        ("shop:app", "shop:ap'\nx = 'y", ["portico.toml:8: ", "not TOML"]),
        ("https://127.0.0.1:0", "fd://web?tls=maybe", ["portico.toml:2: listen: ", "tls=maybe is neither"]),
        ('"site"', '"sight"', ["portico.toml:5: mount[1].static: there is no "]),
    ],
)
def test_a_mistake_is_told_with_its_line(
    folder: Path, old: str, new: str, says: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    text = GOOD.replace(old, new)
    assert text != GOOD
    (folder / "portico.toml").write_text(text)
    assert run(["check"]) == 2
    printed = capfd.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("portico: ")
    for each in says:
        assert each in printed.err
    assert printed.err.count("\n") == 1


def test_all_mistakes_at_once_a_line_each(folder: Path) -> None:
    text = (
        GOOD.replace("shop:app", "shop:ap")
        .replace('"https:', '"ftp:')
        .replace('"site"', '"site"\nlistin = 3')
    )
    (folder / "portico.toml").write_text(text)
    lines = portico(folder, "check").stderr.splitlines()
    assert [line.split(":")[2] for line in lines] == ["6"]  # what cannot be read first
    (folder / "portico.toml").write_text(text.replace("listin = 3", ""))
    lines = portico(folder, "check").stderr.splitlines()
    assert [line.split(":")[2] for line in lines] == ["2", "9"]


def test_nothing_is_imported_where_that_is_not_wanted(folder: Path) -> None:
    (folder / "shop.py").write_text("open('imported', 'w')\n1 / 0\n")
    assert portico(folder, "check", "--no-programs").returncode == 0
    assert not (folder / "imported").exists()
    done = portico(folder, "check")
    assert "portico.toml:8: mount[2].wsgi: cannot import shop: ZeroDivisionError" in done.stderr


def test_mistakes_for_machines(folder: Path) -> None:
    assert json.loads(portico(folder, "check", "--json").stdout) == {"file": "portico.toml", "problems": []}
    (folder / "portico.toml").write_text("a = 1\n")
    done = portico(folder, "check", "--json")
    assert done.returncode == 2
    assert done.stderr == ""
    (problem,) = json.loads(done.stdout)["problems"]
    assert (problem["line"], problem["key"]) == (1, "a")
    assert problem["message"].startswith("unknown key")


def test_sockets_of_a_service_manager_need_not_be_there(folder: Path) -> None:
    (folder / "portico.toml").write_text(GOOD.replace("https://127.0.0.1:0", "fd://web?tls=yes"))
    assert portico(folder, "check").returncode == 0


def test_a_file_that_is_not_there(folder: Path) -> None:
    done = portico(folder, "check", "none.toml")
    assert (done.returncode, done.stderr) == (
        2,
        "portico: cannot read none.toml: No such file or directory\n",
    )


def test_the_example_is_good() -> None:
    done = portico(root / "examples", "check", "portico.toml")
    assert (done.returncode, done.stderr) == (0, "")


# -- passwords


def test_a_password_on_standard_input(folder: Path) -> None:
    done = portico(folder, "hash-password", given="grüße\nnot this\n")
    assert read_hash(done.stdout.strip()).check("grüße".encode())
    line = portico(folder, "hash-password", "ada", given="x").stdout
    assert line.startswith("ada:$scrypt$")
    facts = json.loads(portico(folder, "hash-password", "ada", "--json", given="x\n").stdout)
    assert facts["user"] == "ada"
    assert read_hash(facts["hash"]).check(b"x")


@pytest.mark.parametrize(
    ("args", "given", "says"),
    [
        ([], "", "an empty password"),
        ([], "\n", "an empty password"),
        (["a:b"], "x\n", "a name has no colon"),
    ],
)
def test_a_password_that_cannot_be_is_one_line(folder: Path, args: list[str], given: str, says: str) -> None:
    done = portico(folder, "hash-password", *args, given=given)
    assert done.returncode == 2
    assert done.stdout == ""
    assert says in done.stderr
    assert done.stderr.count("\n") == 1


def test_on_a_terminal_it_is_asked_for_twice_and_not_shown(folder: Path) -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "portico", "hash-password"],
        stdin=theirs, stderr=theirs, stdout=subprocess.PIPE, text=True, start_new_session=True,
    ) as process:  # fmt: skip
        try:
            os.close(theirs)
            shown = b""
            for question in (b"Password:", b"confirmation:"):
                while not shown.endswith(question + b" "):
                    shown += os.read(ours, 1000)
                os.write(ours, b"geheim\n")
            assert process.stdout is not None
            assert read_hash(process.stdout.read().strip()).check(b"geheim")
            assert process.wait(ENOUGH) == 0
            assert b"geheim" not in shown
        finally:
            process.kill()
            os.close(ours)
