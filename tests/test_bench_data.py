"""bench/data.py: what readers find is compared, what is missing is named, documents are as large as said."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench import data
from bench.common import Missing, Wrong
from bench.data import FORMATS, Runs, kinds_of, measured
from bench.readers import Kind
from tests.peers import root


@pytest.mark.parametrize("name", FORMATS)
def test_our_readers_find_what_others_do(name: str, tmp_path: Path) -> None:
    for kind, each in kinds_of(name).items():
        path = tmp_path / f"document.{name}"
        each.write(path, 0.05)
        assert path.stat().st_size >= 40_000
        found = {}
        for reader, read in each.readers.items():
            try:
                found[reader] = read(str(path))
            except ModuleNotFoundError:
                if reader.startswith("portico"):
                    raise
        assert len(set(found.values())) == 1, (kind, found)


def test_a_run_tells_times_ratios_and_memory(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    command = [sys.executable, str(root / "bench" / "data.py"), "--quick", "--megabytes", "0.1"]
    done = subprocess.run(
        [*command, "--only", "json", "--json", str(figures)],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(figures.read_text(encoding="utf-8"))
    lines = told["figures"]["lines of JSON"]
    assert lines["msgspec by hand"]["ratio"]["median"] == 1.0
    assert lines["portico"]["seconds"]["median"] > 0
    assert lines["portico"]["peak"]["median"] > 1
    assert set(told["larger"]["typed lines of JSON: portico"]) == {"0.1", "0.2"}
    assert "speed, in that of msgspec by hand" in done.stdout


def test_who_finds_something_else_is_dropped_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(path: Path, megabytes: float) -> None:
        path.write_text("x", encoding="utf-8")

    def measure(name: str, kind: str, reader: str, path: Path) -> dict[str, object]:
        if reader == "absent":
            raise Missing("ModuleNotFoundError: no module absent")
        return {"found": 2 if reader == "liar" else 1, "seconds": 1.0, "peak": 20.0}

    readers = dict.fromkeys(("first", "liar", "absent"), len)
    monkeypatch.setattr(data, "kinds_of", lambda name: {"kind": Kind(write, readers)})
    monkeypatch.setattr(data, "measured", measure)
    runs = Runs(("csv",), 1.0)
    runs.round(0, tmp_path)
    runs.round(1, tmp_path)
    assert runs.wrong == {"kind: liar": "found 2, where first found 1"}
    assert list(runs.missing) == ["kind: absent"]
    assert len(runs.figures["csv", "kind"]["first"]) == 2
    text = "\n".join(runs.tables())
    assert "wrong: kind: liar" in text
    assert "missing: kind: absent" in text


def test_what_a_reader_says_when_it_fails_is_told(tmp_path: Path) -> None:
    absent = tmp_path / "write_lines-1.json"
    with pytest.raises(Wrong, match="FileNotFoundError"):
        measured("json", "lines of JSON", "portico", absent)
