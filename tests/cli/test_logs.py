"""What the commands show of the library's log."""

from __future__ import annotations

import logging

import pytest

from portico.cli.logs import logging_to_stderr


@pytest.mark.parametrize("verbosity", [0, 1, 2])
def test_afterwards_everything_is_as_it_was(verbosity: int) -> None:
    loggers = [logging.getLogger("portico"), logging.getLogger("portico.drain")]

    def state() -> list[object]:
        return [(each.level, each.propagate, list(each.handlers)) for each in loggers]

    before = state()
    with logging_to_stderr(verbosity):
        assert state() != before
    assert state() == before
