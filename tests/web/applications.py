"""Real applications in processes of their own, and curl to use them with."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from contextlib import contextmanager

import pytest

from tests.peers import need, root

__all__ = ["Curl", "process"]

SERVE = """
from portico import Server
with Server(app, "http://127.0.0.1:0", grace=2.0) as server:
    print(server.addresses[0].port, flush=True)
    sys.stdin.read()
"""


@contextmanager
def process(script, folder):
    """A process that serves the ``app`` that a script makes; its base URL."""
    environ = {**os.environ, "PYTHONPATH": f"{root / 'src'}:{folder}", "PYTHONWARNINGS": "ignore"}
    with subprocess.Popen(
        [sys.executable, "-c", f"import sys\n{script}\n{SERVE}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env=environ,
    ) as running:
        try:
            port = running.stdout.readline().strip()
            if not port:
                pytest.fail(running.stderr.read())
            yield f"http://127.0.0.1:{port}"
        finally:
            running.stdin.close()
            running.wait(20)


class Curl:
    """curl with a cookie jar: ``curl("/path", "-d", "a=b")`` gives the body; see ``status`` and ``head``."""

    def __init__(self, base, folder):
        self.base, self.folder = base, folder
        self.status, self.head = 0, ""
        self._curl = need("curl")

    def __call__(self, path, *options, text=True, data=None):
        head, jar = self.folder / "head", self.folder / "jar"
        done = subprocess.run(
            [
                self._curl,
                "-sS",
                "--max-time",
                "20",
                "-g",
                "-b",
                jar,
                "-c",
                jar,
                "-D",
                head,
                *options,
                self.base + path,
            ],
            input=data,
            capture_output=True,
            timeout=30,
        )
        assert done.returncode == 0, done.stderr
        self.head = head.read_text("latin-1")
        self.status = int(re.findall(r"^HTTP/1\.1 (\d+)", self.head, re.MULTILINE)[-1])
        return done.stdout.decode() if text else done.stdout

    def json(self, path, *options):
        return json.loads(self(path, *options))
