"""One download, from the first question to the file under its name.

What is cut is gone on with; what turns out to be of another version is begun anew.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from itertools import pairwise
from pathlib import Path
from time import monotonic
from typing import Any

from portico import deadline
from portico.client.bucket import Bucket
from portico.client.disposition import name_for
from portico.client.opener import open_with
from portico.client.part_file import PartFile, Segment, Version, sum_of
from portico.client.ranges import Unexpected, check_range, version_of
from portico.client.response import Response
from portico.client.retries import seconds_asked
from portico.client.session import Session
from portico.client.stream_part import StreamPart
from portico.client.url import URL
from portico.errors import (
    ChecksumError,
    ConfigError,
    ConnectError,
    ConnectionLost,
    HTTPError,
    PorticoError,
    ProtocolError,
    ResolveError,
    Timeout,
)
from portico.sync import Guard, TaskGroup, run_blocking, sleep

__all__ = ["Done", "Downloading", "Progress", "Rules", "checked_sum"]

_LEAST_SEGMENT = 1 << 20
"""Bytes below which a segment of its own is not worth a connection."""
_NOTED = 0.25
"""Seconds between two notes of how far several segments have come."""
_RESTARTS = 3
"""So often a resource may change while it is being downloaded."""
_LONGEST_PAUSE = 30.0
_LONGEST_ASKED = 120.0
"""Seconds that a server may want us to wait: with more, it is better told that there is no file for now."""


@dataclass(frozen=True, slots=True)
class Done:
    """A finished download: where it is, its bytes, how many of these came now, and the response."""

    path: Path
    size: int
    came: int
    response: Response


@dataclass(slots=True)
class Progress:
    """How a download is doing; passed to ``on_progress`` after every piece and every change.

    ``total`` in bytes, ``None`` where the server does not tell; ``done`` of them are there, ``resumed`` were
    so before. ``state``: ``"asking"``, ``"loading"``, ``"waiting"`` (before another try, because of
    ``trouble``), ``"checking"``, ``"done"`` or ``"failed"``.
    """

    url: str
    name: str = ""
    total: int | None = None
    done: int = 0
    resumed: int = 0
    state: str = "asking"
    trouble: str = ""
    resumable: bool = False
    began: float = field(default_factory=monotonic)


@dataclass(frozen=True, slots=True)
class Rules:
    """How downloads are carried out: see ``Downloader``."""

    attempts: int
    segments: int
    pause: float
    bucket: Bucket | None
    on_progress: Callable[[Progress], None]


class _Changed(Exception):
    """The resource is another one now; ``response``, if there is one, begins with its first byte."""

    def __init__(self, response: Response | None = None) -> None:
        super().__init__()
        self.response = response


class Downloading:
    """One download."""

    def __init__(
        self,
        session: Session,
        rules: Rules,
        url: URL,
        options: dict[str, Any],
        *,
        sha256: str | None,
        force: bool,
        times: bool,
    ) -> None:
        self._session = session
        self._rules = rules
        self._url = url
        self._options = options
        self._sha256 = None if sha256 is None else checked_sum(sha256)
        self._force = force
        self._times = times
        self._guard = Guard()
        self._next_note = 0.0
        self._at_once = True
        self._trouble: PorticoError | None = None
        self._came = 0
        self.progress = Progress(str(url))

    def run(self, target: Path | None, folder: Path) -> Done:
        response: Response | None = None
        part: PartFile | None = None
        try:
            if target is None:
                response = self._patiently(self._ask_whole)
                target = Path(name_for(response.url, response.headers.get("content-disposition")))
            target = folder / target
            self.progress.name = target.name
            folder.mkdir(parents=True, exist_ok=True)
            part = PartFile(target, force=self._force)
            if done := self._done_before(target, response):
                return done
            part.check_target()
            response = self._loaded(part, response)
            return self._finished(part, response)
        except PorticoError as error:
            self._give_up(part, error)
            raise
        except OSError as error:
            failure = ConfigError(f"cannot write {str(error.filename or target)!r}: {error.strerror}")
            self._give_up(part, failure)
            raise failure from None
        finally:
            if response is not None:
                response.close()
            if part is not None:
                part.leave()

    def pour(self, part: StreamPart) -> Done:
        """Write all of it to a stream. Raises what that raises, too."""
        response: Response | None = None
        try:
            response = self._loaded(part, None)
            return self._finished(part, response)
        except PorticoError as error:
            self._tell("failed", str(error))
            raise
        finally:
            if response is not None:
                response.close()

    def _give_up(self, part: PartFile | None, error: PorticoError) -> None:
        self.progress.resumable = part is not None and part.leave()
        self._tell("failed", str(error))

    def _done_before(self, target: Path, response: Response | None) -> Done | None:
        """The file that is there already, if it is known to be what would be loaded: a list of downloads
        that was cut is gone on with as a whole."""
        if self._force or not target.is_file():
            return None
        response = response or self._patiently(self._ask_whole)
        response.close()
        facts = target.stat()
        if self._sha256 is not None:
            same = run_blocking(sum_of, target) == self._sha256
        else:
            told = version_of(response).size, self._time_of(response.headers.get("last-modified"))
            same = (facts.st_size, facts.st_mtime) == told
        if not same:
            return None
        self.progress.total = self.progress.done = self.progress.resumed = facts.st_size
        self._tell("done")
        return Done(target, facts.st_size, 0, response)

    # -- from the first byte to the last

    def _loaded(self, part: PartFile, response: Response | None) -> Response:
        """Load all of it; ``response`` begins with the first byte, if it is there already."""
        cause: BaseException | None = None
        for _ in range(_RESTARTS):
            try:
                return self._tried(part, response)
            except _Changed as changed:
                cause = changed.__cause__ or self._cut_of_the_same(part, changed.response)
                self._at_once = False  # some servers announce ranges that they do not give
                if response is not None:
                    response.close()
                response = changed.response
                if not part.may_begin_anew():
                    break
                part.discard()
        if response is not None:
            response.close()
        if cause is not None:
            raise cause
        raise ProtocolError(f"{self._url}: it changed again and again while it was being downloaded", 502)

    def _cut_of_the_same(self, part: PartFile, response: Response | None) -> PorticoError | None:
        """What cut us off from a server that gives no ranges; ``None`` where it has another version now."""
        if response is None or part.version is None or part.version.differs_from(version_of(response)):
            return None
        return self._trouble

    def _tried(self, part: PartFile, response: Response | None) -> Response:
        if part.load():
            same = response is None or (part.version and part.version.is_also(version_of(response)))
            if same and part.go_on():
                if response is not None:
                    response.close()
                self._resume(part)
                return self._all_segments(part, None)
            self._tell("loading", "what was there is of another version, and is not used")
        if response is None:
            response = self._patiently(self._ask_whole)
        try:
            version = version_of(response)
            part.begin(version, self._planned(version, response))
            self._resume(part)
            return self._all_segments(part, response)
        except BaseException:
            response.close()
            raise

    def _resume(self, part: PartFile) -> None:
        self.progress.total = part.version.size if part.version else None
        self.progress.done = self.progress.resumed = part.size
        self._tell("loading")

    def _planned(self, version: Version, response: Response) -> list[Segment]:
        size, wanted = version.size, self._rules.segments
        ranges = (
            response.headers.get("accept-ranges", "").lower() == "bytes" and version.condition is not None
        )
        if size is None or not ranges or size < 2 * _LEAST_SEGMENT or not self._at_once:
            wanted = 1
        else:
            wanted = min(wanted, size // _LEAST_SEGMENT)
        if size is None or wanted == 1:
            return [Segment(0, size, 0)]
        cuts = [size * number // wanted for number in range(wanted + 1)]
        return [Segment(start, end, start) for start, end in pairwise(cuts)]

    def _all_segments(self, part: PartFile, first: Response | None) -> Response:
        """Load what is missing, each segment by a task of its own; the response that was looked at last."""
        missing = [segment for segment in part.segments if not segment.is_done()]
        if len(part.segments) == 1:
            if missing:
                return self._segment(part, missing[0], first)
            return first or self._ask_head()
        with TaskGroup() as group:
            tasks = []
            for segment in missing:
                response = first if segment.start == 0 else None
                tasks.append(group.start(self._segment, part, segment, response))
        answers = [task.join() for task in tasks]
        return first or answers[0] if answers else self._ask_head()

    def _segment(self, part: PartFile, segment: Segment, response: Response | None) -> Response:
        """Load one segment, however often it is cut."""
        failures, came = 0, self._came
        while True:
            try:
                if response is None:
                    response = self._ask_for(part, segment)
                self._pour(part, segment, response)
                return response
            except _Changed:
                raise
            except BaseException as error:
                if response is not None:
                    response.close()
                response = None
                if not isinstance(error, PorticoError):
                    raise
                self._trouble = error
                failures = 1 if self._came > came else failures + 1
                came = self._came
                self._wait_after(error, failures)
                unknown = part.version is None or part.version.condition is None
                if segment.at > segment.start and unknown:
                    raise _Changed from error  # from the beginning: nobody can say what the rest belongs to

    def _ask_for(self, part: PartFile, segment: Segment) -> Response:
        version = part.version
        if version is None or version.condition is None or (segment.at == 0 and len(part.segments) == 1):
            response = self._ask_whole()
            self._check_same(version, response)
            return response
        last = "" if segment.end is None else str(segment.end - 1)
        wanted = {"Range": f"bytes={segment.at}-{last}", "If-Range": version.condition}
        response = self._ask(wanted, check=False)
        if response.status == 200 and len(part.segments) == 1:
            raise _Changed(response)
        if response.status != 206:
            response.close()
        if response.status == 200:
            raise _Changed
        if response.status == 416:
            if version.size == segment.at:
                segment.end = segment.at
                return response
            raise _Changed
        response.raise_for_status()
        try:
            check_range(response, segment.at, version)
        except Unexpected:
            response.close()
            raise _Changed from None
        return response

    def _check_same(self, version: Version | None, response: Response) -> None:
        if version is not None and version.differs_from(version_of(response)):
            raise _Changed(response)

    def _pour(self, part: PartFile, segment: Segment, response: Response) -> None:
        if segment.is_done():
            return
        partly = response.status == 200 and part.version is not None and segment.end != part.version.size
        pieces = response.iter_raw()
        if self._rules.bucket is not None:
            pieces = self._rules.bucket.paced(pieces)
        for came in pieces:
            piece = came if segment.end is None else came[: segment.end - segment.at]
            run_blocking(part.write, segment, piece)
            self._note(part, len(piece))
            if segment.is_done() and partly:
                response.close()  # the rest is for others
                return
        if segment.end is None:
            segment.end = segment.at
        elif not segment.is_done():
            missing = segment.end - segment.at
            raise ProtocolError(f"{self._url}: {missing} bytes fewer came than were announced", 502)

    def _note(self, part: PartFile, size: int) -> None:
        with self._guard:
            self._came += size
            self.progress.done += size
            now = monotonic()
            note = len(part.segments) > 1 and now >= self._next_note
            if note:
                self._next_note = now + _NOTED
        if note:
            part.save()
        self._rules.on_progress(self.progress)

    def _finished(self, part: PartFile, response: Response) -> Done:
        size = part.size
        if self._sha256 is not None:
            self._tell("checking")
            found = run_blocking(part.sum)
            if found != self._sha256:
                part.discard()
                raise ChecksumError(
                    f"{self._url}: the SHA-256 is {found}, not {self._sha256}; {part.verdict}"
                )
        told = part.version.modified if part.version else None
        modified = self._time_of(told or response.headers.get("last-modified"))
        run_blocking(part.finish, modified)
        self._tell("done")
        return Done(part.target, size, self._came, response)

    def _time_of(self, text: str | None) -> float | None:
        if text is None or not self._times:
            return None
        try:
            return parsedate_to_datetime(text).timestamp()
        except (ValueError, TypeError, OverflowError):
            return None

    # -- asking, and asking again

    def _ask(self, headers: dict[str, str], *, method: str = "GET", check: bool = True) -> Response:
        options = dict(self._options)
        given = {**dict(options.pop("headers", None) or {}), "Accept-Encoding": "identity", **headers}
        return open_with(self._session, method, self._url, headers=given, **{**options, "check": check})

    def _ask_whole(self) -> Response:
        """The answer that begins with the first byte. Raises ``HTTPError`` for any that is not the file:
        a part that nobody asked for, "not modified", "no content"."""
        response = self._ask({})
        if response.status not in (200, 203):
            response.close()
            what = f"GET {response.url}: {response.status} {response.phrase}".rstrip()
            raise HTTPError(f"{what}, and not the whole file", response)
        return response

    def _ask_head(self) -> Response:
        """About a file that is whole already; that some servers do not answer does no harm."""
        return self._patiently(lambda: self._ask({}, method="HEAD", check=False))

    def _patiently(self, ask: Callable[[], Response]) -> Response:
        failures = 0
        while True:
            try:
                return ask()
            except PorticoError as error:
                failures += 1
                self._wait_after(error, failures)

    def _wait_after(self, error: PorticoError, failures: int) -> None:
        """Pause before another try. Raises ``error`` where that would be in vain, or was so too often."""
        if failures >= self._rules.attempts or not _may_pass(error) or deadline.expiry() <= monotonic():
            raise error
        pause = min(_LONGEST_PAUSE, self._rules.pause * 2 ** (failures - 1)) * random.uniform(0.5, 1)
        response = getattr(error, "response", None)
        asked = None if response is None else seconds_asked(response)
        if asked is not None and asked > _LONGEST_ASKED:
            raise error
        self._tell("waiting", str(error))
        sleep(max(pause, asked or 0))
        self._tell("loading")

    def _tell(self, state: str, trouble: str = "") -> None:
        self.progress.state, self.progress.trouble = state, trouble
        self._rules.on_progress(self.progress)


def _may_pass(error: PorticoError) -> bool:
    """Whether another try may go better."""
    if isinstance(error, HTTPError):
        return getattr(error.response, "status", 0) in (408, 425, 429, 500, 502, 503, 504)
    if isinstance(error, ResolveError):
        return bool(getattr(error, "temporary", False))
    return isinstance(error, (ConnectionLost, ConnectError, ProtocolError, Timeout))


def checked_sum(text: str) -> str:
    """A SHA-256 as its 64 hexadecimal digits. Raises ``ConfigError``."""
    found = text.strip().lower().removeprefix("sha256:")
    if len(found) != 64 or not set(found) <= set("0123456789abcdef"):
        raise ConfigError(f"sha256={text!r:.80}: expected 64 hexadecimal digits")
    return found
