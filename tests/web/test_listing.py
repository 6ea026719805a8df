import json
from urllib.parse import unquote_to_bytes

import pytest

from portico.web.listing import Entry, prefers_json, render_html, render_json

NASTY = [
    b"<script>alert(1)</script>",
    b'" onclick="x',
    b"javascript:alert(1)",
    b"a&b'c",
    b"\xff\xfe",
    b"n\nl",
    b"#?%2F",
]


def page(names, parent=False):
    return render_html(b"/x/", [Entry(name, False, 1, 0) for name in names], parent=parent).decode()


@pytest.mark.parametrize("name", NASTY)
def test_no_name_breaks_out_of_the_page(name):
    html = page([name])
    assert html.count("<script") == 0
    assert 'onclick="' not in html
    assert 'href="javascript:' not in html
    href = html.split('<td><a href="')[1].split('"')[0]
    assert unquote_to_bytes(href) == name


@pytest.mark.parametrize("name", NASTY)
def test_the_title_is_escaped_too(name):
    assert "<script" not in render_html(b"/" + name + b"/", [], parent=False).decode()


def test_json_names_every_file_exactly():
    listed = json.loads(render_json([Entry(name, False, 5, 0) for name in NASTY]))
    assert sorted(unquote_to_bytes(item["href"]) for item in listed) == sorted(NASTY)
    assert listed[0].keys() == {"name", "href", "type", "size", "mtime"}


def test_folders_come_first_then_names_without_regard_to_case():
    entries = [
        Entry(b"b", False, 1, 0),
        Entry(b"Z", True, 0, 0),
        Entry(b"A", False, 1, 0),
        Entry(b"y", True, 0, 0),
    ]
    listed = json.loads(render_json(entries))
    assert [item["href"] for item in listed] == ["y/", "Z/", "A", "b"]
    assert [item["size"] for item in listed] == [None, None, 1, 1]
    assert listed[0]["mtime"] == "1970-01-01T00:00:00Z"


def test_the_way_up_is_shown_when_there_is_one():
    assert 'href="../"' in page([], parent=True)
    assert 'href="../"' not in page([], parent=False)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1 << 20, "1.0 MiB"),
        (1 << 30, "1.0 GiB"),
        (5 << 40, "5.0 TiB"),
    ],
)
def test_sizes_are_for_people(size, text):
    assert f">{text}<" in render_html(b"/", [Entry(b"a", False, size, 0)], parent=False).decode()


def test_a_time_that_no_calendar_has_does_not_break_the_page():
    render_html(b"/", [Entry(b"a", False, 1, 10**17), Entry(b"b", False, 1, -(10**17))], parent=False)


@pytest.mark.parametrize(
    ("accept", "json_wanted"),
    [
        (None, False),
        ("*/*", False),
        ("text/html", False),
        ("application/json", True),
        ("Application/JSON; charset=utf-8", True),
        ("text/html,application/json;q=0.9", False),
        ("text/html;q=0.5,application/json", True),
        ("application/json;q=0", False),
        ("application/json;q=nan", False),
        ("application/json;q=x", False),
    ],
)
def test_json_is_for_those_who_ask_for_it(accept, json_wanted):
    assert prefers_json(accept) is json_wanted
