"""Cookies from elsewhere: a file, as curl, wget and browsers' exporters write it (Netscape's format), or a
jar of the standard library."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from math import isfinite
from pathlib import Path
from time import time
from typing import Any

from portico.address import canonical_host
from portico.client.cookies import Cookie, CookieJar
from portico.client.private_file import write_private
from portico.errors import AddressError, ConfigError

__all__ = ["load", "of_standard", "save"]

_HTTP_ONLY = "#HttpOnly_"
_PORT = re.compile(r"(?<=[^:]):[0-9]{1,5}\Z")  # wget writes it


def load(path: str | os.PathLike[str], *, missing_ok: bool = False) -> CookieJar:
    """The cookies of a file; those that have expired are left out. Raises ``ConfigError``, naming the line.

    ``missing_ok``: a file that is not there is an empty one.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig", errors="surrogateescape")
    except FileNotFoundError:
        if missing_ok:
            return CookieJar()
        raise ConfigError(f"cookies: there is no file {os.fspath(path)!r}") from None
    except OSError as error:
        raise ConfigError(f"cookies: cannot read {os.fspath(path)!r}: {error.strerror}") from None
    now = time()
    jar = CookieJar()
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), 1):
        cookie = _read(line, f"{os.fspath(path)}, line {number}")
        if cookie is not None and (cookie.expires is None or cookie.expires > now):
            jar._put(cookie)
    return jar


def of_standard(jar: Any) -> CookieJar:
    """What an ``http.cookiejar.CookieJar`` holds now; a cookie that could not be sent is left out."""
    ours = CookieJar()
    for each in jar:
        facts = {
            "host_only": not each.domain.startswith("."),
            "secure": bool(each.secure),
            "http_only": each.has_nonstandard_attr("HttpOnly"),
            "expires": each.expires,
        }
        with suppress(AddressError, ConfigError):
            ours.set(each.name, each.value or "", domain=each.domain, path=each.path or "/", **facts)
    return ours


def save(jar: CookieJar, path: str | os.PathLike[str], *, session: bool = True) -> None:
    """Write a jar, for its owner's eyes only, all of it or nothing. ``session``: also those that end with it.

    Raises ``ConfigError`` when the file cannot be written.
    """
    lines = ["# Netscape HTTP Cookie File", "# Written by Portico. Who reads it can act in your name.", ""]
    kept = [each for each in jar if each.domain and (session or each.expires is not None)]
    lines += [_line(each) for each in sorted(kept, key=lambda each: each.created)]
    text = "\n".join(lines) + "\n"
    try:
        write_private(Path(path), text.encode("utf-8", "surrogateescape"))
    except OSError as error:
        raise ConfigError(f"cookies: cannot write {os.fspath(path)!r}: {error.strerror}") from None


def _read(line: str, place: str) -> Cookie | None:
    http_only = line.startswith(_HTTP_ONLY)
    if http_only:
        line = line[len(_HTTP_ONLY) :]
    if not line.strip() or line.startswith("#"):
        return None
    parts = line.split("\t")
    if len(parts) == 6:  # an empty value, of which an editor has eaten the tab
        parts.append("")
    if len(parts) != 7 or not {parts[1].upper(), parts[3].upper()} <= _BOOLEAN:
        raise ConfigError(
            f"{place}: expected domain, TRUE or FALSE, path, TRUE or FALSE, time, name and value, with tabs "
            "between"
        )
    domain, below, cookie_path, secure, expires, name, value = parts
    try:
        host = canonical_host(_PORT.sub("", domain.removeprefix(".")))
        ends = float(expires or 0)  # Python leaves it out for the session
    except (AddressError, ValueError) as error:
        raise ConfigError(f"{place}: {error}") from None
    if not isfinite(ends) or any(c in name + value for c in ";\r\n\0"):
        raise ConfigError(f"{place}: no cookie can be like that")
    return Cookie(
        _as_sent(name),
        _as_sent(value),
        host,
        cookie_path if cookie_path.startswith("/") else "/",  # so does curl, which keeps what servers say
        below.upper() == "FALSE",
        secure.upper() == "TRUE",
        http_only,
        expires=ends or None,
        created=time(),
    )


_BOOLEAN = {"TRUE", "FALSE"}


def _as_sent(text: str) -> str:
    """From the bytes of a file: as header fields are held, a character a byte."""
    return text if text.isascii() else text.encode("utf-8", "surrogateescape").decode("latin-1")


def _as_kept(text: str) -> str:
    """The other way round."""
    return text if text.isascii() else text.encode("latin-1").decode("utf-8", "surrogateescape")


def _line(cookie: Cookie) -> str:
    domain = cookie.domain if cookie.host_only else f".{cookie.domain}"
    fields = (
        f"{_HTTP_ONLY if cookie.http_only else ''}{domain}",
        str(not cookie.host_only).upper(),
        cookie.path,
        str(cookie.secure).upper(),
        str(int(cookie.expires or 0)),
        _as_kept(cookie.name),
        _as_kept(cookie.value),
    )
    return "\t".join(fields)
