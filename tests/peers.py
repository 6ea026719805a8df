"""Real programs, modules and corpora that tests talk to.

A test that lacks its peer is skipped by name (the summary counts them); with
``PORTICO_REQUIRE_PEERS=1`` in the environment it fails, so that a machine meant to have them all
cannot pass by having none.
"""

from __future__ import annotations

import atexit
import functools
import importlib
import importlib.util
import os
import shutil
import tarfile
import tempfile
from pathlib import Path
from types import ModuleType
from typing import NoReturn

import pytest

__all__ = ["corpus", "missing", "need", "need_installed", "need_module", "root"]

root = Path(__file__).resolve().parent.parent
"""The repository."""

# Programs that Debian keeps out of PATH.
_EXTRA_PATH = "/usr/sbin:/usr/local/sbin:/usr/lib/git-core:/usr/lib/cgit"

SKIPPED = "peer missing: "
"""How the reason of such a skip begins; the summary in conftest.py counts by it."""


def required() -> bool:
    """Whether a missing peer is a failure."""
    return os.environ.get("PORTICO_REQUIRE_PEERS", "") not in ("", "0")


def missing(what: str) -> NoReturn:
    """Skip the test because ``what`` is not here; fail it where peers are required."""
    if required():
        pytest.fail(f"{SKIPPED}{what} (PORTICO_REQUIRE_PEERS is set)", pytrace=False)
    pytest.skip(f"{SKIPPED}{what}")


def need(name: str) -> str:
    """The path of a program, or a skip."""
    search = os.environ.get("PATH", os.defpath) + os.pathsep + _EXTRA_PATH
    return shutil.which(name, path=search) or missing(name)


def need_module(name: str) -> ModuleType:
    """An installed module, or a skip. A module that is there but broken is an error, not a skip."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        missing(f"module {name}")


def need_installed(name: str) -> None:
    """Skip where a module is not installed; it is not imported, for it is meant for other processes."""
    if importlib.util.find_spec(name) is None:
        missing(f"module {name}")


def corpus(name: str) -> Path:
    """A folder of real input: unpacked from ``tests/corpora``, else in ``$PORTICO_CORPORA``, or in
    ``shared/corpora`` beside the repository."""
    packed = root / "tests" / "corpora" / f"{name}.tar.xz"
    if packed.exists():
        return _unpacked(packed)
    base = os.environ.get("PORTICO_CORPORA")
    folder = (Path(base) if base else root.parent / "shared" / "corpora") / name
    return folder if folder.exists() else missing(f"corpus {name}")


@functools.cache
def _unpacked(archive: Path) -> Path:
    folder = tempfile.mkdtemp(prefix="portico-corpus-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    with tarfile.open(archive) as file:
        file.extractall(folder, filter="data")
    return Path(folder)
