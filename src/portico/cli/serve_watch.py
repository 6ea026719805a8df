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

__all__ = ["Watched", "module_folders", "needs_library", "watch"]

log = logging.getLogger("portico.serve")

_QUIET = 50  # milliseconds without a change, after which those that came are taken as one
_LOOK = 250  # milliseconds after which the wait for changes begins anew


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


class Watched:
    """The files whose change begins a reload: the modules in ``folders`` and here, and the file ``config``.

    From its making on no change is missed: what comes before the system tells of changes is looked for.
    """

    def __init__(self, folders: Sequence[str], config: str | None) -> None:
        self._config = None if config is None else os.path.abspath(config)
        own = [] if self._config is None else [os.path.dirname(self._config)]
        self.folders = sorted({os.getcwd(), *folders, *own})
        self._before = self._stamps()

    def matters(self, change: object, path: str) -> bool:
        """Whether a change of this file is one of ours."""
        return path == self._config or path.endswith((".py", ".pyi"))

    def changed_so_far(self) -> set[str]:
        """What has changed, since it was made, by its time and size."""
        now, before = self._stamps(), self._before
        return {path for path in now.keys() | before.keys() if now.get(path) != before.get(path)}

    def _stamps(self) -> dict[str, tuple[int, int]]:
        found = {}
        for folder in self.folders:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if self.matters(None, entry.path) and entry.is_file():
                        facts = entry.stat()
                        found[entry.path] = facts.st_mtime_ns, facts.st_size
        return found


def watch(server: Server, watched: Watched) -> None:
    """Reload ``server`` at each change; returns at once."""
    door.THREADS.spawn(_watch, server, watched, name="watch")


def _watch(server: Server, watched: Watched) -> None:
    try:
        _reload_at_changes(server, watched)
    except Exception as error:  # noqa: BLE001  (the library's own kinds, such as too many watches)
        log.error("--reload looks for no more changes: %s", error)


def _reload_at_changes(server: Server, watched: Watched) -> None:
    changes = needs_library().watch(
        *watched.folders,
        watch_filter=watched.matters,
        step=_QUIET,
        rust_timeout=_LOOK,
        yield_on_timeout=True,
        recursive=False,
        raise_interrupt=False,
    )
    found = {path for _, path in next(changes)}  # from now on the system tells
    _reload(server, found | watched.changed_so_far())
    log.info("watching %s", ", ".join(watched.folders))
    for each in changes:
        _reload(server, {path for _, path in each})


def _reload(server: Server, paths: set[str]) -> None:
    if paths:
        log.warning("reloading: %s", _named(paths))
        server.reload()


def _named(paths: Iterable[str]) -> str:
    here = os.path.join(os.getcwd(), "")
    return ", ".join(sorted({path.removeprefix(here) for path in paths}))
