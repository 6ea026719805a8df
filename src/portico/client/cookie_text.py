"""Reading ``Set-Cookie`` (RFC 6265, 5.1 and 5.2), as lenient as it tells user agents to be, and no more."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import NamedTuple

__all__ = ["SetCookie", "cookie_date", "read_set_cookie"]

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")  # the tab, too: it would end a field of a cookie file
_DELIMITERS = re.compile(r"[\x09\x20-\x2f\x3b-\x40\x5b-\x60\x7b-\x7e]+")
_TIME = re.compile(r"(\d{1,2}):(\d{1,2}):(\d{1,2})(?:\D.*)?", re.ASCII)
_DAY = re.compile(r"(\d{1,2})(?:\D.*)?", re.ASCII)
_YEAR = re.compile(r"(\d{2,4})(?:\D.*)?", re.ASCII)
_MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()
_NUMBER = re.compile(r"-?[0-9]+", re.ASCII)
_LONGEST_ATTRIBUTE = 1024


class SetCookie(NamedTuple):
    """What a ``Set-Cookie`` says. ``expires`` and ``max_age`` in seconds, the former since 1970; ``domain``
    and ``path`` are ``None`` where it does not say, or says nothing that counts."""

    name: str
    value: str
    domain: str | None = None
    path: str | None = None
    expires: float | None = None
    max_age: int | None = None
    secure: bool = False
    http_only: bool = False
    same_site: str | None = None


def read_set_cookie(text: str) -> SetCookie | None:
    """A cookie from the value of one ``Set-Cookie`` field; ``None`` for what is none."""
    if _CONTROL.search(text):
        return None
    pair, *attributes = text.split(";")
    name, equals, value = pair.partition("=")
    if not equals:
        name, value = "", pair
    name, value = name.strip(" \t"), value.strip(" \t")
    # Without a name it goes out as its value alone, which may not pass for another one's name.
    if not name and (not value or "=" in value or value.lower().startswith(("__secure-", "__host-"))):
        return None
    found: dict[str, str] = {}
    for attribute in attributes:
        key, _, argument = attribute.partition("=")
        key, argument = key.strip(" \t").lower(), argument.strip(" \t")
        if len(argument) <= _LONGEST_ATTRIBUTE and _counts(key, argument):
            found[key] = argument  # the last of a name counts
    path = found.get("path", "")
    same_site = found.get("samesite", "").capitalize()
    return SetCookie(
        name,
        value,
        found.get("domain", "").removeprefix(".").lower() or None,
        path if path.startswith("/") else None,
        cookie_date(found["expires"]) if "expires" in found else None,
        _max_age(found.get("max-age", "")),
        "secure" in found,
        "httponly" in found,
        same_site if same_site in ("Strict", "Lax", "None") else None,
    )


def _counts(key: str, argument: str) -> bool:
    """Whether an attribute says something: one that does not leaves an earlier one in force."""
    if key == "expires":
        return cookie_date(argument) is not None
    return key != "max-age" or _max_age(argument) is not None


def cookie_date(text: str) -> float | None:
    """Seconds since 1970 of a date in any of the spellings that servers use (RFC 6265, 5.1.1)."""
    time: tuple[int, int, int] | None = None
    day: int | None = None
    month: int | None = None
    year: int | None = None
    for token in _DELIMITERS.split(text):
        if time is None and (found := _TIME.fullmatch(token)):
            time = int(found[1]), int(found[2]), int(found[3])
        elif day is None and (found := _DAY.fullmatch(token)):
            day = int(found[1])
        elif month is None and token[:3].lower() in _MONTHS:
            month = _MONTHS.index(token[:3].lower()) + 1
        elif year is None and (found := _YEAR.fullmatch(token)):
            year = int(found[1])
    if time is None or day is None or month is None or year is None:
        return None
    year += 1900 if 70 <= year <= 99 else 2000 if year <= 69 else 0
    if year < 1601:
        return None
    try:
        return datetime(year, month, day, *time, tzinfo=UTC).timestamp()
    except ValueError:
        return None


def _max_age(text: str) -> int | None:
    """A number of seconds, as long as it may be; ``None`` for what is none (RFC 6265, 5.2.2)."""
    if not _NUMBER.fullmatch(text):
        return None
    sign, digits = (-1, text[1:]) if text.startswith("-") else (1, text)
    return sign * int(digits.lstrip("0")[:12] or "0")
