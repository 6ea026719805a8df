"""Every program of README.md and docs/ runs.

A block fenced as ``python`` is a whole program: it is run as it stands, in a folder of its own, and must
end well. A block fenced as ``py`` is a part of one: it has to compile. The first program of the README
serves until it is stopped: it is run as it stands but for its port, and asked over a real socket.
"""

from __future__ import annotations

import ast
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.peers import root

PAGES = [root / "README.md", *sorted((root / "docs").glob("**/*.md"))]
BLOCK = re.compile(r"^```(python|py)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(kind: str) -> list[Any]:
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for match in BLOCK.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            if match[1] == kind:
                found.append(pytest.param(match[2], id=f"{page.relative_to(root)}:{line}"))
    return found


FIRST, *OTHERS = blocks("python")


def start(program: str, folder: Path) -> subprocess.Popen[str]:
    file = folder / "program.py"
    file.write_text(program, encoding="utf-8")
    return subprocess.Popen(
        [sys.executable, "-X", "dev", "-W", "error", str(file)],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def listening_port(process: subprocess.Popen[str]) -> int:
    """The port that a process listens on, as the kernel tells it."""
    until = time.monotonic() + 20
    while process.poll() is None and time.monotonic() < until:
        for one in psutil.Process(process.pid).net_connections("tcp"):
            if one.status == psutil.CONN_LISTEN:
                return int(one.laddr.port)
        time.sleep(0.02)
    process.kill()
    pytest.fail(f"the program does not listen: {process.communicate()}")


def test_the_first_program_of_the_readme_is_ten_lines_and_greets(tmp_path: Path) -> None:
    program = str(FIRST.values[0])
    assert len(program.splitlines()) == 10
    assert program.count("tcp://:9000") == 1
    process = start(program.replace("tcp://:9000", "tcp://:0"), tmp_path)
    try:
        for name in ("World", "Grüße"):
            with socket.create_connection(("localhost", listening_port(process)), timeout=20) as client:
                client.sendall(f"{name}\n".encode())
                assert client.makefile("rb").read().decode() == f"Hello {name}\n"
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=20)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 0, errors
    assert "Traceback" not in errors


@pytest.mark.parametrize("program", OTHERS)
def test_a_program_of_the_pages_runs(program: str, tmp_path: Path) -> None:
    process = start(program, tmp_path)
    try:
        output, errors = process.communicate(timeout=30)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 0, errors
    assert "Traceback" not in errors
    for expected in re.findall(r"^.*print\(.*#=> (.*)$", program, re.MULTILINE):
        assert expected in output


@pytest.mark.parametrize("part", blocks("py"))
def test_a_part_of_a_program_compiles(part: str) -> None:
    assert ast.parse(part).body


def test_the_links_of_the_readme_lead_somewhere() -> None:
    text = (root / "README.md").read_text(encoding="utf-8")
    targets = [target for target in re.findall(r"\]\(([^)]+)\)", text) if "://" not in target]
    assert targets
    assert [target for target in targets if not (root / target).exists()] == []
