"""The dates of HTTP, read in all their forms and written in the one of today (RFC 9110, 5.6.7)."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache

__all__ = ["format_date", "parse_date"]

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_TIME = "(?P<H>[0-9]{2}):(?P<M>[0-9]{2}):(?P<S>[0-9]{2})"
_MONTH = f"(?P<b>{'|'.join(_MONTHS)})"
_DAY = f"(?:{'|'.join(_DAYS)})"
_LONG_DAY = "(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day"
_DATES = (
    re.compile(f"{_DAY}, (?P<d>[0-9]{{2}}) {_MONTH} (?P<Y>[0-9]{{4}}) {_TIME} GMT"),  # IMF-fixdate
    re.compile(f"{_LONG_DAY}, (?P<d>[0-9]{{2}})-{_MONTH}-(?P<y>[0-9]{{2}}) {_TIME} GMT"),  # RFC 850
    re.compile(f"{_DAY} {_MONTH} (?P<d>[0-9 ][0-9]) {_TIME} (?P<Y>[0-9]{{4}})"),  # asctime
)


@lru_cache(maxsize=1024)
def format_date(seconds: int) -> str:
    """The HTTP date of a POSIX time, as ``Sun, 06 Nov 1994 08:49:37 GMT`` (RFC 9110, 5.6.7).

    Times outside the years 1 to 9999 are moved to the nearest that can be written.
    """
    at = _EPOCH + timedelta(seconds=max(-62135596800, min(seconds, 253402300799)))
    day, month = _DAYS[at.weekday()], _MONTHS[at.month - 1]
    return f"{day}, {at.day:02} {month} {at.year:04} {at:%H:%M:%S} GMT"


def parse_date(text: str, now: float) -> int | None:
    """The POSIX time of an HTTP date in any of its three forms, or ``None`` (RFC 9110, 5.6.7).

    ``now`` settles the century of a year with two digits: at most fifty years ahead.
    """
    for form in _DATES:
        match = form.fullmatch(text)
        if match:
            return _moment(match.groupdict(), now)
    return None


def _moment(parts: dict[str, str], now: float) -> int | None:
    year = int(parts["Y"]) if "Y" in parts else _century(int(parts["y"]), now)
    second = int(parts["S"])
    leap = second == 60  # a leap second is legal and has no POSIX time of its own
    try:
        at = datetime(
            year,
            _MONTHS.index(parts["b"]) + 1,
            int(parts["d"]),
            int(parts["H"]),
            int(parts["M"]),
            second - leap,
            tzinfo=UTC,
        )
    except ValueError:
        return None
    return round((at - _EPOCH).total_seconds()) + leap


def _century(year: int, now: float) -> int:
    """Two digits become the year that is not more than fifty years ahead of ``now``."""
    this = (_EPOCH + timedelta(seconds=now)).year
    full = this - this % 100 + year
    return full - 100 if full > this + 50 else full
