"""What docs/running.md says is so. Its commands are run by ``tests/test_readme.py``."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from portico.cli.main import cli
from portico.cli.serve import serve
from portico.cli.serve_start import _FIXED, _FIXED_LIMITS
from portico.cli.targets import KINDS as TARGETS
from portico.web.basic_auth import WAITING
from portico.web.config import Problems, read_file
from portico.web.config.mount import OWN_LIMITS, MountSettings
from portico.web.config.mounts import KINDS
from portico.web.config.reading import keys_of
from portico.web.passwords import hash_password
from portico.web.redirect import _HOLES
from tests.pages import blocks
from tests.peers import root

GUIDE = (root / "docs" / "running.md").read_text(encoding="utf-8")
PROSE = " ".join(re.sub(r"^```.*?^```$", "", GUIDE, flags=re.MULTILINE | re.DOTALL).split())


def first_column(heading: str) -> list[str]:
    found = re.search(rf"^\| {heading} \|.*\n\|[-|]+\n((?:\|.*\n)+)", GUIDE, re.MULTILINE)
    assert found is not None
    return re.findall(r"^\| `([^`]+)`", found[1], re.MULTILINE)


def test_every_kind_of_target_is_in_the_table() -> None:
    assert {each.partition(":")[0] for each in first_column("target")} == set(TARGETS) - {"asgi"}


def test_every_key_that_all_mounts_have_is_in_the_table() -> None:
    assert set(first_column("key")) == set(keys_of(MountSettings))


def test_every_kind_of_mount_and_every_hole_is_named() -> None:
    section = PROSE.partition("## 4. Mounts")[2].partition("| key")[0]
    assert set(re.findall(r"`(\w+)`", section)) >= set(KINDS)
    assert [each.strip("{}") for each in first_column("hole")] == [*("path", "query", "uri", "host")]
    assert set(_HOLES) == {"path", "query", "uri", "host"}


def test_the_limits_of_a_mount_are_all_named() -> None:
    sentence = re.search(r"A mount may have its own (.*?): those", PROSE)
    assert sentence is not None
    named = tuple(re.findall(r"`(\w+)`", sentence[1]))
    assert {each for each in OWN_LIMITS if not each.startswith(named)} == set()
    assert {each for each in named if not each.endswith("_")} <= OWN_LIMITS


def test_what_needs_a_restart_is_all_named() -> None:
    row = next(line for line in GUIDE.splitlines() if line.startswith("| engine, level"))
    for name in ("grace", "backlog", "connections", "queue"):
        assert f"`{name}`" in row
    known = {
        "listen",
        "engine",
        "workers",
        "max_requests",
        "max_memory",
        "max_age",
        "grace",
        "log.level",
        "metrics",
    }
    assert set(_FIXED) == known
    assert {each.partition(".")[2] for each in _FIXED_LIMITS} == {"backlog", "connections", "queue"}


def test_the_usual_hash_is_as_it_is_shown() -> None:
    assert hash_password("x").startswith("$scrypt$ln=14,r=8,p=5$")
    assert "`$scrypt$ln=14,r=8,p=5$salt$hash`" in PROSE
    assert WAITING == 8


@pytest.mark.parametrize("number", range(len(blocks("toml"))))
def test_a_configuration_of_the_page_has_only_keys_that_there_are(number: int, tmp_path: Path) -> None:
    """What is missing here are files, hashes, sockets: not keys."""
    (tmp_path / "portico.toml").write_text(blocks("toml")[number].text)
    expected = ("there is no ", "a scrypt hash that cannot be read")
    assert [each for each in problems(tmp_path / "portico.toml") if not each.startswith(expected)] == []


def problems(file: Path) -> list[str]:
    try:
        read_file(str(file))
    except Problems as found:
        return [each.message for each in found.problems]
    return []


def test_every_option_has_a_variable_and_says_what_it_does() -> None:
    context = cli.make_context("portico", ["serve", "--help-not"], resilient_parsing=True)
    assert context.auto_envvar_prefix == "PORTICO"
    for option in serve.params:
        if option.param_type_name == "option":
            assert getattr(option, "help", ""), option.name
