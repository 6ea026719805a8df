"""A large file, to a file: as many times as fit, at least once."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

__all__ = ["CLIENTS", "SIZE"]

SIZE = 100 << 20


def _again(seconds: float, fetch: Callable[[Path], None]) -> int:
    end, count = time.perf_counter() + seconds, 0
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as folder:
        while not count or time.perf_counter() < end:
            target = Path(folder) / "file"
            fetch(target)
            if target.stat().st_size != SIZE:
                raise SystemExit("a wrong answer")
            target.unlink()
            count += 1
    return count


def _curl(url: str, seconds: float) -> int:
    return _again(seconds, lambda target: _call("curl", "-s", "-o", str(target), url))


def _wget(url: str, seconds: float) -> int:
    return _again(seconds, lambda target: _call("wget", "-q", "-O", str(target), url))


def _call(program: str, *arguments: str) -> None:
    subprocess.run([shutil.which(program) or program, *arguments], check=True)


def _portico(url: str, seconds: float) -> int:
    from portico.client.download import Downloader

    with Downloader() as downloader:
        return _again(seconds, lambda target: _fetched(downloader.fetch(url, target)))


def _fetched(done: object) -> None:
    pass


def _portico_open(url: str, seconds: float) -> int:
    import portico

    def fetch(target: Path) -> None:
        with portico.open(url) as response, target.open("wb") as file:
            for piece in response.iter_bytes():
                file.write(piece)

    return _again(seconds, fetch)


def _requests(url: str, seconds: float) -> int:
    import requests

    def fetch(target: Path) -> None:
        with requests.get(url, stream=True) as response, target.open("wb") as file:
            for piece in response.iter_content(1 << 16):
                file.write(piece)

    return _again(seconds, fetch)


def _httpx(url: str, seconds: float) -> int:
    import httpx

    def fetch(target: Path) -> None:
        with httpx.stream("GET", url) as response, target.open("wb") as file:
            for piece in response.iter_bytes(1 << 16):
                file.write(piece)

    return _again(seconds, fetch)


def _urllib(url: str, seconds: float) -> int:
    from urllib.request import urlopen

    def fetch(target: Path) -> None:
        with urlopen(url) as response, target.open("wb") as file:
            shutil.copyfileobj(response, file, 1 << 16)

    return _again(seconds, fetch)


CLIENTS = {
    "curl": _curl,
    "portico": _portico,
    "portico.open": _portico_open,
    "wget": _wget,
    "urllib.request": _urllib,
    "requests": _requests,
    "httpx": _httpx,
}
