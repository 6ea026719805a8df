"""What a URL path means below a root: a file, a folder, an index file, or nothing.

Whatever is found is open already, and what is known about it was asked of its descriptor, so that there
is no gap in which it could change.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator, Sequence
from fnmatch import translate
from typing import NamedTuple, Self
from urllib.parse import quote

from portico.errors import ConfigError
from portico.web.confined import open_confined, split_path
from portico.web.listing import Entry

__all__ = ["Folder", "Found"]


class Found(NamedTuple):
    """Something open: its descriptor, the facts about exactly that, and its names below the root."""

    fd: int
    facts: os.stat_result
    parts: list[bytes]
    name: bytes

    @property
    def folder(self) -> bool:
        return stat.S_ISDIR(self.facts.st_mode)

    def close(self) -> None:
        os.close(self.fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class Folder:
    """The names below ``root``, which may be a single file: those that are shown at all.

    The options are those of ``Static``. Raises ``ConfigError`` when the root cannot be served.
    """

    def __init__(
        self,
        root: bytes,
        *,
        index: Sequence[str],
        extensions: Sequence[str],
        hidden: bool,
        hide: Sequence[str],
        links: bool,
    ) -> None:
        self.root = root
        self.single = _check_root(root)
        self.index = [_index_name(name) for name in index]
        self._extensions = [_extension(name) for name in extensions]
        self._hidden = hidden
        self._hide = _globs(hide)
        self._links = links

    def split(self, raw: str) -> tuple[list[bytes], bool] | None:
        """The names in an undecoded path, and whether a slash ends it; ``None``: nothing can be there."""
        wanted = split_path(raw, hidden=self._hidden)
        if wanted is not None and self._hide is not None and any(map(self._hide.match, wanted[0])):
            return None
        return wanted

    def path(self, parts: Sequence[bytes]) -> bytes:
        """The name in the file system."""
        return b"/".join((self.root, *parts))

    def locate(self, parts: list[bytes], slash: bool) -> Found:
        """Open what a path means: a file, or a folder for which no other file answers. Raises ``OSError``."""
        for candidate in self._candidates(parts, slash):
            try:
                found = self.open(candidate)
            except (FileNotFoundError, NotADirectoryError):
                continue
            if not found.folder:
                return found
            found.close()
        found = self.open(parts)
        if slash and not found.folder:
            found.close()
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        return found

    def _candidates(self, parts: list[bytes], slash: bool) -> list[list[bytes]]:
        """The files that answer for a path, if they are there, before a folder does."""
        if slash:
            return [[*parts, name] for name in self.index]
        if not parts or not self._extensions:
            return []
        names = [parts[-1] + extension for extension in self._extensions]
        return [parts, *([*parts[:-1], name] for name in names if self._shows(name))]

    def open(self, parts: list[bytes]) -> Found:
        """Open a file or a folder. Raises ``OSError``, ``FileNotFoundError`` for anything else."""
        fd = open_confined(self.root, parts, links=self._links)
        facts = os.fstat(fd)
        if not (stat.S_ISREG(facts.st_mode) or stat.S_ISDIR(facts.st_mode)):
            os.close(fd)
            raise FileNotFoundError(errno.ENOENT, "neither a file nor a folder")
        return Found(fd, facts, parts, parts[-1] if parts else os.path.basename(self.root))

    def page(self, option: str, path: str) -> list[bytes]:
        """The names of a page below the root. Raises ``ConfigError`` if it is not there."""
        wanted = split_path(quote(os.fsencode(path.lstrip("/"))), hidden=True)
        try:
            if wanted is None:
                raise FileNotFoundError(errno.ENOENT, "not below the folder")
            found = self.open(wanted[0])
        except OSError as error:
            reason = error.strerror or "cannot be opened"
            raise ConfigError(f"static {option}={path!r}: {reason}; name a file below the folder") from error
        found.close()
        if found.folder:
            raise ConfigError(f"static {option}={path!r} is a folder; name a file")
        return wanted[0]

    def entries(self, folder: Found) -> Iterator[Entry]:
        """What a folder shows: files and folders that a request for them would get."""
        with os.scandir(folder.fd) as listed:
            for entry in listed:
                name = os.fsencode(entry.name)
                if not self._shows(name):
                    continue
                facts = self._facts(entry, [*folder.parts, name])
                if facts is not None:
                    inner = stat.S_ISDIR(facts.st_mode)
                    yield Entry(name, inner, facts.st_size, facts.st_mtime_ns // 1_000_000_000)

    def _shows(self, name: bytes) -> bool:
        if name.startswith(b".") and not self._hidden and name != b".well-known":
            return False
        return self._hide is None or not self._hide.match(name)

    def _facts(self, entry: os.DirEntry[str], parts: list[bytes]) -> os.stat_result | None:
        """The facts about an entry, behind a link only if it stays inside; ``None``: not to be shown."""
        try:
            if entry.is_symlink():
                with self.open(parts) as found:
                    return found.facts
            facts = entry.stat(follow_symlinks=False)
        except OSError:
            return None  # gone by now, or not for us: then it is not there
        return facts if stat.S_ISREG(facts.st_mode) or stat.S_ISDIR(facts.st_mode) else None


def _check_root(root: bytes) -> bool:
    """Whether it is a single file. Raises ``ConfigError`` if it cannot be served at all."""
    shown = root.decode("utf-8", "backslashreplace")
    try:
        mode = os.stat(root).st_mode
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(f"static {shown}: {reason}; name a folder or a file that exists") from error
    if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
        raise ConfigError(f"static {shown}: neither a folder nor a regular file")
    if not os.access(root, os.R_OK | (os.X_OK if stat.S_ISDIR(mode) else 0)):
        raise ConfigError(f"static {shown}: may not be read by this user; change its permissions or the user")
    return stat.S_ISREG(mode)


def _index_name(name: str) -> bytes:
    encoded = os.fsencode(name)
    if encoded in (b"", b".", b"..") or b"/" in encoded or b"\0" in encoded:
        raise ConfigError(f"static index {name!r}: write the name of a file, such as index.html")
    return encoded


def _extension(name: str) -> bytes:
    encoded = os.fsencode(name)
    if not encoded.startswith(b".") or encoded == b"." or b"/" in encoded or b"\0" in encoded:
        raise ConfigError(f"static extensions {name!r}: write it with its dot, as in .html")
    return encoded


def _globs(patterns: Sequence[str]) -> re.Pattern[bytes] | None:
    """One pattern for names that match any of some globs. Raises ``ConfigError``."""
    for pattern in patterns:
        if not pattern or "/" in pattern:
            raise ConfigError(f"static hide {pattern!r}: write a name or a pattern for names, such as *.bak")
    # Bytes of any kind, each as one character.
    whole = "|".join(translate(os.fsencode(pattern).decode("latin-1")) for pattern in patterns)
    return re.compile(whole.encode("latin-1")) if patterns else None
