"""Sums that are published beside files: ``file.sha256``, ``SHA256SUMS``."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

from portico.client.opener import open_with
from portico.client.session import Session
from portico.client.url import URL
from portico.errors import ConfigError, HTTPError, PorticoError

__all__ = ["find_sum"]

_LINE = re.compile(r"\\?([0-9a-fA-F]{64})(?:[ \t]+[ *]?(.+))?")
_TAGGED = re.compile(r"SHA256 \((.+)\) = ([0-9a-fA-F]{64})")
_LONGEST = 4 << 20
"""Bytes of a file of sums: Debian's largest have some hundred kilobytes."""


def find_sum(session: Session, url: str, source: str) -> str:
    """The SHA-256 of the file at ``url``, by ``source``: a URL, a path, or ``"auto"``.

    Raises ``ConfigError`` where there is none: a check that finds nothing to check by is no check.
    """
    where = URL.parse(url)
    name = unquote(where.path.rpartition("/")[2])
    if source == "auto":
        beside = [replace(where, path=f"{where.path}.sha256", fragment=None), where.join("SHA256SUMS")]
        texts = [_fetched(session, each) for each in beside]
    elif "://" in source:
        texts = [_fetched(session, source)]
    else:
        texts = [_read(source)]
    for text in texts:
        found = None if text is None else sum_in(text, name)
        if found is not None:
            return found
    raise ConfigError(
        f"--sums {source}: no SHA-256 of {name!r} was found; give it with --sha256, or leave --sums out"
    )


def sum_in(text: str, name: str) -> str | None:
    """The sum of ``name`` in a file of sums; one that names no file is for any."""
    for line in text.splitlines():
        plain, tagged = _LINE.fullmatch(line.strip()), _TAGGED.fullmatch(line.strip())
        if tagged and tagged[1] == name:
            return tagged[2].lower()
        if plain and (plain[2] is None or plain[2].strip().removeprefix("./") == name):
            return plain[1].lower()
    return None


def _fetched(session: Session, url: URL | str) -> str | None:
    try:
        with open_with(session, "GET", url) as response:
            return response.read(_LONGEST).decode("utf-8", "replace")
    except HTTPError:
        return None
    except PorticoError as error:
        raise ConfigError(f"--sums: {error}") from None


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise ConfigError(f"--sums: cannot read {path!r}: {error.strerror}") from None
