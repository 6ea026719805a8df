"""What is installed is what the project says: versions pinned, dependencies few, peers listed."""

from __future__ import annotations

import ast
import importlib
import re
import stat
import subprocess
import sys
import tomllib
from importlib import metadata
from typing import Any

import pytest

import portico
from tests.layers import Tree
from tests.peers import need, root

PROJECT: dict[str, Any] = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
CONSTRAINTS = [
    line
    for line in (root / "constraints.txt").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
]
CI = (root / ".ci" / "run").read_text(encoding="utf-8")

# Programs whose Debian package has another name; None: part of every Debian machine.
PACKAGES = {
    "bash": None,
    "cat": None,
    "cgit.cgi": "cgit",
    "danted": "dante-server",
    "env": None,
    "git-http-backend": "git",
    "htpasswd": "apache2-utils",
    "nginx": "nginx-light",
    "no-such-program": None,  # looked up in order not to be found
    "perl": None,
    "sh": None,
    "sleep": None,
    "systemd-socket-activate": "systemd",
    "telnet": "inetutils-telnet",
    "telnetd": "inetutils-telnetd",
    "xmllint": "libxml2-utils",
}


def normal(name: str) -> str:
    """A distribution's name as indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def name_of(requirement: str) -> str:
    return normal(re.split(r"[^\w.-]", requirement, maxsplit=1)[0])


CORE = {name_of(requirement) for requirement in PROJECT["project"]["dependencies"]}


def test_constraints_are_names_and_versions_only() -> None:
    assert [line for line in CONSTRAINTS if not re.fullmatch(r"[\w.-]+==[\w.]+", line)] == []


def test_whatever_the_project_asks_for_is_pinned() -> None:
    extras = PROJECT["project"]["optional-dependencies"].values()
    asked = CORE | {name_of(requirement) for extra in extras for requirement in extra}
    asked |= {name_of(requirement) for requirement in PROJECT["build-system"]["requires"]}
    assert asked - {"portico"} <= {name_of(line) for line in CONSTRAINTS}


def test_the_extra_of_all_has_all_that_are_for_users() -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    (everything,) = extras["all"]
    assert set(re.findall(r"\w+", everything)) == {"portico", *extras} - {"all", "test", "bench"}


def test_the_core_imports_nothing_that_it_does_not_require() -> None:
    """At the head of a module: what is outside the core is imported where it is first used."""
    tree = Tree.read(root / "src" / "portico")
    ours = sys.stdlib_module_names | CORE | {"portico"}
    found = []
    for module, code in tree.modules.items():
        for node in code.body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or "portico"] if isinstance(node, ast.ImportFrom) else []
            found += [f"{module}: {name}" for name in names if name.partition(".")[0] not in ours]
    assert found == []


def test_the_installed_version_is_the_version_of_the_project() -> None:
    assert metadata.version("portico") == PROJECT["project"]["version"] == portico.__version__
    assert f"## [{PROJECT['project']['version']}]" in (root / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_command_is_there() -> None:
    module, _, name = PROJECT["project"]["scripts"]["portico"].partition(":")
    assert callable(getattr(importlib.import_module(module), name))


def test_the_package_is_typed() -> None:
    assert (root / "src" / "portico" / "py.typed").is_file()


def test_importing_portico_is_cheap() -> None:
    """A user of streams pays for no command line, no tables and no event loop."""
    heavy = {"click", "rich", "asyncio", "cryptography", "greenlet", "multiprocessing", "uvloop"}
    program = f"import sys, portico; print(*sorted({heavy!r} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout.split() == []


def test_programs_are_executable() -> None:
    programs = [root / ".ci" / "run", *(root / "examples" / "demo" / "cgi-bin").iterdir()]
    lacking = [path.name for path in programs if path.is_file() and not path.stat().st_mode & stat.S_IXUSR]
    assert lacking == []


def test_every_peer_of_the_tests_is_installed_by_ci() -> None:
    listed = set(
        re.findall(r"^    ([\w.-]+)(?: +#.*)?$", CI.partition("PEERS=(")[2].partition(")\n")[0], re.MULTILINE)
    )
    assert "curl" in listed
    wanted = {package for name in _needed() if (package := PACKAGES.get(name, name))}
    assert wanted <= listed, f".ci/run does not install {sorted(wanted - listed)}"


def test_the_scripts_are_sound_shell() -> None:
    done = subprocess.run(
        [need("bash"), "-n", str(root / ".ci" / "run")], capture_output=True, text=True, timeout=10
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("target", ["serve", "test", "lint", "bench", "fuzz", "docs"])
def test_the_makefile_knows_what_the_readme_names(target: str) -> None:
    assert re.search(rf"^{target}:", (root / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)


def _needed() -> set[str]:
    """Every literal in a call of ``need`` below tests/."""
    found = set()
    for path in (root / "tests").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "need" and node.args:
                argument = node.args[0]
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                    found.add(argument.value)
    return found
