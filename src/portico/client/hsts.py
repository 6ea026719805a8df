"""HTTP Strict Transport Security (RFC 6797): who has once said so is spoken to over TLS only.

What was noted is kept in a file, if there is one, in the format of ``curl --hsts``.
"""

from __future__ import annotations

import logging
import os
import re
from dataclasses import replace
from datetime import UTC, datetime
from math import inf
from pathlib import Path
from time import time
from typing import NamedTuple, TypeAlias

from portico.address import canonical_host, is_literal
from portico.client.private_file import write_private
from portico.client.url import URL
from portico.errors import AddressError, ConfigError
from portico.sync import Guard, Lock, run_blocking

__all__ = ["HSTS", "HSTSLike", "as_hsts"]

log = logging.getLogger("portico.client")

_MOST = 10_000
"""Hosts that are remembered; the one that ends first goes."""
_DIRECTIVE = re.compile(r"""[ \t]*([!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*(?:=[ \t]*("[^"]*"|[^;"\s]*))?[ \t]*""")
_SECONDS = re.compile(r"[0-9]{1,1000}")
_FOREVER = 1 << 40
_RENEWED = 0.1
"""The share of its time by which an end is put off before the file is written again: most servers repeat the
field with each answer."""
_FORMAT = "%Y%m%d %H:%M:%S"
_LINE = re.compile(r'(\.?)(\S+) "(unlimited|[0-9]{8} [0-9]{2}:[0-9]{2}:[0-9]{2})"')


class _Known(NamedTuple):
    until: float
    below: bool
    written: float
    """The end that stands in the file."""


class HSTS:
    """The hosts that want TLS, in memory, or in the file ``path`` too; any thread may use it.

    Raises ``ConfigError`` for a file that cannot be read, naming the line.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self._path = None if path is None else Path(path)
        self._hosts: dict[str, _Known] = {}
        self._guard = Guard()
        self._writing = Lock()
        if self._path is not None:
            self._load(self._path)

    def upgrade(self, url: URL, now: float | None = None) -> URL:
        """``url``, or the same with ``https`` where its host wants that (RFC 6797, 8.3): the port 80 becomes
        443, any other stays."""
        if (
            url.scheme != "http"
            or not self._hosts
            or not self._wants(url.host, time() if now is None else now)
        ):
            return url
        return replace(url, scheme="https", port=443 if url.port == 80 else url.port)

    def note(self, url: URL, header: str, now: float | None = None) -> None:
        """Take what a ``Strict-Transport-Security`` field of a verified ``https`` answer says; one that is
        malformed says nothing (8.1). A file that cannot be written is told in the log."""
        found = _directives(header)
        if url.scheme != "https" or is_literal(url.host) or found is None:
            return
        age, below = found
        host = url.host.removesuffix(".")
        until = (time() if now is None else now) + age
        with self._guard:
            before = self._hosts.pop(host, None)
            if before is None:
                new = age > 0
            else:
                late = abs(until - before.written) >= _RENEWED * age
                new = age == 0 or before.below != below or late
            if age:
                written = before.written if before is not None and not new else until
                self._hosts[host] = _Known(until, below, written)
                if len(self._hosts) > _MOST:
                    del self._hosts[min(self._hosts, key=lambda each: self._hosts[each].until)]
        if self._path is not None and new:
            try:
                self.save()
            except ConfigError as error:
                log.warning("%s", error)

    def save(self) -> None:
        """Write the file, all of it or nothing. Raises ``ConfigError`` when it cannot be written."""
        if self._path is None:
            return
        with self._writing:  # in order, so that what was noted last stays
            with self._guard:
                known = sorted(self._hosts.items())
            lines = ["# Your HSTS cache. https://curl.se/docs/hsts.html", "# Written by Portico."]
            lines += [f'{"." if each.below else ""}{host} "{_text(each.until)}"' for host, each in known]
            try:
                run_blocking(write_private, self._path, ("\n".join(lines) + "\n").encode("ascii"))
            except OSError as error:
                raise ConfigError(f"hsts: cannot write {str(self._path)!r}: {error.strerror}") from None

    def __len__(self) -> int:
        return len(self._hosts)

    def __repr__(self) -> str:
        return f"<HSTS: {len(self)} hosts>"

    def _wants(self, host: str, now: float) -> bool:
        host = host.removesuffix(".")
        known = self._hosts.get(host)
        if known is not None and known.until > now:
            return True
        while host := host.partition(".")[2]:
            known = self._hosts.get(host)
            if known is not None and known.below and known.until > now:
                return True
        return False

    def _load(self, path: Path) -> None:
        try:
            text = path.read_text(encoding="ascii")
        except FileNotFoundError:
            return
        except (OSError, UnicodeError) as error:
            why = getattr(error, "strerror", None) or error
            raise ConfigError(f"hsts: cannot read {str(path)!r}: {why}") from None
        for number, line in enumerate(text.split("\n"), 1):
            if not line.strip() or line.startswith("#"):
                continue
            found = _LINE.fullmatch(line.strip())
            try:
                if found is None:
                    raise ConfigError('expected a host and its end, as in example.org "20301231 23:59:59"')
                until = _time(found[3])
                self._hosts[canonical_host(found[2])] = _Known(until, bool(found[1]), until)
            except (AddressError, ConfigError, ValueError) as error:
                raise ConfigError(f"hsts: {path}, line {number}: {error}") from None


HSTSLike: TypeAlias = HSTS | str | os.PathLike[str] | bool | None
"""``True``: in memory; a path: in a file; ``None`` or ``False``: none."""


def as_hsts(value: HSTSLike) -> HSTS | None:
    """What a caller gives as ``hsts=``. Raises ``ConfigError``."""
    if isinstance(value, HSTS):
        return value
    if value is None or isinstance(value, bool):
        return HSTS() if value else None
    if isinstance(value, str | os.PathLike):
        return HSTS(value)
    raise ConfigError(f"hsts={value!r}: expected the path of a file, True, or an HSTS(…)")


def _directives(header: str) -> tuple[int, bool] | None:
    """Seconds, and whether it is for hosts below, too; ``None`` for what breaks the rules (6.1)."""
    found: dict[str, str] = {}
    for part in header.split(";"):
        if not part.strip():
            continue
        directive = _DIRECTIVE.fullmatch(part)
        if directive is None or directive[1].lower() in found:
            return None
        found[directive[1].lower()] = (directive[2] or "").strip('"')
    age = found.get("max-age", "")
    if not _SECONDS.fullmatch(age):
        return None
    return min(int(age), _FOREVER), "includesubdomains" in found


def _text(until: float) -> str:
    if until == inf or until > 253402300799:
        return "unlimited"
    return datetime.fromtimestamp(until, UTC).strftime(_FORMAT)


def _time(text: str) -> float:
    return inf if text == "unlimited" else datetime.strptime(text, _FORMAT).replace(tzinfo=UTC).timestamp()
