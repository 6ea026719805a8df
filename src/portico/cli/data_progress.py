"""How reading is doing: a bar on a terminal, a line every few seconds elsewhere; on stderr."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic

import click

from portico.cli.get_progress import size_text

__all__ = ["progress_of"]

Follow = Callable[[int, int | None], None]

_SILENT = 1.0
"""Seconds before anything is shown: short work needs no bar."""
_EVERY = 5.0
"""Seconds between two lines."""


@contextmanager
def progress_of(*, quiet: bool, to_stdout: bool = True) -> Iterator[Follow | None]:
    """What is called with bytes read and bytes in all; ``None``: nobody wants to know, or what is read is
    shown on the terminal (``to_stdout``)."""
    if quiet or sys.stderr is None:
        yield None
    elif not sys.stderr.isatty():
        yield _lines()
    elif to_stdout and sys.stdout is not None and sys.stdout.isatty():
        yield None
    else:
        with _bar() as follow:
            yield follow


def _lines() -> Follow:
    began = last = monotonic()

    def note(done: int, total: int | None) -> None:
        nonlocal last
        now = monotonic()
        if now - last < _EVERY:
            return
        last = now
        share = f", {100 * done // total} %" if total else ""
        click.echo(f"{size_text(done)} read{share}, {size_text(done / (now - began))}/s", err=True)

    return note


@contextmanager
def _bar() -> Iterator[Follow]:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

    bars = Progress(
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    began, task = monotonic(), None

    def note(done: int, total: int | None) -> None:
        nonlocal task
        if monotonic() - began < _SILENT:
            return
        if task is None:
            bars.start()
            task = bars.add_task("", total=total)
        bars.update(task, completed=done)

    try:
        yield note
    finally:
        if task is not None:
            bars.stop()
