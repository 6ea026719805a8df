"""The house stands: floors, machinery, pure codecs, and a public surface that is written down."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from importlib import import_module

import pytest

import portico
from tests.layers import Tree, floor_of, violations
from tests.peers import root

SOURCE = root / "src" / "portico"
PAGE = root / "docs" / "api.md"


@pytest.fixture(scope="module")
def tree() -> Tree:
    return Tree.read(SOURCE)


def test_no_import_goes_up_and_machinery_stays_on_its_floor(tree: Tree) -> None:
    found = violations(tree)
    assert not found, "\n" + "\n".join(found)


def test_the_walk_sees_the_whole_tree(tree: Tree) -> None:
    assert len(tree.modules) == len(list(SOURCE.rglob("*.py")))
    assert "portico.errors" in tree.modules
    assert any(one.target == "portico.errors" for one in tree.imports("portico.deadline"))


BREACHES = {
    "upward": ("portico/errors", "from portico.sockets.stream import Stream", "above its own floor 0"),
    "upward, relative": ("portico/http/codec", "from ..web import static", "floor 4"),
    "upward, inside a function": (
        "portico/server",
        "def f():\n    from portico.web import static",
        "floor 4",
    ),
    "upward, for types": (
        "portico/server",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from portico.http import server",
        "above its own floor 2",
    ),
    "upward, by import_module": ("portico/sync", "import_module('portico.server')", "floor 2"),
    "upward, by importlib": ("portico/sync", "importlib.import_module('portico.server')", "floor 2"),
    "upward, by __import__": ("portico/sync", "__import__('portico.server')", "floor 2"),
    "upward, by a computed name": ("portico/web/mounts", "import_module(f'portico.cli.{name}')", "floor 5"),
    "the top": ("portico/cli/main", "from portico import serve", "floor 6"),
    "the kit": ("portico/web/logs", "import portico.testing", "floor 5"),
    "protocols": (
        "portico/ftp/server",
        "from portico.http import codec",
        "protocol ftp imports protocol http",
    ),
    "protocols, backwards": (
        "portico/http/server",
        "import portico.rpc",
        "protocol http imports protocol rpc",
    ),
    "no floor": ("portico/helpers", "", "has no floor"),
    "threading": ("portico/http/server", "import threading", "imports threading"),
    "a submodule": ("portico/server", "import concurrent.futures", "imports concurrent.futures"),
    "from asyncio": (
        "portico/web/asgi",
        "async def f():\n    from asyncio import sleep",
        "imports asyncio.sleep",
    ),
    "socket, by name": ("portico/cli/main", "import_module('socket')", "imports socket"),
    "fork": ("portico/server", "import os\nos.fork()", "uses fork"),
    "fork, by name": ("portico/server", "from os import fork", "imports os.fork"),
    "sleep": ("portico/server", "import time\ntime.sleep(1)", "time.sleep"),
    "sleep, by name": ("portico/server", "from time import sleep", "time.sleep"),
    "os in a codec": ("portico/http/heads", "import os", "a codec imports os"),
    "time in a codec": (
        "portico/ftp/codec",
        "def f():\n    from time import monotonic",
        "a codec imports time",
    ),
    "types in a codec": (
        "portico/http/framing",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import ssl",
        "a codec imports ssl",
    ),
}


@pytest.mark.parametrize(("path", "source", "expected"), BREACHES.values(), ids=BREACHES)
def test_a_breach_is_found(path: str, source: str, expected: str) -> None:
    found = violations(Tree.parse({**_SOUND, path: source}))
    assert any(expected in line for line in found), found


def test_a_codec_that_is_impure_around_a_corner_is_found() -> None:
    tree = {
        **_SOUND,
        "portico/http/codec": "from portico.http import dates",
        "portico/http/dates": "import time",
    }
    assert any("portico.http.dates:1: imports time" in line for line in violations(Tree.parse(tree)))


def test_a_circle_on_one_floor_is_found() -> None:
    tree = {
        **_SOUND,
        "portico/session": "import portico.opener",
        "portico/opener": "import portico.download",
        "portico/download": "import portico.session",
    }
    assert sum("circle" in line for line in violations(Tree.parse(tree))) == 3


def test_what_the_design_allows_is_not_refused() -> None:
    allowed = {
        "portico/engines/threads": "import threading, os\nfrom portico.sockets.stream import x\nos.fork()",
        "portico/sockets/stream": "import socket, ssl\nfrom portico.engines import threads",
        "portico/rpc/xmlrpc": "from portico.http import codec",
        "portico/http/server": "import time, os, logging\nfrom portico.http.codec import x\ntime.monotonic()",
        "portico/server": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import ssl",
        "portico/aio": "import asyncio",
        "portico/capture/live": "import socket",
        "portico/cli/main": "import portico.cli.serve\nimport_module(f'portico.cli.{x}')\nimport_module(x)",
        "portico/cli/serve": "import portico.server, portico.testing",
        "portico/__init__": "from portico.server import serve",
        "portico/__main__": "import portico.cli.main",
    }
    assert violations(Tree.parse({**_SOUND, **allowed})) == []


_WORDS = """
portico/__init__ portico/errors portico/sync portico/sockets/__init__ portico/sockets/stream
portico/server portico/http/__init__ portico/http/codec portico/ftp/__init__ portico/rpc/__init__
portico/web/__init__ portico/web/static portico/cli/__init__ portico/testing/__init__
"""
_SOUND = dict.fromkeys(_WORDS.split(), "")
"""A house in order, into which each test builds one thing."""


def test_every_public_module_says_what_is_public(tree: Tree) -> None:
    silent = [name for name, code in tree.modules.items() if _needs_all(name, code) and not _has_all(code)]
    assert not silent, f"without __all__: {', '.join(silent)}"


def test_the_public_names_are_those_that_are_documented() -> None:
    documented = list(_documented())
    assert len(documented) == len(set(documented)), "a name stands twice in docs/api.md"
    assert set(documented) == set(portico.__all__), "docs/api.md and portico.__all__ differ"


def test_every_public_name_exists() -> None:
    missing = [name for name in portico.__all__ if not hasattr(portico, name)]
    assert not missing


def test_every_module_that_is_documented_offers_what_is_said() -> None:
    found = re.findall(r"^\* `([\w.]+)`: ((?:`\w+`(?:, )?)*)", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(found) >= 8
    for module, names in found:
        offered = import_module(module).__all__
        assert [name for name in re.findall(r"\w+", names) if name not in offered] == []


def test_every_module_has_a_docstring(tree: Tree) -> None:
    assert [name for name, code in tree.modules.items() if code.body and not ast.get_docstring(code)] == []


def test_every_module_knows_its_floor(tree: Tree) -> None:
    assert all(floor_of(name) is not None for name in tree.modules)


def _needs_all(name: str, code: ast.Module) -> bool:
    public = name != "portico" and not any(part.startswith("_") for part in name.split("."))
    return public and any(not isinstance(node, ast.Expr) for node in code.body)


def _has_all(code: ast.Module) -> bool:
    targets = [target for node in code.body if isinstance(node, ast.Assign) for target in node.targets]
    targets += [node.target for node in code.body if isinstance(node, ast.AnnAssign)]
    return any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets)


def _documented() -> Iterator[str]:
    """Names in backticks in the first column of the tables of docs/api.md."""
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("|"):
            yield from re.findall(r"`(\w+)", line.split("|")[1])
