"""CPython's own tests of ``socketserver`` and ``http.server``, as shipped with the interpreter, against ours.

They are read where they lie, with their import changed as a program's would be.
"""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import sys, types, unittest
path, engine, old, new = sys.argv[1:5]
from portico.compat import engined, socketserver
if engine:
    engined.Engined.engine = socketserver.ThreadingMixIn.engine = engine
source = open(path, encoding="utf-8").read()
assert source.count(old) == 1, "another text than this test knows"
module = types.ModuleType("theirs")
module.__file__ = path
sys.modules["theirs"] = module
exec(compile(source.replace(old, new), path, "exec"), module.__dict__)
suite = unittest.defaultTestLoader.loadTestsFromModule(module)
result = unittest.TextTestRunner(stream=sys.stderr).run(suite)
lost = len(result.skipped) + len(result.failures) + len(result.errors)
sys.stderr.write(f"PASSED {result.testsRun - lost}\\n")
"""
SOCKETSERVER = "\nimport socketserver\n", "\nfrom portico.compat import socketserver\n"
HTTP_SERVER = (
    "class NoLogRequestHandler:",
    "from portico.compat.http.server import HTTPServer\nclass NoLogRequestHandler:",
)


def run(name, change, engine, tmp_path):
    spec = importlib.util.find_spec(f"test.{name}") if importlib.util.find_spec("test") else None
    if spec is None or spec.origin is None:
        pytest.skip(f"this Python comes without its tests: no test.{name}")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, spec.origin, engine, *change],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=50,
    )
    failed = re.findall(r"^(?:FAIL|ERROR): (\w+)", done.stderr, re.MULTILINE)
    passed = re.search(r"^PASSED (\d+)$", done.stderr, re.MULTILINE)
    assert passed, done.stderr
    return int(passed[1]), failed, done.stderr


@pytest.mark.parametrize("engine", ["", "events"])
def test_socketserver(engine: str, tmp_path: Path) -> None:
    passed, failed, errors = run("test_socketserver", SOCKETSERVER, engine, tmp_path)
    assert failed == ["test_all"], errors  # it compares __all__ with everything that the module defines
    assert passed >= 20


@pytest.mark.parametrize("engine", ["", "events"])
def test_http_server(engine: str, tmp_path: Path) -> None:
    passed, failed, errors = run("test_httpservers", HTTP_SERVER, engine, tmp_path)
    assert failed == [], errors
    assert passed >= 40  # not every version has as many
