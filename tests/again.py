"""Try once more, alone, what has failed in a run of the suite: up to three tests of many thousands.

Tests that talk to programs and clocks now and then meet a machine that stands still, and a run is long. What
has failed was told in full, and its name is told again here; more than three are no accident.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

__all__ = ["MOST", "failed"]

MOST = 3
_LAST_FAILED = Path(".pytest_cache/v/cache/lastfailed")


def failed(file: Path = _LAST_FAILED) -> list[str]:
    """The tests that the last run in this folder has noted as failed, and files that it could not read."""
    return sorted(json.loads(file.read_text(encoding="utf-8"))) if file.exists() else []


def main() -> int:
    names = failed()
    if not 0 < len(names) <= MOST:
        return int(pytest.ExitCode.TESTS_FAILED)
    print(f"\nunsteady? {len(names)} of all failed, and once more, alone:", *names, sep="\n    ", flush=True)
    return int(pytest.main(["--last-failed", "--last-failed-no-failures=none"]))


if __name__ == "__main__":
    sys.exit(main())
