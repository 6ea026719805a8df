"""A short run of each fuzz target; and that what is wrong would be found."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from tests.fuzz.targets import SEEDS, TARGETS
from tests.peers import need_module, root

PLANTED = """
from tests.fuzz.__main__ import fuzz, TARGETS

def planted(data):
    TARGETS["cgi-output"](data)
    assert len(data) < 30, "found"

fuzz(planted, [b"\\0Content-Type:"], ["-seed=1", "-runs=20000"])
"""


def run(tmp_path, *arguments: str) -> subprocess.CompletedProcess[str]:
    need_module("atheris")
    env = {**os.environ, "PYTHONPATH": f"{root}/src:{root}", "TMPDIR": str(tmp_path)}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=root, env=env, capture_output=True, text=True, timeout=50)


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_is_found_in_a_short_run(name, tmp_path):
    done = run(tmp_path, "-m", "tests.fuzz", name, "-seed=1", "-runs=2000")
    assert done.returncode == 0, (done.stdout + done.stderr)[-2000:]
    assert "INFO: Instrumenting" in done.stderr
    ran = re.search(r"Done (\d+) runs", done.stderr)
    assert ran is not None  # the seeds, and more
    assert int(ran[1]) >= 2000
    assert not list(tmp_path.iterdir())


def test_what_is_wrong_is_found_and_kept(tmp_path):
    done = run(tmp_path, "-c", PLANTED)
    assert done.returncode != 0
    assert "AssertionError: found" in done.stdout + done.stderr
    assert [file.name.rpartition("-")[0] for file in tmp_path.iterdir()] == ["fuzz-planted-crash"]


def test_targets_are_listed_and_have_seeds(tmp_path):
    assert run(tmp_path, "-m", "tests.fuzz").stdout.split() == list(TARGETS) == list(SEEDS)
    assert run(tmp_path, "-m", "tests.fuzz", "nothing").returncode == 2
    for name, seeds in SEEDS.items():
        for seed in seeds():
            TARGETS[name](seed)
