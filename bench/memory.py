"""How much memory a process and the kernel hold, from /proc."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from bench.common import family

__all__ = ["Held", "held", "settled"]

PAGE_KIB = 4
# What the kernel keeps of connections and threads. The whole of Slab has every file that anybody opens.
CACHES = ("TCP", "sock_inode_cache", "filp", "eventpoll_epi", "task_struct")


@dataclass(frozen=True)
class Held:
    """KiB: resident, and with pages shared by several processes divided among them; of the kernel.

    ``kernel`` is nothing where only root may know.
    """

    resident: int
    proportional: int
    kernel: int | None


def held(root: int) -> Held:
    """By a process and all its descendants; by the kernel for everybody."""
    resident = proportional = 0
    for pid in family(root):
        try:
            fields = _fields(Path(f"/proc/{pid}/smaps_rollup"))
        except (FileNotFoundError, ProcessLookupError):
            continue
        resident += fields.get("Rss", 0)
        proportional += fields.get("Pss", 0)
    return Held(resident, proportional, _kernel())


def _fields(path: Path) -> dict[str, int]:
    """Lines of ``Name:  123 kB``."""
    split = (line.split() for line in path.read_text(encoding="ascii").splitlines())
    return {words[0].rstrip(":"): int(words[1]) for words in split if words[-1] == "kB"}


def _kernel() -> int | None:
    """Sockets of the whole machine, what belongs to them, and stacks of threads."""
    try:
        lines = Path("/proc/slabinfo").read_text(encoding="ascii").splitlines()
    except (FileNotFoundError, PermissionError):
        return None
    # name, objects in use, objects, bytes of one
    sizes = [line.split()[1:4] for line in lines if line.split()[0] in CACHES]
    objects = sum(int(used) * int(size) for used, _, size in sizes) // 1024
    return objects + _fields(Path("/proc/meminfo")).get("KernelStack", 0) + _buffers() * PAGE_KIB


def _buffers() -> int:
    """Pages in the buffers of TCP sockets."""
    for line in Path("/proc/net/sockstat").read_text(encoding="ascii").splitlines():
        words = line.split()
        if words[0] == "TCP:":
            return int(words[words.index("mem") + 1])
    return 0


def settled(root: int, pause: float, patience: float = 5.0) -> Held:
    """Once it has stopped changing: less than one in a thousand between looks, three times in a row.

    ``pause`` is the time between looks; after ``patience`` seconds it is taken as it is.
    """
    end, calm, before = time.monotonic() + patience, 0, held(root)
    while calm < 3 and time.monotonic() < end:
        time.sleep(pause)
        now = held(root)
        calm = calm + 1 if abs(now.resident - before.resident) * 1000 <= now.resident else 0
        before = now
    return before
