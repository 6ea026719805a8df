"""The tests' own tools: a missing peer is named, and what a test leaves open is seen."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import conftest
from tests.peers import corpus, need, need_module

Lookup = Callable[[], object]


@pytest.fixture(params=[None, "0", "1"], ids=["unset", "off", "on"])
def required(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.delenv("PORTICO_REQUIRE_PEERS", raising=False)
    if request.param is not None:
        monkeypatch.setenv("PORTICO_REQUIRE_PEERS", request.param)
    return request.param == "1"


@pytest.mark.parametrize(
    ("look_up", "name"),
    [
        (lambda: need("no-such-program"), "no-such-program"),
        (lambda: need_module("no_such_module.part"), "module no_such_module.part"),
        (lambda: corpus("no-such-corpus"), "corpus no-such-corpus"),
    ],
    ids=["program", "module", "corpus"],
)
def test_a_missing_peer_is_skipped_by_name_and_fails_where_it_is_required(
    required: bool, look_up: Lookup, name: str
) -> None:
    outcome = pytest.fail.Exception if required else pytest.skip.Exception
    with pytest.raises(outcome, match=f"peer missing: {name}"):
        look_up()


def test_what_is_here_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert os.access(need("sh"), os.X_OK)
    assert need_module("json.decoder").__name__ == "json.decoder"
    (tmp_path / "words").mkdir()
    monkeypatch.setenv("PORTICO_CORPORA", str(tmp_path))
    assert corpus("words") == tmp_path / "words"


def test_a_module_that_is_broken_is_an_error_and_no_skip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_peer.py").write_text("import no_such_dependency")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="no_such_dependency"):
        need_module("broken_peer")


def test_a_descriptor_a_thread_and_a_child_that_stay_are_seen() -> None:
    before = conftest._held()
    end = threading.Event()
    thread = threading.Thread(target=end.wait, name="left-behind")
    reading, writing = os.pipe()
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    thread.start()
    try:
        left = " ".join(conftest._held() - before)
    finally:
        end.set()
        thread.join()
        child.communicate(b"\n")
        os.close(reading)
        os.close(writing)
    assert f"descriptor {reading} -> pipe:" in left
    assert "thread left-behind" in left
    assert f"child process {child.pid}" in left
    assert not conftest._held() - before


def test_a_thread_that_ends_soon_is_forgiven(no_leaks: None) -> None:
    thread = threading.Timer(0.1, lambda: None)
    thread.start()
    assert thread.is_alive()
