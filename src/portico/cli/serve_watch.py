"""``--reload``: files that change begin a reload, for development."""

from __future__ import annotations

import logging
import os
import site
import sys
import sysconfig
from collections.abc import Iterable, Sequence
from types import ModuleType
from typing import Any

from portico.engines import door
from portico.errors import ConfigError
from portico.server import Server

__all__ = ["module_folders", "needs_library", "watch"]

log = logging.getLogger("portico.serve")

_QUIET = 50  # milliseconds without a change, after which those that came are taken as one


def module_folders() -> list[str]:
    """The folders of all modules that are loaded and belong to no installed package."""
    folders = {_folder(module) for module in tuple(sys.modules.values())}
    return sorted(folder for folder in folders if folder and not _is_installed(folder))


def _folder(module: ModuleType) -> str:
    file = getattr(module, "__file__", None)
    return os.path.dirname(os.path.abspath(file)) if isinstance(file, str) else ""


def _is_installed(folder: str) -> bool:
    paths = sysconfig.get_paths()
    installed = [paths["stdlib"], paths["purelib"], paths["platlib"], *site.getsitepackages()]
    own = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    return any(folder == each or folder.startswith(os.path.join(each, "")) for each in (*installed, own))


def needs_library() -> Any:
    """``watchfiles``, which is in an extra. Raises ``ConfigError`` where it is missing."""
    try:
        import watchfiles
    except ImportError:
        raise ConfigError(
            "--reload needs the package watchfiles, which is in an extra: pip install 'portico[reload]'"
        ) from None
    return watchfiles


def watch(server: Server, folders: Sequence[str], config: str | None) -> None:
    """Reload ``server`` whenever a module in ``folders`` changes, or the file ``config``; returns at once."""
    places = {os.getcwd(), *folders}
    if config is not None:
        places.add(os.path.dirname(os.path.abspath(config)))
    door.THREADS.spawn(_watch, server, sorted(places), config, name="watch")


def _watch(server: Server, places: Sequence[str], config: str | None) -> None:
    library = needs_library()
    own = None if config is None else os.path.abspath(config)

    def matters(change: object, path: str) -> bool:
        return path == own or path.endswith((".py", ".pyi"))

    log.info("watching %s", ", ".join(places))
    for changes in library.watch(
        *places, watch_filter=matters, step=_QUIET, recursive=False, raise_interrupt=False
    ):
        log.warning("reloading: %s", _named(path for _, path in changes))
        server.reload()


def _named(paths: Iterable[str]) -> str:
    here = os.path.join(os.getcwd(), "")
    return ", ".join(sorted({path.removeprefix(here) for path in paths}))
