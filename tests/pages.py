"""The programs of README.md and docs/, found in their pages and run as a reader would.

A fenced block is, by its language:

* ``python``: a whole program, run as it stands in a folder of its own; it must end well, and print what
  stands behind ``#=>``. When its first line is a file name (``# shout.py``), later blocks of the page find
  it there.
* ``toml``: a file, with its name in the first line, or a part, which says so there.
* ``py``, ``ini``: a part; it says so in its first line.
* ``console``: a dialogue with a shell, see ``Terminal``.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import psutil

from tests.peers import root

__all__ = ["ENOUGH", "PAGES", "PART", "Block", "Terminal", "blocks", "expected", "start", "until_listening"]

PAGES = [root / "README.md", *sorted((root / "docs").glob("**/*.md"))]
PART = "# a part"
ENOUGH = 30.0
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"# (\w+\.(?:py|toml))\n")
_EXPECTED = re.compile(r"print\(.*#=> (.*)$", re.MULTILINE)
_KILL = re.compile(r"kill -([A-Z]+) %1")
_TERMINATED = 128 + signal.SIGTERM
_PORT = re.compile(r"(?<=127\.0\.0\.1:)90\d\d\b")


@dataclass(frozen=True)
class Block:
    """``files``: what earlier blocks of its page are called, and say."""

    kind: str
    text: str
    where: str
    files: dict[str, str]

    def prepare(self, folder: Path) -> None:
        for name, text in self.files.items():
            (folder / name).write_text(text, encoding="utf-8")


def blocks(kind: str) -> list[Block]:
    """Every block of a kind, in all pages."""
    return [block for page in PAGES for block in _of_page(page) if block.kind == kind]


def _of_page(page: Path) -> list[Block]:
    text, files, found = page.read_text(encoding="utf-8"), {}, []
    for match in _BLOCK.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        found.append(Block(match[1], match[2], f"{page.relative_to(root)}:{line}", dict(files)))
        if match[1] in ("python", "toml") and (named := _FILE.match(match[2])):
            files[named[1]] = match[2]
    return found


def expected(program: str) -> list[str]:
    """What a program says that it prints."""
    return _EXPECTED.findall(program)


def start(program: str, folder: Path) -> subprocess.Popen[str]:
    """Run a program as a file in ``folder``, with every warning an error."""
    file = folder / "program.py"
    file.write_text(program, encoding="utf-8")
    return subprocess.Popen(
        [sys.executable, "-X", "dev", "-W", "error", str(file)],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def until_listening(process: subprocess.Popen[str]) -> int:
    """Wait until a process waits for peers. Its TCP or UDP port, as the kernel tells it; 0: a Unix socket."""
    until = time.monotonic() + ENOUGH
    while process.poll() is None and time.monotonic() < until:
        for one in psutil.Process(process.pid).net_connections("all"):
            if isinstance(one.laddr, str):
                if one.laddr:
                    return 0
            elif one.status == psutil.CONN_LISTEN or (one.type == socket.SOCK_DGRAM and not one.raddr):
                return int(one.laddr.port)
        time.sleep(0.02)
    process.kill()
    raise AssertionError(f"the program does not listen: {process.communicate()}")


class Terminal:
    """A shell that a dialogue is held with: ``$ command``, then what it prints, ``…`` for anything.

    A command that ends in ``&`` goes on beside the others, which begin when it waits for peers. ``wait``
    waits for its end; ``kill %1`` sends SIGTERM first, ``kill -HUP %1`` only a signal. What still runs at
    the end is a mistake. Ports of the page (127.0.0.1:90xx) are free ones here, also in its ``.toml`` files.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ports: dict[str, str] = {}
        self._kept = ExitStack()
        self._behind: subprocess.Popen[str] | None = None
        commands = folder / "bin"
        commands.mkdir()
        for name, arguments in {"portico": "-m portico", "python3": ""}.items():
            (commands / name).write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {arguments} "$@"\n')
            (commands / name).chmod(0o700)
        for file in folder.glob("*.toml"):
            file.write_text(_PORT.sub(self._free_port, file.read_text(encoding="utf-8")), encoding="utf-8")
        self._environ = {**os.environ, "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}"}

    def hold(self, dialogue: str) -> None:
        """Type each command, and compare what comes."""
        for part in re.split(r"^\$ ", dialogue, flags=re.MULTILINE)[1:]:
            command, _, wanted = part.partition("\n")
            printed = self._do(_PORT.sub(self._free_port, command))
            pattern = re.escape(_PORT.sub(self._free_port, wanted)).replace("…", "[^\n]*")
            assert re.fullmatch(pattern, printed), f"$ {command}\n{printed}\nexpected:\n{wanted}"

    def _do(self, command: str) -> str:
        if command.endswith(" &"):
            assert self._behind is None, "one at a time"
            self._behind = self._run(f"exec {command[:-2]}")
            until_listening(self._behind)
            return ""
        if command in ("wait", "kill %1"):
            return self._end(terminate=command != "wait")
        if named := _KILL.fullmatch(command):
            assert self._behind is not None
            self._behind.send_signal(signal.Signals[f"SIG{named[1]}"])
            return ""
        process = self._run(command)
        return self._output(process)

    def _end(self, *, terminate: bool) -> str:
        process, self._behind = self._behind, None
        assert process is not None
        if terminate:
            process.send_signal(signal.SIGTERM)
        printed = self._output(process)
        assert process.returncode in ((0, _TERMINATED) if terminate else (0,)), printed
        return printed

    def _run(self, command: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["bash", "-o", "pipefail", "-c", command],
            cwd=self._folder,
            env=self._environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def _output(self, process: subprocess.Popen[str]) -> str:
        try:
            return process.communicate(timeout=ENOUGH)[0]
        finally:
            process.kill()
            process.communicate()

    def _free_port(self, match: re.Match[str]) -> str:
        """Kept with a socket that does not listen, which lets ours have it and nobody else's."""
        if match[0] not in self._ports:
            keeper = self._kept.enter_context(socket.socket())
            keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            keeper.bind(("127.0.0.1", 0))
            self._ports[match[0]] = str(keeper.getsockname()[1])
        return self._ports[match[0]]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *exc: object) -> None:
        self._kept.close()
        if self._behind is not None:
            self._end(terminate=True)
            assert kind is not None, "a command of the dialogue still runs at its end"
