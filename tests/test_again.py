"""The second try of `make test`: for very little only, and never for nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests import again


@pytest.mark.parametrize("count", [None, 0, 1, again.MOST, again.MOST + 1])
def test_only_a_few_get_a_second_try(
    count: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    tried: list[list[str]] = []
    monkeypatch.setattr(pytest, "main", lambda options: tried.append(options) or pytest.ExitCode.OK)
    if count is not None:
        file = tmp_path / ".pytest_cache/v/cache/lastfailed"
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps({f"tests/test_x.py::test_{number}": True for number in range(count)}))
    few = count in (1, again.MOST)
    assert again.main() == (0 if few else 1)
    assert bool(tried) == few
    assert capsys.readouterr().out.count("test_x.py") == (count if few else 0)
