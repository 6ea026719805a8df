"""``portico serve --reload``: what is saved is served; what is broken leaves the last good one."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from portico.cli.main import run
from portico.cli.serve_watch import module_folders
from tests.cli.serving import Serving, curl, serving
from tests.engines.serving import until
from tests.peers import need, need_module

pytestmark = pytest.mark.timeout(120)

APP = """
from words import WORD

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [WORD.encode()]
"""

FILE = """
python_path = ["lib"]
[[mount]]
wsgi = "shop:app"
[[mount]]
path = "/x"
respond = 200
body = "one"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    need_module("watchfiles")
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "words.py").write_text("WORD = 'one'\n")
    (tmp_path / "shop.py").write_text(APP)
    (tmp_path / "portico.toml").write_text(FILE)
    return tmp_path


@pytest.fixture
def running(folder: Path) -> Iterator[Serving]:
    with serving(folder, "-c", "portico.toml", "--reload", "-v") as running:
        yield running
        assert running.stop() == 0


def word(running: Serving, path: str = "/") -> str:
    return curl(f"{running.url}{path}")


def test_what_is_saved_is_served(running: Serving, folder: Path) -> None:
    assert word(running) == "one"
    for new in ("two", "six"):  # of one size, and within a second: a cache of bytecode would not notice
        (folder / "lib" / "words.py").write_text(f"WORD = '{new}'\n")
        until(lambda new=new: word(running) == new)  # type: ignore[misc]
    assert "reloading: lib/words.py" in running.so_far
    (folder / "portico.toml").write_text((folder / "portico.toml").read_text().replace('"one"', '"two"'))
    until(lambda: word(running, "/x") == "two")
    assert "workers has changed" not in running.so_far


def test_a_syntax_error_leaves_the_last_good_one_and_is_shown(running: Serving, folder: Path) -> None:
    (folder / "shop.py").write_text("def app(:\n")
    until(lambda: "the old code goes on" in running.so_far, "the refusal")
    assert re.search(r"cannot start: .*SyntaxError: .* \(shop\.py, line 1\)", running.so_far)
    assert word(running) == "one"
    (folder / "portico.toml").write_text("[[mount]]\nwsgi = 'shop:app'\nwsgy = 1\n")
    until(lambda: "portico.toml:3: mount[1].wsgy: unknown key" in running.so_far, "the other refusal")
    assert word(running) == "one"
    (folder / "portico.toml").write_text("python_path = ['lib']\n[[mount]]\nwsgi = 'shop:app'\n")
    (folder / "shop.py").write_text(APP.replace("WORD.encode()", "b'mended'"))
    until(lambda: word(running) == "mended")


def test_other_files_change_nothing(running: Serving, folder: Path) -> None:
    (folder / "note.txt").write_text("a note")
    (folder / "data.json").write_text("{}")
    (folder / "lib" / "words.py").write_text("WORD = 'two'\n")
    until(lambda: word(running) == "two")
    assert running.so_far.count("reloading") == 1


def test_no_request_is_lost(running: Serving, folder: Path) -> None:
    command = [need("wrk"), "-t1", "-c4", "-d2", f"{running.url}/"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as load:
        try:
            for number in range(5):
                (folder / "lib" / "words.py").write_text(f"WORD = '{number}'\n")
                until(lambda number=number: word(running) == str(number))  # type: ignore[misc]
            said = load.communicate(timeout=60)[0]
        finally:
            load.kill()
    assert "Socket errors" not in said, said
    assert "Non-2xx" not in said, said


def test_without_the_library_one_line_says_what_to_install(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setitem(sys.modules, "watchfiles", None)
    assert run(["serve", "--reload"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("portico: --reload needs the package watchfiles")
    assert said.endswith("pip install 'portico[reload]'\n")
    assert said.count("\n") == 1


def test_folders_of_installed_packages_are_not_watched() -> None:
    folders = module_folders()
    assert str(Path(__file__).parent) in folders
    assert not [each for each in folders if "site-packages" in each or "/src/portico" in each]


def test_an_end_by_signal_while_watching(folder: Path) -> None:
    with serving(folder, "-c", "portico.toml", "--reload") as running:
        assert running.stop(signal.SIGINT) == 0
        assert running.words == []
