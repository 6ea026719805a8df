"""The load generators: wrk or our own for HTTP, our own for an echo."""

from __future__ import annotations

import math
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path

from bench.common import Missing, compile_c
from bench.load import CONNECTIONS, PATIENCE, Generator

__all__ = ["echo_load", "http_load"]

HERE = Path(__file__).resolve().parent


def http_load(
    choice: str,
    requests: Mapping[str, bytes],
    folder: Path,
    core: int,
    connections: Mapping[str, int] | None = None,
) -> Generator:
    """``wrk``, ``own`` or (``auto``) the first of them that is here. Raises ``Missing`` when none is.

    ``connections``: how many, for kinds of which there are others than usual (``own`` only).
    """
    files = _written(requests, folder)
    wrk = shutil.which("wrk")
    if choice == "wrk" and wrk is None:
        raise Missing("wrk is not installed")
    if wrk is not None and choice != "own":
        return _wrk(wrk, files, core)
    try:
        return _own(str(compile_c("load", folder)), files, core, connections or {})
    except Missing as why:
        raise Missing(f"no load generator: install wrk, or a C compiler for bench/c/load.c ({why})") from None


def _written(requests: Mapping[str, bytes], folder: Path) -> dict[str, str]:
    files = {kind: folder / f"request-{number}" for number, kind in enumerate(requests)}
    for kind, path in files.items():
        path.write_bytes(requests[kind])
    return {kind: str(path) for kind, path in files.items()}


def _seed() -> str:
    """Makes heads new from one round to the next too, not only within one."""
    return secrets.token_hex(4)


def _wrk(wrk: str, files: Mapping[str, str], core: int) -> Generator:
    def command(port: int, kind: str, seconds: float) -> list[str]:
        options = ["-t1", f"-c{CONNECTIONS}", f"-d{math.ceil(seconds)}s", f"--timeout={PATIENCE}s"]
        script = ["-s", str(HERE / "wrk.lua"), f"http://127.0.0.1:{port}/"]
        return [wrk, *options, *script, "--", files[kind], _seed()]

    return Generator("wrk", command, core, whole=True)


def _own(program: str, files: Mapping[str, str], core: int, connections: Mapping[str, int]) -> Generator:
    def command(port: int, kind: str, seconds: float) -> list[str]:
        count = connections.get(kind, CONNECTIONS)
        return [program, str(port), str(count), f"{seconds:g}", files[kind], _seed(), str(PATIENCE)]

    return Generator("own", command, core)


def echo_load(sizes: Mapping[str, int], folder: Path, core: int) -> Generator:
    """Messages of these sizes. Raises ``Missing`` without a compiler."""
    program = str(compile_c("echo_load", folder))

    def command(port: int, kind: str, seconds: float) -> list[str]:
        return [program, str(port), str(CONNECTIONS), f"{seconds:g}", str(sizes[kind]), str(PATIENCE)]

    return Generator("own", command, core)
