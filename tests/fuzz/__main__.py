"""Coverage-guided fuzzing: ``python -m tests.fuzz TARGET [FOLDER] [-max_total_time=60 …]``.

Options are libFuzzer's; a folder keeps what was found to be interesting for the next time. Without a target
it says which there are. What fails is printed with the file that holds it: give that file in place of the
folder to see it fail again.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterable
from hashlib import sha1
from pathlib import Path

import atheris

PARSERS = ["portico.http", "portico.web", "portico.data", "portico.unpacking"]
with atheris.instrument_imports(include=PARSERS, enable_loader_override=False):
    from tests.fuzz.targets import SEEDS, TARGETS

BOUNDS = ["-max_len=4000", "-timeout=10", "-rss_limit_mb=512", "-print_final_stats=1"]


def fuzz(target: Callable[[bytes], None], seeds: Iterable[bytes], options: list[str]) -> None:
    """Run until the options say that it is enough, or something is wrong (then the exit code is not 0)."""
    prefix = Path(tempfile.gettempdir()) / f"fuzz-{target.__name__}-"
    with tempfile.TemporaryDirectory() as folder:
        for seed in seeds:
            (Path(folder) / sha1(seed, usedforsecurity=False).hexdigest()).write_bytes(seed)
        child = os.fork()  # libFuzzer ends its process without another word
        if not child:
            atheris.Setup([sys.argv[0], *BOUNDS, f"-artifact_prefix={prefix}", *options, folder], target)
            atheris.Fuzz()
        _, status = os.waitpid(child, 0)
    sys.exit(os.waitstatus_to_exitcode(status))


def main(arguments: list[str]) -> None:
    if not arguments or arguments[0] not in TARGETS:
        print("\n".join(TARGETS))
        sys.exit(2 if arguments else 0)
    name, *options = arguments
    again = any(Path(option).is_file() for option in options)
    fuzz(TARGETS[name], [] if again else SEEDS[name](), options)


if __name__ == "__main__":
    main(sys.argv[1:])
