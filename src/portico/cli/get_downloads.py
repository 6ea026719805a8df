"""What ``portico get`` does: URLs listed, a session, so many downloads at once, and what came of them."""

from __future__ import annotations

import os
import re
import sys
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from portico import deadline
from portico.cli.ending import ending_by_signals
from portico.cli.get_progress import Bars, Lines, Records, Reporter, Silence
from portico.cli.get_stream import is_stream, opened
from portico.cli.get_sums import find_sum
from portico.cli.manners import TRUST, exit_code, in_words, report
from portico.cli.typed_url import full_url
from portico.client.download import Done, Downloader, Progress
from portico.client.downloading import checked_sum
from portico.client.options import client_tls
from portico.client.session import Session
from portico.client.timeouts import Timeouts
from portico.errors import CertificateError, ConfigError, EndOfStream, PorticoError
from portico.sync import TaskGroup

__all__ = ["PARTIAL", "download"]

PARTIAL = 18
"""Exit code where something is left that can be gone on with: curl's for a partial file."""
_CUT = 56
"""And where a connection ended in the middle of a file, and nothing is left."""


def download(urls: Sequence[str], options: dict[str, Any]) -> None:
    """Carry out the command. Raises ``PorticoError`` and what click does."""
    given = [*urls, *_listed(options["input_file"])]
    wanted = list(dict.fromkeys(full_url(url, options["default_scheme"]) for url in given))
    output = options["output"]
    if not wanted:
        raise click.UsageError("name at least one URL, or a file of them with --input-file")
    if output == "" or (output or "").endswith("/"):
        raise click.UsageError(f"--output {output!r} is no name of a file; --folder is where files are put")
    if len(wanted) > 1 and (output or options["sha256"]):
        raise click.UsageError("--output and --sha256 are for one URL")
    if output == "-" and options["json"]:
        raise click.UsageError("--json tells on stdout, where --output - puts the file")
    with ending_by_signals(), deadline.timeout(options["timeout"]), _session(options) as session:
        place = output if output in (None, "-") else str(Path(options["folder"], output))
        if is_stream(place):
            _stream(session, wanted[0], place, options)
            return
        with _reporter(options) as reporter:
            failures = _Downloads(session, reporter, options).run(wanted)
    _leave(failures, options, several=len(wanted) > 1)


def _listed(path: str | None) -> list[str]:
    if path is None:
        return []
    if path == "-" and sys.stdin is None:
        raise ConfigError("--input-file -: stdin is closed")
    try:
        text = sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        raise ConfigError(f"cannot read {path!r}: {getattr(error, 'strerror', None) or error}") from None
    lines = [line.strip() for line in text.removeprefix("\ufeff").splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def _session(options: dict[str, Any]) -> Session:
    auth = None
    if options["user"]:
        user, colon, password = options["user"].partition(":")
        if not colon:
            raise click.UsageError("--user is USER:PASSWORD")
        auth = (user, password)
    nameless = [header for header in options["header"] if ":" not in header]
    if nameless:
        raise click.UsageError(f"--header is NAME:VALUE, and not {nameless[0]!r}")
    pairs = [header.partition(":")[::2] for header in options["header"]]
    return Session(
        headers=[(name.strip(), value.strip()) for name, value in pairs],
        auth=auth,
        proxies=options["proxy"],
        verify=client_tls(_trust(options), None),
        timeout=Timeouts(read=options["silence"], write=options["silence"]),
    )


def _trust(options: dict[str, Any]) -> bool | str:
    if options["ca"] and options["no_verify"]:
        raise click.UsageError("--ca says whom to trust, --no-verify to trust anybody")
    return options["ca"] or not options["no_verify"]


def _reporter(options: dict[str, Any]) -> Reporter:
    if options["json"]:
        return Records()
    if options["quiet"]:
        return Silence()
    terminal = sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
    return Bars() if terminal else Lines()


def _sum(session: Session, url: str, options: dict[str, Any]) -> str | None:
    """The SHA-256 that the file has to have. Raises ``ConfigError``."""
    if options["sums"] is not None:
        return find_sum(session, url, options["sums"])
    with in_words({"sha256=": "--sha256 "}, ConfigError):
        return None if options["sha256"] is None else checked_sum(options["sha256"])


def _stream(session: Session, url: str, place: str, options: dict[str, Any]) -> None:
    """To stdout, or to what else is no file."""
    downloader = Downloader(session, attempts=options["attempts"], rate=options["rate"])
    with in_words(TRUST, CertificateError), opened(place) as out:
        downloader.pour(url, out, sha256=_sum(session, url, options))


def _told(url: str) -> str:
    """A URL for lines and records, which are kept: without a user's name and password."""
    return re.sub(r"(?<=://)[^/?#]*@", "", url)


@dataclass(frozen=True, slots=True)
class _Failure:
    """What was asked for, why it is not there, and whether a part of it is."""

    url: str
    error: PorticoError
    resumable: bool

    @property
    def code(self) -> int:
        """The exit code: ``PARTIAL`` means that there is a part."""
        if self.resumable:
            return PARTIAL
        return _CUT if isinstance(self.error, EndOfStream) else exit_code(self.error)


class _Downloads:
    """All that was asked for, so many at once; those that failed, and why."""

    def __init__(self, session: Session, reporter: Reporter, options: dict[str, Any]) -> None:
        self._session = session
        self._reporter = reporter
        self._options = options
        self._downloader = Downloader(
            session, attempts=options["attempts"], segments=options["segments"], rate=options["rate"]
        )
        self._names: dict[str, str] = {}
        self._failures: list[_Failure] = []

    def run(self, urls: Sequence[str]) -> list[_Failure]:
        waiting = deque(urls)
        # The deadline is the tasks' own: they tell what came of it, and what is left. Who waits for them
        # has none, for it would else end at the same moment and come before what they have to tell.
        with deadline.timeout(None, shield=True), TaskGroup() as group:
            for _ in range(min(self._options["parallel"], len(urls))):
                group.start(self._in_time, waiting)
        return self._failures

    def _in_time(self, waiting: deque[str]) -> None:
        with deadline.timeout(self._options["timeout"]):
            self._work(waiting)

    def _work(self, waiting: deque[str]) -> None:
        while waiting:
            try:
                url = waiting.popleft()
            except IndexError:  # another was faster
                return
            last: list[Progress] = []
            try:
                done = self._one(url, last)
            except PorticoError as error:
                failure = _Failure(_told(url), error, any(progress.resumable for progress in last))
                self._failures.append(failure)
                self._reporter.failed(failure.url, error, failure.code)
            else:
                self._reporter.done(_told(url), done)

    def _one(self, url: str, last: list[Progress]) -> Done:
        options, tell = self._options, self._reporter.follow(_told(url))

        def follow(progress: Progress) -> None:
            last[:] = [progress]
            if progress.state != "failed":
                self._claim(progress.name, url)
            tell(progress)

        with in_words(TRUST, CertificateError):
            return self._downloader.fetch(
                url,
                options["output"],
                folder=options["folder"],
                sha256=_sum(self._session, url, options),
                force=options["force"],
                times=not options["no_times"],
                on_progress=follow,
            )

    def _claim(self, name: str, url: str) -> None:
        """Two URLs may give one name: what one of them has brought is not replaced by the other."""
        if name and self._names.setdefault(name, url) != url:
            raise ConfigError(f"{name!r} is the name of {_told(self._names[name])}, too")


def _leave(failures: list[_Failure], options: dict[str, Any], several: bool) -> None:
    if not failures:
        return
    for each in failures:
        if not options["json"]:
            report(each.error, click.get_current_context(), each.url if several else "")
    codes = [each.code for each in failures]
    raise click.exceptions.Exit(PARTIAL if PARTIAL in codes else codes[0])
