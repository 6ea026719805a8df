"""Compiles the hot modules with mypyc when a wheel is built with ``PORTICO_COMPILE=1``; else does nothing.

The same source either way: what is not compiled, or cannot be for want of a C compiler, runs as it is.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

TOOLS = ["mypy", "setuptools"]


class Compile(BuildHookInterface):
    """Puts extension modules beside the sources that they were made from."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        return TOOLS if self._wanted() else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable" or not self._wanted():
            return
        self._folder = Path(tempfile.mkdtemp(prefix="portico-compile-"))
        made = _compiled(Path(self.root), self.config["modules"], self._folder)
        for module in made.rglob("*.so"):
            build_data["force_include"][str(module)] = str(module.relative_to(made))
        build_data["pure_python"] = False
        build_data["infer_tag"] = True

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        if hasattr(self, "_folder"):
            shutil.rmtree(self._folder)

    def _wanted(self) -> bool:
        if self.target_name != "wheel" or os.environ.get("PORTICO_COMPILE", "0") in ("", "0"):
            return False
        if shutil.which(os.environ.get("CC", "cc").split()[0]) is None:
            self.app.display_warning("PORTICO_COMPILE: there is no C compiler, so nothing is compiled")
            return False
        return True


def _compiled(root: Path, modules: list[str], folder: Path) -> Path:
    """A folder, in ``folder``, in which the extension modules made of these sources stand as in a package."""
    from mypyc.build import mypycify
    from setuptools import Distribution

    # Types are judged by `make lint`, with the stubs of all libraries; here they only have to be known.
    options = ["--config-file=", "--no-site-packages", "--ignore-missing-imports", "--follow-imports=silent"]
    before = Path.cwd()
    os.chdir(root / "src")
    try:
        made = mypycify(
            [*options, *modules],
            opt_level="3",
            debug_level="0",
            target_dir=str(folder / "c"),
            group_name="portico",
        )
        command = Distribution({"ext_modules": made}).get_command_obj("build_ext")
        command.build_lib, command.build_temp = str(folder / "lib"), str(folder / "temp")
        command.ensure_finalized()
        command.run()
    finally:
        os.chdir(before)
    return folder / "lib"
