"""Every program of README.md and docs/ runs: see ``tests/pages.py`` for what a block is.

The first program of the README serves until it is stopped: it is run as it stands but for its port, and
asked over a real socket.
"""

from __future__ import annotations

import ast
import re
import signal
import socket
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.pages import ENOUGH, PAGES, PART, Block, Terminal, blocks, expected, start, until_listening

FIRST, *OTHERS = blocks("python")


def each(found: list[Block]) -> list[Any]:
    return [pytest.param(block, id=block.where) for block in found]


def test_the_first_program_of_the_readme_is_ten_lines_and_greets(tmp_path: Path) -> None:
    program = FIRST.text
    assert len(program.splitlines()) == 10
    assert program.count("tcp://:9000") == 1
    process = start(program.replace("tcp://:9000", "tcp://:0"), tmp_path)
    try:
        port = until_listening(process)
        for name in ("World", "Grüße"):
            with socket.create_connection(("localhost", port), timeout=20) as client:
                client.sendall(f"{name}\n".encode())
                assert client.makefile("rb").read().decode() == f"Hello {name}\n"
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=20)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 0, errors
    assert "Traceback" not in errors


@pytest.mark.parametrize("block", each(OTHERS))
def test_a_program_of_the_pages_runs(block: Block, tmp_path: Path) -> None:
    block.prepare(tmp_path)
    process = start(block.text, tmp_path)
    try:
        output, errors = process.communicate(timeout=ENOUGH)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 0, errors
    assert "Traceback" not in errors
    for line in expected(block.text):
        assert line in output


@pytest.mark.parametrize("block", each(blocks("console")))
def test_a_dialogue_with_a_shell_goes_as_it_is_written(block: Block, tmp_path: Path) -> None:
    block.prepare(tmp_path)
    with Terminal(tmp_path) as terminal:
        terminal.hold(block.text)


@pytest.mark.parametrize("block", each([*blocks("py"), *blocks("ini")]))
def test_a_part_of_a_program_says_so_and_compiles(block: Block) -> None:
    assert block.text.startswith(PART)
    if block.kind == "py":
        assert ast.parse(block.text).body


@pytest.mark.parametrize("block", each(blocks("toml")))
def test_a_configuration_is_toml_and_is_called_or_called_a_part(block: Block) -> None:
    assert re.match(rf"{PART}\b|# [\w-]+\.toml$", block.text, re.MULTILINE)
    tomllib.loads(block.text)


@pytest.mark.parametrize("page", [pytest.param(page, id=page.name) for page in PAGES])
def test_the_links_of_a_page_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    targets = [target for target in re.findall(r"\]\(([^)]+)\)", text) if "://" not in target]
    assert [target for target in targets if not leads_somewhere(page, target)] == []


def leads_somewhere(page: Path, target: str) -> bool:
    name, _, anchor = target.partition("#")
    file = page.parent / name if name else page
    return file.exists() and (not anchor or anchor in anchors(file.read_text(encoding="utf-8")))


def anchors(text: str) -> set[str]:
    """What the headings of a page are called in links, as GitHub does it."""
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("says", ["wrong output", "failure", "a warning"])
def test_a_program_that_does_not_do_what_its_page_says_is_noticed(says: str, tmp_path: Path) -> None:
    program = {
        "wrong output": "print(1)  #=> 2",
        "failure": "raise SystemExit('no')",
        "a warning": "open('x', 'w')",
    }[says]
    with pytest.raises(AssertionError):
        test_a_program_of_the_pages_runs(Block("python", program, "", {}), tmp_path)


@pytest.mark.parametrize(
    "dialogue",
    ["$ echo a\nb\n", "$ echo a; echo b\na\n", "$ portico listen unix:left.sock &\n", "$ true &\n"],
)
def test_a_dialogue_that_goes_otherwise_is_noticed(dialogue: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError), Terminal(tmp_path) as terminal:
        terminal.hold(dialogue)
