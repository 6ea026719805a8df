import json
import re
from urllib.parse import unquote_to_bytes

import pytest

from portico.web.listing import Entry, Order, prefers_json, render_json
from portico.web.listing_page import render_html

NASTY = [
    b"<script>alert(1)</script>",
    b'" onclick="x',
    b"javascript:alert(1)",
    b"a&b'c",
    b"\xff\xfe",
    b"n\nl",
    b"#?%2F",
]


def page(names, below=0):
    return render_html(b"/x/", [Entry(name, False, 1, 0) for name in names], below=below).decode()


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
    assert "<script" not in render_html(b"/" + name + b"/", [], below=0).decode()


def test_what_cannot_be_seen_in_a_name_is_shown_as_such():
    html = page(["evil\u202efdp.exe".encode(), b"two\nlines"])
    assert ">evil\ufffdfdp.exe</a>" in html
    assert ">two\ufffdlines</a>" in html


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


def by(query):
    entries = [
        Entry(b"b", False, 3, 10),
        Entry(b"A", False, 1, 30),
        Entry(b"c", False, 2, 20),
        Entry(b"d", True, 9, 25),
    ]
    return [item["href"] for item in json.loads(render_json(entries, Order.of(query)))]


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", "d/ A b c"),
        ("sort=name&order=desc", "d/ c b A"),
        ("sort=size", "d/ A c b"),
        ("sort=size&order=desc", "d/ b c A"),
        ("sort=time&order=asc", "b c d/ A"),
        ("sort=time&order=desc", "A d/ c b"),
        ("order=desc", "d/ c b A"),
        ("sort=<script>&order=&&==&x", "d/ A b c"),
        ("sort", "d/ A b c"),
    ],
)
def test_a_listing_is_sorted_as_asked(query, names):
    assert by(query) == names.split()


def heads_of(query):
    html = render_html(b"/", [], below=0, order=Order.of(query)).decode()
    return re.findall(r'<th[^>]*?(aria-sort="\w+")?><a href="([^"]*)">', html)


def test_the_heads_of_the_columns_sort_and_turn_round():
    assert heads_of("") == [
        ('aria-sort="ascending"', "?sort=name&amp;order=desc"),
        ("", "?sort=size&amp;order=asc"),
        ("", "?sort=time&amp;order=asc"),
    ]
    assert heads_of("sort=size&order=desc")[1] == ('aria-sort="descending"', "?sort=size&amp;order=asc")


@pytest.mark.parametrize(
    ("path", "below", "crumbs"),
    [
        (b"/", 0, "/"),
        (b"/m/", 0, "/m/"),
        (b"/a/b/", 2, '<a href="../../">/</a><a href="../">a/</a>b/'),
        (b"/m/n/a/", 1, '<a href="../">/m/n/</a>a/'),
        (b"/\xff&/b/", 2, '<a href="../../">/</a><a href="../">\N{REPLACEMENT CHARACTER}&amp;/</a>b/'),
    ],
)
def test_every_folder_on_the_way_is_a_link_but_none_outside_the_root(path, below, crumbs):
    assert f"<h1>{crumbs}</h1>" in render_html(path, [], below=below).decode()


def test_a_listing_counts_what_it_shows():
    def summary(*entries):
        return re.search("<p>(.*)</p>", render_html(b"/", entries, below=0).decode())[1]

    assert summary() == "Nothing is in here."
    assert summary(Entry(b"a", True, 5, 0)) == "1 folder"
    assert (
        summary(Entry(b"a", True, 5, 0), *[Entry(b"b", False, 1024, 0)] * 2) == "1 folder, 2 files, 2.0 KiB"
    )


def test_the_way_up_is_shown_when_there_is_one():
    assert 'href="../"' in page([], below=1)
    assert 'href="../"' not in page([], below=0)


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
    assert f">{text}<" in render_html(b"/", [Entry(b"a", False, size, 0)], below=0).decode()


def test_a_time_that_no_calendar_has_does_not_break_the_page():
    render_html(b"/", [Entry(b"a", False, 1, 10**17), Entry(b"b", False, 1, -(10**17))], below=0)


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
