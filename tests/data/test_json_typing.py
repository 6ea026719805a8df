"""What type checkers are told of the readers of JSON."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.peers import need_module, root


def test_values_have_the_type_that_is_asked_for(tmp_path: Path) -> None:
    need_module("mypy")
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--cache-dir",
        str(tmp_path),
        "tests/data/json_typed.py",
    ]
    done = subprocess.run(
        command, cwd=root, env={**os.environ, "MYPYPATH": "src"}, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
