"""What every benchmark needs: the machine, its cores, compiled C, pinned processes and their CPU time."""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import NoReturn

__all__ = [
    "Missing",
    "Spread",
    "Wrong",
    "busy_seconds",
    "compile_c",
    "cpu_seconds",
    "end_on_sigterm",
    "family",
    "machine",
    "pinned",
    "plain",
    "stop",
    "table",
    "two_cores",
]

HERE = Path(__file__).resolve().parent
TICK = os.sysconf("SC_CLK_TCK")
PR_SET_PDEATHSIG = 1


class Missing(Exception):
    """Something that would be measured is not here, or does not start; the text says which and why."""


class Wrong(Missing):
    """It is here, but does not answer as it should."""


@dataclass(frozen=True)
class Spread:
    """A median with the lowest and highest of the rounds."""

    median: float
    lowest: float
    highest: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread | None:
        known = list(values)
        return cls(statistics.median(known), min(known), max(known)) if known else None


def machine() -> dict[str, str]:
    """What the figures were measured on, for the header of a table. No names of hosts or users."""
    return {
        "date": datetime.now().astimezone().isoformat(timespec="seconds"),
        "machine": f"{os.cpu_count()} cores, {_processor()}",
        "kernel": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "load before": f"{os.getloadavg()[0]:.2f}",
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def two_cores() -> tuple[int, int]:
    """The core of the server and the core of the load: twice the same where there is only one."""
    cores = sorted(os.sched_getaffinity(0))
    return cores[0], cores[min(1, len(cores) - 1)]


def pinned(core: int) -> Callable[[], None]:
    """A ``preexec_fn``: the child, and all its children, stay on this core and end with this process."""
    prctl, parent = ctypes.CDLL(None).prctl, os.getpid()

    def prepare() -> None:
        os.sched_setaffinity(0, {core})
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it died before the line above
            os._exit(1)

    return prepare


def compile_c(name: str, folder: Path) -> Path:
    """``bench/c/NAME.c`` compiled into ``folder``. Raises ``Missing`` without a compiler that can."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise Missing("no C compiler (cc)")
    program = folder / name
    command = [compiler, "-O2", "-o", str(program), str(HERE / "c" / f"{name}.c")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise Missing(f"{name}.c does not compile: {_last_line(done.stderr)}")
    return program


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:160] if lines else "it said nothing"


def cpu_seconds(root: int) -> float:
    """User and system time of a process, of its living descendants, and of those it has reaped."""
    stats = dict(_process_stats())
    return sum(int(ticks) for pid in _family(root, stats) for ticks in stats[pid][11:15]) / TICK


def family(root: int) -> set[int]:
    """A process and its living descendants."""
    return _family(root, dict(_process_stats()))


def _family(root: int, stats: Mapping[int, list[str]]) -> set[int]:
    found, grown = {root}, True
    while grown:
        more = {pid for pid, fields in stats.items() if int(fields[1]) in found} - found
        found |= more
        grown = bool(more)
    return found & stats.keys()


def busy_seconds(cores: Iterable[int]) -> float:
    """Time these cores have spent on anything but idling, since the machine started."""
    names = {f"cpu{core}" for core in cores}
    lines = [line.split() for line in Path("/proc/stat").read_text(encoding="ascii").splitlines()]
    # user nice system idle iowait irq softirq steal; guest time is in user time already
    busy = [fields[1:4] + fields[6:9] for fields in lines if fields[0] in names]
    return sum(int(ticks) for core in busy for ticks in core) / TICK


def _process_stats() -> Iterable[tuple[int, list[str]]]:
    """The fields of /proc/PID/stat after the command's name, which may hold spaces: state is the first."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            text = (folder / "stat").read_text(encoding="utf-8", errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
        yield int(folder.name), text.rpartition(")")[2].split()


def stop(process: subprocess.Popen[bytes], patience: float = 5.0) -> None:
    """Ask a process that leads its own group to end; after ``patience`` seconds its whole group is killed."""
    process.terminate()
    try:
        process.wait(patience)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def end_on_sigterm() -> None:
    """Let SIGTERM unwind the stack as Ctrl-C does, so that what was started is stopped."""

    def leave(number: int, frame: object) -> NoReturn:
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, leave)


def table(rows: Sequence[Sequence[str]], groups: Mapping[int, str], apart: Sequence[int] = ()) -> str:
    """Aligned text: the first column to the left, the others to the right.

    ``groups`` names, by its first column, each group of columns, in a line above; wider space separates
    groups, and the columns in ``apart``.
    """
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    _make_room(widths, groups, [*apart, len(widths)])
    gaps = [0 if i == 0 else 4 if i in groups or i in apart else 2 for i in range(len(widths))]
    above = ""
    for i, name in groups.items():
        above = above.ljust(sum(widths[:i]) + sum(gaps[: i + 1])) + name
    return "\n".join([above, *(_line(row, widths, gaps) for row in rows)])


def _make_room(widths: list[int], groups: Mapping[int, str], apart: Sequence[int]) -> None:
    """Widen the first column of a group that is narrower than its name."""
    for first, name in groups.items():
        end = min(i for i in (*groups, *apart) if i > first)
        lacking = len(name) - sum(widths[first:end]) - 2 * (end - first - 1)
        widths[first] += max(0, lacking)


def _line(row: Sequence[str], widths: Sequence[int], gaps: Sequence[int]) -> str:
    cells = [row[0].ljust(widths[0])]
    cells += [" " * gap + cell.rjust(width) for cell, width, gap in zip(row, widths, gaps, strict=True)][1:]
    return "".join(cells).rstrip()


def plain(spread: Spread | None) -> dict[str, float] | None:
    """A ``Spread`` for JSON."""
    return asdict(spread) if spread else None
