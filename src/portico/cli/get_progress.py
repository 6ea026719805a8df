"""How downloads are doing: bars on a terminal, lines for a log, records for machines."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from types import TracebackType
from typing import Any, Self

import click

from portico.cli.manners import one_line
from portico.client.download import Done, Progress
from portico.errors import PorticoError
from portico.sync import Guard

__all__ = ["Bars", "Lines", "Records", "Reporter", "Silence", "size_text"]

Follow = Callable[[Progress], None]

_EVERY = 5.0
"""Seconds between two lines about one file."""


def size_text(size: float) -> str:
    """Bytes for people, as ``12.3 MiB``."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


class Silence:
    """Tells nothing but what fails, which the command does; a context manager, as all of these are."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def follow(self, url: str) -> Follow:
        """What is called with the progress of one download, from any thread."""
        return lambda progress: None

    def done(self, url: str, done: Done) -> None:
        """A file is there."""

    def failed(self, url: str, error: PorticoError, code: int) -> None:
        """A file is not."""


Reporter = Silence


class Lines(Silence):
    """A line every few seconds, and one at the end of each file; on stderr."""

    def __init__(self) -> None:
        self._began: dict[str, float] = {}

    def follow(self, url: str) -> Follow:
        began = last = self._began[url] = monotonic()
        trouble = ""

        def note(progress: Progress) -> None:
            nonlocal last, trouble
            now = monotonic()
            if progress.state == "waiting" and progress.trouble != trouble:
                trouble = progress.trouble
                self._say(f"{progress.name or url}: {progress.trouble}; trying again")
            elif progress.state == "loading" and now - last >= _EVERY:
                last = now
                self._say(f"{progress.name or url}: {_state_text(progress, now - began)}")

        return note

    def done(self, url: str, done: Done) -> None:
        if done.size and not done.came:
            self._say(f"{done.path}: {size_text(done.size)}, all of it was there already")
            return
        seconds = monotonic() - self._began[url]
        came = "" if done.came == done.size else f", {size_text(done.came)} of it now"
        rate = size_text(done.came / max(seconds, 0.001))
        self._say(f"{done.path}: {size_text(done.size)}{came} in {seconds:.1f} s, {rate}/s")

    def _say(self, text: str) -> None:
        with suppress(OSError):  # who does not listen does not stop us
            click.echo(one_line(text), err=True)


def _state_text(progress: Progress, seconds: float) -> str:
    rate = (progress.done - progress.resumed) / max(seconds, 0.001)
    if not progress.total:
        return f"{size_text(progress.done)}, {size_text(rate)}/s"
    share = f"{100 * progress.done // progress.total} % of {size_text(progress.total)}"
    left = (progress.total - progress.done) / rate if rate else 0.0
    return f"{share}, {size_text(rate)}/s, {int(left) // 60}:{int(left) % 60:02} left"


class Records(Silence):
    """A JSON object a line, on stdout: ``progress`` once a second, ``done``, ``failed``."""

    def __init__(self) -> None:
        self._guard = Guard()

    def follow(self, url: str) -> Follow:
        last = [0.0]

        def note(progress: Progress) -> None:
            now = monotonic()
            if now - last[0] >= 1.0 or progress.state == "waiting":
                last[0] = now
                self._write(
                    event="progress", url=url, state=progress.state, done=progress.done, total=progress.total
                )

        return note

    def done(self, url: str, done: Done) -> None:
        self._write(event="done", url=url, path=str(done.path), size=done.size, came=done.came)

    def failed(self, url: str, error: PorticoError, code: int) -> None:
        self._write(event="failed", url=url, error=str(error), kind=type(error).__name__, code=code)

    def _write(self, **record: Any) -> None:
        with self._guard:
            click.echo(json.dumps(record))


class Bars(Lines):
    """A bar for each file that is being loaded, on the terminal that stderr is; above them a line for each
    that is there."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import Progress as RichProgress

        super().__init__()
        console = Console(stderr=True)
        self._room, columns = _columns(console.width)
        self._bars = RichProgress(*columns, console=console)

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def follow(self, url: str) -> Follow:
        self._began[url] = monotonic()
        bar = self._bars.add_task(_shortened(url, self._room), total=None)

        def note(progress: Progress) -> None:
            what = f" ({progress.state})" if progress.state in ("waiting", "checking") else ""
            text = _shortened(progress.name or url, self._room - len(what)) + what
            self._bars.update(bar, description=text, completed=progress.done, total=progress.total)
            if progress.state in ("done", "failed"):
                self._bars.remove_task(bar)

        return note

    def _say(self, text: str) -> None:
        self._bars.console.print(one_line(text), markup=False, highlight=False, soft_wrap=True)


def _columns(width: int) -> tuple[int, list[Any]]:
    """What a line of a terminal has room for: the name (of so many characters) and how much is there, then
    the rate, then the rest."""
    from rich.progress import BarColumn, ProgressColumn, Task, TextColumn, TimeRemainingColumn
    from rich.table import Column
    from rich.text import Text

    class Told(ProgressColumn):
        def __init__(self, tell: Callable[[Task], str]) -> None:
            super().__init__(Column(no_wrap=True))
            self._tell = tell

        def render(self, task: Task) -> Text:
            return Text(self._tell(task))

    def share(task: Task) -> str:
        return f"{task.percentage:.0f} %" if task.total else size_text(task.completed)

    def size(task: Task) -> str:
        return f"{share(task)} of {size_text(task.total)}" if task.total else share(task)

    def rate(task: Task) -> str:
        return f"{size_text(task.speed)}/s" if task.speed else ""

    name = TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True))
    if width < 40:
        return max(1, width - 7), [name, Told(share)]
    if width < 80:
        return width - 34, [name, Told(size), Told(rate)]
    left = TimeRemainingColumn(compact=True)
    return min(40, width - 61), [name, BarColumn(20), Told(size), Told(rate), left]


def _shortened(text: str, most: int) -> str:
    text = one_line(text)
    return text if len(text) <= most else f"…{text[len(text) - max(1, most) + 1 :]}"
