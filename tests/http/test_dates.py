"""The dates of HTTP, in all their forms."""

import calendar
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.http.dates import format_date, parse_date

NOW = 1_700_000_000
MODIFIED = 784111777


def test_all_three_forms_of_a_date_are_read():
    assert parse_date("Sun, 06 Nov 1994 08:49:37 GMT", NOW) == MODIFIED
    assert parse_date("Sunday, 06-Nov-94 08:49:37 GMT", NOW) == MODIFIED
    assert parse_date("Sun Nov  6 08:49:37 1994", NOW) == MODIFIED
    assert format_date(MODIFIED) == "Sun, 06 Nov 1994 08:49:37 GMT"


def test_a_year_of_two_digits_is_at_most_fifty_years_ahead():
    assert time.gmtime(parse_date("Sunday, 06-Nov-70 08:49:37 GMT", NOW)).tm_year == 2070
    assert time.gmtime(parse_date("Sunday, 06-Nov-74 08:49:37 GMT", NOW)).tm_year == 1974


def test_a_leap_second_is_the_next_second():
    assert parse_date("Sat, 31 Dec 2016 23:59:60 GMT", NOW) == calendar.timegm((2017, 1, 1, 0, 0, 0))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "0",
        "1994-11-06",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 +0100",
        "Sun, 31 Feb 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 25:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 0000 08:49:37 GMT",
    ],
)
def test_what_is_no_date_is_none(text):
    assert parse_date(text, NOW) is None


@given(st.integers(-62135596800, 253402300799))
def test_dates_survive_the_round_trip(seconds):
    assert parse_date(format_date(seconds), NOW) == seconds


def test_dates_that_no_calendar_has_are_moved_not_raised():
    assert format_date(10**15).endswith("9999 23:59:59 GMT")
    assert "0001" in format_date(-(10**15))
