import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.http.dates import format_date
from portico.web.conditions import evaluate, range_applies

NOW = 1_700_000_000
MODIFIED = 784111777
DATE, BEFORE, AFTER = (format_date(MODIFIED + by) for by in (0, -1, 1))
TAG = '"v1"'


def verdict(method="GET", etag=TAG, **fields):
    return evaluate(
        {name.replace("_", "-"): v for name, v in fields.items()}, method, etag, MODIFIED, now=NOW
    )


@pytest.mark.parametrize("tags", [TAG, "*", ' "a" ,, "v1",', f'"a,b", {TAG}', f"W/{TAG}", f'"x",\t{TAG}'])
def test_if_none_match_that_lists_the_tag_is_304_for_readers_and_412_for_writers(tags):
    assert verdict(if_none_match=tags) == 304
    assert verdict("HEAD", if_none_match=tags) == 304
    assert verdict("PUT", if_none_match=tags) == 412


@pytest.mark.parametrize(
    "tags", ['"v2"', "v1", '"v1', '"v1" x', '"v1x"', "", f"{TAG} {TAG}", f"w/{TAG}", '"a" "v1"']
)
def test_if_none_match_without_the_tag_or_unreadable_goes_on(tags):
    assert verdict(if_none_match=tags) == 200


def test_if_match_compares_strongly():
    assert verdict(if_match=TAG) == 200
    assert verdict(if_match="*") == 200
    assert verdict(if_match=f'"a", {TAG}') == 200
    assert verdict(if_match=f"W/{TAG}") == 412
    assert verdict(if_match='"v2"') == 412
    assert verdict(if_match="v1") == 412
    assert verdict(etag='W/"v1"', if_match='W/"v1"') == 412


def test_dates_decide_by_the_second():
    assert verdict(if_modified_since=BEFORE) == 200
    assert verdict(if_modified_since=DATE) == 304
    assert verdict(if_modified_since=AFTER) == 304
    assert verdict(if_unmodified_since=BEFORE) == 412
    assert verdict(if_unmodified_since=DATE) == 200


def test_a_date_that_cannot_be_read_is_ignored():
    assert verdict(if_modified_since="yesterday") == 200
    assert verdict(if_unmodified_since="tomorrow") == 200
    assert verdict(if_modified_since=f"{AFTER}, {AFTER}") == 200


def test_if_modified_since_is_for_readers_only():
    assert verdict("POST", if_modified_since=AFTER) == 200


def test_tags_come_before_dates_and_matching_before_none_matching():
    assert verdict(if_none_match='"v2"', if_modified_since=AFTER) == 200
    assert verdict(if_match=TAG, if_unmodified_since=BEFORE) == 200
    assert verdict(if_match='"v2"', if_none_match=TAG) == 412
    assert verdict(if_unmodified_since=BEFORE, if_none_match=TAG) == 412
    assert verdict(if_match=TAG, if_none_match=TAG) == 304


def applies(method="GET", etag=TAG, now=NOW, **if_range):
    return range_applies({"range": "bytes=0-", **if_range}, method, etag, MODIFIED, now=now)


def test_a_range_is_obeyed_for_get_only():
    assert applies()
    assert not applies("HEAD")
    assert not range_applies({}, "GET", TAG, MODIFIED, now=NOW)


def test_if_range_needs_the_current_strong_validator():
    assert applies(**{"if-range": TAG})
    assert applies(**{"if-range": DATE})
    assert not applies(**{"if-range": '"v2"'})
    assert not applies(**{"if-range": f"W/{TAG}"})
    assert not applies(**{"if-range": f'{TAG}, "v2"'})
    assert not applies(etag='W/"v1"', **{"if-range": 'W/"v1"'})
    assert not applies(**{"if-range": AFTER})
    assert not applies(**{"if-range": BEFORE})
    assert not applies(**{"if-range": "whenever"})
    assert not applies(**{"if-range": ""})


def test_a_date_of_this_very_second_is_no_strong_validator():
    assert not applies(now=MODIFIED + 0.5, **{"if-range": DATE})
    assert applies(now=MODIFIED + 1, **{"if-range": DATE})


@given(st.text(alphabet='W/"abc,* \t\\\xff', max_size=30))
def test_no_list_of_tags_makes_it_raise(value):
    assert verdict(if_none_match=value) in (200, 304)
