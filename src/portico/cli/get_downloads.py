"""What ``portico get`` does: URLs listed, a session, so many downloads at once, and what came of them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from portico import deadline
from portico.cli.get_progress import Bars, Lines, Records, Reporter, Silence
from portico.cli.get_sums import find_sum
from portico.cli.manners import exit_code, report
from portico.client.download import Downloader, Progress
from portico.client.options import client_tls
from portico.client.session import Session
from portico.client.timeouts import Timeouts
from portico.errors import ConfigError, PorticoError
from portico.sync import Queue, TaskGroup

__all__ = ["PARTIAL", "download"]

PARTIAL = 18
"""Exit code where something is left that can be gone on with: curl's for a partial file."""


def download(urls: Sequence[str], options: dict[str, Any]) -> None:
    """Carry out the command. Raises ``PorticoError`` and what click does."""
    wanted = [*urls, *_listed(options["input_file"])]
    if not wanted:
        raise click.UsageError("name at least one URL, or a file of them with --input-file")
    if len(wanted) > 1 and (options["output"] or options["sha256"]):
        raise click.UsageError("--output and --sha256 are for one URL")
    with deadline.timeout(options["timeout"]), _session(options) as session:
        if options["output"] == "-":
            _print(session, wanted[0])
            return
        reporter = _reporter(options)
        with reporter:
            failures = _Downloads(session, reporter, options).run(wanted)
    _leave(failures, options)


def _listed(path: str | None) -> list[str]:
    if path is None:
        return []
    try:
        text = sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        raise ConfigError(f"cannot read {path!r}: {getattr(error, 'strerror', None) or error}") from None
    return [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]


def _session(options: dict[str, Any]) -> Session:
    auth = None
    if options["user"]:
        user, colon, password = options["user"].partition(":")
        if not colon:
            raise click.UsageError("--user is USER:PASSWORD")
        auth = (user, password)
    pairs = [header.partition(":")[::2] for header in options["header"]]
    return Session(
        headers=[(name.strip(), value.strip()) for name, value in pairs],
        auth=auth,
        proxies=options["proxy"],
        verify=client_tls(not options["no_verify"], None),
        timeout=Timeouts(read=options["silence"], write=options["silence"]),
    )


def _reporter(options: dict[str, Any]) -> Reporter:
    if options["json"]:
        return Records()
    if options["quiet"]:
        return Silence()
    return Bars() if sys.stderr.isatty() else Lines()


def _print(session: Session, url: str) -> None:
    """To stdout, as it comes."""
    headers = {"Accept-Encoding": "identity"}
    with session.get(_with_scheme(url), headers=headers, stream=True) as response:
        for piece in response.iter_raw():
            sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()


def _with_scheme(url: str) -> str:
    """As browsers and curl read what has no scheme."""
    return (
        url if ":" in url.partition("/")[0] and not url.partition(":")[2][:1].isdigit() else f"http://{url}"
    )


class _Downloads:
    """All that was asked for, so many at once; those that failed, and why."""

    def __init__(self, session: Session, reporter: Reporter, options: dict[str, Any]) -> None:
        self._session = session
        self._reporter = reporter
        self._options = options
        self._failures: list[tuple[str, PorticoError, bool]] = []

    def run(self, urls: Sequence[str]) -> list[tuple[str, PorticoError, bool]]:
        """Each failure: URL, error, whether something is left that can be gone on with."""
        waiting: Queue[str | None] = Queue()
        for url in urls:
            waiting.put(url)
        workers = min(self._options["parallel"], len(urls))
        for _ in range(workers):
            waiting.put(None)
        with TaskGroup() as group:
            for _ in range(workers):
                group.start(self._work, waiting)
        return self._failures

    def _work(self, waiting: Queue[str | None]) -> None:
        while (url := waiting.get()) is not None:
            last: list[Progress] = []
            try:
                self._one(_with_scheme(url), last)
            except PorticoError as error:
                self._failures.append((url, error, any(progress.resumable for progress in last)))

    def _one(self, url: str, last: list[Progress]) -> None:
        options, tell = self._options, self._reporter.follow(url)

        def follow(progress: Progress) -> None:
            last[:] = [progress]
            tell(progress)

        downloader = Downloader(
            self._session,
            attempts=options["attempts"],
            segments=options["segments"],
            rate=options["rate"],
            on_progress=follow,
        )
        try:
            wanted = options["sha256"]
            if options["sums"] is not None:
                wanted = find_sum(self._session, url, options["sums"])
            done = downloader.fetch(
                url,
                options["output"],
                folder=options["folder"],
                sha256=wanted,
                force=options["force"],
                times=not options["no_times"],
            )
        except PorticoError as error:
            self._reporter.failed(url, error, exit_code(error))
            raise
        self._reporter.done(url, done)


def _leave(failures: list[tuple[str, PorticoError, bool]], options: dict[str, Any]) -> None:
    if not failures:
        return
    ctx = click.get_current_context()
    codes = [exit_code(error) if options["json"] else report(error, ctx) for _, error, _ in failures]
    partial = any(resumes for _, _, resumes in failures)
    raise click.exceptions.Exit(PARTIAL if partial else codes[0])
