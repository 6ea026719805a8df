"""The load: three kinds of request, and the programs that send them.

Both generators take a request from a file, in which sixteen '@' stand for what is new in each request.
"""

from __future__ import annotations

import re
import resource
import secrets
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bench.common import Missing, compile_c, pinned

__all__ = ["CONNECTIONS", "KINDS", "Burst", "Generator", "find_generator", "fixed"]

HERE = Path(__file__).resolve().parent
CONNECTIONS = 64
NEW = "@" * 16
SAME = "00f067aa0ba902b7"

SMALL = "GET / HTTP/1.1\r\nHost: localhost:8000\r\n\r\n"
BROWSER = """\
GET /catalogue/lamps?page=2 HTTP/1.1
Host: localhost:8000
User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0
Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8
Accept-Language: en-GB,en;q=0.5
Accept-Encoding: gzip, deflate, br, zstd
Referer: http://localhost:8000/catalogue/lamps
Connection: keep-alive
Upgrade-Insecure-Requests: 1
Sec-Fetch-Dest: document
Sec-Fetch-Mode: navigate
Sec-Fetch-Site: same-origin
traceparent: 00-4bf92f3577b34da6{new}-53995c3f42cd8ad8-01
Cookie: session={new}; p={pad}

"""


def _browser(new: str, size: int = 600) -> bytes:
    head = BROWSER.replace("\n", "\r\n").replace("{new}", new)
    return head.replace("{pad}", "x" * (size - len(head) + len("{pad}"))).encode("ascii")


KINDS: dict[str, bytes] = {
    "40 B": SMALL.encode("ascii"),
    "600 B": _browser(SAME),
    "600 B new": _browser(NEW),
}


def fixed(request: bytes) -> bytes:
    """A request of this kind as a server may see it once."""
    return request.replace(NEW.encode(), SAME.encode())


@dataclass(frozen=True)
class Burst:
    """What one run of the generator saw: answers, seconds, its own CPU seconds, and errors by their kind."""

    requests: int
    seconds: float
    load_cpu: float
    errors: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Generator:
    """A load generator: ``command(port, seconds, request_file, seed)`` is what to run."""

    name: str
    command: Callable[[int, int, Path, str], list[str]]
    folder: Path
    core: int

    def run(self, port: int, kind: str, seconds: int) -> Burst:
        """Load 127.0.0.1:``port`` for whole ``seconds``. Raises ``Missing`` when the generator fails."""
        request = self.folder / kind.replace(" ", "-")
        request.write_bytes(KINDS[kind])
        # The seed makes heads new from one round to the next too, not only within one.
        command = self.command(port, seconds, request, secrets.token_hex(4))
        before = _children_cpu()
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=seconds + 10, check=False,
                preexec_fn=pinned(self.core),
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise Missing(f"{self.name} did not end") from None
        return _burst(self.name, done.stdout + done.stderr, _children_cpu() - before)


def _children_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _burst(name: str, output: str, load_cpu: float) -> Burst:
    line = re.search(r"^requests=.*$", output, re.MULTILINE)
    if not line:
        raise Missing(f"{name} failed: {' '.join(output.split())[-160:]}")
    counts = dict(pair.split("=") for pair in line[0].split())
    requests, seconds = int(counts.pop("requests")), float(counts.pop("seconds"))
    errors = {what: int(number) for what, number in counts.items() if int(number)}
    if not requests:
        errors["round without an answer"] = 1  # of which wrk says nothing
    return Burst(requests, seconds, load_cpu, errors)


def find_generator(choice: str, folder: Path, core: int) -> Generator:
    """``wrk``, ``own`` or (``auto``) the first of them that is here. Raises ``Missing`` when none is."""
    wrk = shutil.which("wrk")
    if choice == "wrk" and wrk is None:
        raise Missing("wrk is not installed")
    if wrk is not None and choice != "own":
        return Generator("wrk", _wrk_command(wrk), folder, core)
    try:
        return Generator("own", _own_command(str(compile_c("load", folder))), folder, core)
    except Missing as why:
        raise Missing(f"no load generator: install wrk, or a C compiler for bench/c/load.c ({why})") from None


def _wrk_command(wrk: str) -> Callable[[int, int, Path, str], list[str]]:
    def command(port: int, seconds: int, request: Path, seed: str) -> list[str]:
        options = ["-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", str(HERE / "wrk.lua")]
        return [wrk, *options, f"http://127.0.0.1:{port}/", "--", str(request), seed]

    return command


def _own_command(program: str) -> Callable[[int, int, Path, str], list[str]]:
    def command(port: int, seconds: int, request: Path, seed: str) -> list[str]:
        return [program, str(port), str(CONNECTIONS), str(seconds), str(request), seed]

    return command
