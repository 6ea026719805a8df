"""The benchmarks, one after the other.

    python -m bench [NAME...] [OPTION...]       every one, or those that are named

Options are passed on to each: ``python -m bench echo http --quick``.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from bench.common import end_on_sigterm, stop

PROGRAMS = ("http", "answers", "static", "echo", "blocking", "idle", "client", "data")
HERE = Path(__file__).resolve().parent


def run(name: str, options: list[str]) -> int:
    """One benchmark; its exit status."""
    process = subprocess.Popen([sys.executable, str(HERE / f"{name}.py"), *options])
    try:
        return process.wait()
    finally:
        if process.poll() is None:
            stop(process)


def main(arguments: list[str]) -> int:
    """Run them. Returns the highest of their exit statuses."""
    end_on_sigterm()
    names = [argument for argument in arguments if argument in PROGRAMS]
    options = arguments[len(names) :]
    if arguments[: len(names)] != names or (options and not options[0].startswith("-")):
        print(f"usage: python -m bench [{'|'.join(PROGRAMS)}]... [OPTION...]", file=sys.stderr)
        return 2
    status = 0
    for number, name in enumerate(names or PROGRAMS):
        if number:
            print(flush=True)
        status = max(status, run(name, options))
    return status


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
