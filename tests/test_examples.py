"""The programs in examples/ do what they say."""

from __future__ import annotations

import re
import subprocess
import sys

from tests.peers import root


def test_gather_asks_a_thousand_slow_servers_at_once_in_one_thread() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "examples/gather.py", "1000", "0.3"],
        capture_output=True,
        text=True,
        timeout=50,
        cwd=root,
    )
    assert done.stderr == ""
    found = re.fullmatch(
        r"1000 servers answered, 0\.3 s each, in ([\d.]+) s: 332833500\nthreads: 1\n", done.stdout
    )
    assert found is not None, done.stdout
    assert float(found[1]) < 30  # one after the other it would be 300
