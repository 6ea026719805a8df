"""Downloads that can be trusted: the whole file under its name, or a part that can be resumed.

::

    with Downloader() as downloader:
        done = downloader.fetch("https://example.org/image.iso", sha256="9f86d0…")
        print(done.path, done.size)

A file gets its name when it is whole, and its checksum right. What is cut is resumed, at once and later,
by ``Range`` and ``If-Range``: never with bytes of another version of the resource. Bytes are kept as they are
sent, so that checksums of files hold; nothing is asked to be compressed.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from portico.client.bucket import Bucket
from portico.client.downloading import Done, Downloading, Progress, Rules
from portico.client.session import Session
from portico.client.stream_part import StreamPart
from portico.client.url import URL
from portico.errors import ConfigError

__all__ = ["Done", "Downloader", "Progress"]


class Downloader:
    """Downloads files, over ``session`` (its own if there is none); a context manager.

    ``attempts``: tries without a single byte, until one gives up; after each a pause, up to half a minute,
    or as long as ``Retry-After`` says; what asks for more than two minutes has failed.
    ``segments``: of one file at once, where the server gives ranges of it. ``rate``: bytes a second for all
    downloads together. ``on_progress`` is called with a ``Progress``, from whatever thread downloads.
    """

    def __init__(
        self,
        session: Session | None = None,
        *,
        attempts: int = 5,
        segments: int = 1,
        rate: float | None = None,
        pause: float = 0.5,
        on_progress: Callable[[Progress], None] = lambda progress: None,
    ) -> None:
        if attempts < 1 or segments < 1 or (rate is not None and not rate > 0):
            raise ConfigError("a download takes at least one attempt, one segment, and a rate above zero")
        self._session = session or Session(retry=0)
        self._owns_session = session is None
        bucket = None if rate is None else Bucket(rate)
        self._rules = Rules(attempts, segments, pause, bucket, on_progress)

    def fetch(
        self,
        url: str | URL,
        target: str | os.PathLike[str] | None = None,
        *,
        folder: str | os.PathLike[str] = ".",
        sha256: str | None = None,
        force: bool = False,
        times: bool = True,
        on_progress: Callable[[Progress], None] | None = None,
        **options: Any,
    ) -> Done:
        """Download ``url`` into ``folder``, which is made if it is not there, as ``target`` or under the name
        that the server or the URL gives.

        ``sha256``: its checksum, in hexadecimal. ``force``: replace a file that is there. ``times``: give the
        file the time that the server tells. ``on_progress``: for this file alone. ``options``: as of
        ``Session.request``. A file that is there already and known to be the same, by its checksum or else by
        size and time, is not loaded again. Raises ``ConfigError`` for another one, ``ChecksumError``, and
        what ``Session`` raises; then ``NAME.part`` may be resumed.
        """
        where = URL.parse(url)
        rules = self._rules if on_progress is None else replace(self._rules, on_progress=on_progress)
        one = Downloading(self._session, rules, where, options, sha256=sha256, force=force, times=times)
        return one.run(None if target is None else Path(target), Path(folder))

    def pour(self, url: str | URL, out: BinaryIO, *, sha256: str | None = None, **options: Any) -> Done:
        """Download ``url`` into ``out``, which is written to in order, as it comes, and not closed.

        What is cut is resumed, as for files; but a version that has changed is a ``ProtocolError``, and
        a wrong checksum a ``ChecksumError``, when all has been written: that cannot be taken back. Raises
        what ``Session`` and ``out`` raise.
        """
        rules = replace(self._rules, segments=1)
        one = Downloading(
            self._session, rules, URL.parse(url), options, sha256=sha256, force=True, times=False
        )
        return one.pour(StreamPart(out))

    def close(self) -> None:
        """Close the session, if it is our own."""
        if self._owns_session:
            self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
