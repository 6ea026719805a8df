"""The links of pages: all kinds, absolute, while the page arrives, and the same as those of its tree."""

from __future__ import annotations

import re
from itertools import pairwise

import ada_url
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from portico.data import source
from portico.data.html import KINDS, StartTag, events, links, load
from portico.data.html.joining import joiner
from portico.data.html.linking import Link
from portico.errors import ConfigError
from tests.peers import need_module

BASE = "http://h/a/b?c"


def urls(page, base=BASE, **options):
    return [each.url for each in links(page.encode(), base, **options)]


KIND_CASES = {
    '<a href="x" rel="NoFollow  me">a <b>b</b>\n c</a>': [
        Link("http://h/a/x", "a b c", ("nofollow", "me"), "a", "href")
    ],
    "<map><area href=x alt='the  place'></map>": [Link("http://h/a/x", "the place", (), "area", "href")],
    "<link rel=stylesheet href=/x>": [Link("http://h/x", "", ("stylesheet",), "link", "href")],
    "<img src=x alt=y srcset='a 1x, b 2x'>": [
        Link("http://h/a/x", "y", (), "img", "src"),
        Link("http://h/a/a", "y", (), "img", "srcset"),
        Link("http://h/a/b", "y", (), "img", "srcset"),
    ],
    "<form action='?q'><input type=image src=i formaction=f><button formaction=g>": [
        Link("http://h/a/b?q", "", (), "form", "action"),
        Link("http://h/a/i", "", (), "input", "src"),
        Link("http://h/a/f", "", (), "input", "formaction"),
        Link("http://h/a/g", "", (), "button", "formaction"),
    ],
    "<meta http-equiv=Refresh content='5; URL=\"x y\"'>": [
        Link("http://h/a/x%20y", "", (), "meta", "content")
    ],
    "<meta http-equiv=refresh content=5><meta name=refresh content='0;x'>": [],
    "<svg><image xlink:href=x /><use href='#y'/></svg>": [
        Link("http://h/a/x", "", (), "image", "xlink:href"),
        Link("http://h/a/b?c#y", "", (), "use", "href"),
    ],
    "<video src=v poster=p><source src=s><track src=t></video><audio src=a></audio>": [
        Link("http://h/a/v", "", (), "video", "src"),
        Link("http://h/a/p", "", (), "video", "poster"),
        Link("http://h/a/s", "", (), "source", "src"),
        Link("http://h/a/t", "", (), "track", "src"),
        Link("http://h/a/a", "", (), "audio", "src"),
    ],
    "<iframe src=f><a href=no></iframe><script src=s>'<a href=no>'</script><object data=o><embed src=e>": [
        Link("http://h/a/f", "", (), "iframe", "src"),
        Link("http://h/a/s", "", (), "script", "src"),
        Link("http://h/a/o", "", (), "object", "data"),
        Link("http://h/a/e", "", (), "embed", "src"),
    ],
    "<blockquote cite=q><q cite=r><ins cite=s><del cite=t>": [
        Link("http://h/a/q", "", (), "blockquote", "cite"),
        Link("http://h/a/r", "", (), "q", "cite"),
        Link("http://h/a/s", "", (), "ins", "cite"),
        Link("http://h/a/t", "", (), "del", "cite"),
    ],
    "<a>no</a><a href>self</a>": [Link("http://h/a/b?c", "self", (), "a", "href")],
}


@pytest.mark.parametrize("page", KIND_CASES)
def test_every_kind_is_found(page):
    assert list(links(page.encode(), BASE)) == KIND_CASES[page]
    assert load(page.encode(), BASE).links() == KIND_CASES[page]


@pytest.mark.parametrize(
    "page",
    [
        "<!-- <a href=x> -->",
        "<textarea><a href=x></textarea>",
        "<title><a href=x></title>",
        "<style><a href=x></style>",
        "<p title='<a href=x>'>",
        "<template><a href=x>t</a></template>",
        "<template><template></template><a href=x></template>",
        "<xmp><a href=x></xmp>",
        "<plaintext><a href=x>",
        "<svg><![CDATA[<a href=x>]]></svg>",
    ],
)
def test_what_looks_like_a_link_and_is_none(page):
    assert urls(page) == []


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("x", "http://h/a/x"),
        (" \n x\ty ", "http://h/a/xy"),
        ("/x/../y", "http://h/y"),
        ("/x.y/z..w", "http://h/x.y/z..w"),
        ("/.x", "http://h/.x"),
        ("x.y/z?a/../b", "http://h/a/x.y/z?a/../b"),
        ("x/./y/../z", "http://h/a/x/z"),
        ("x/..", "http://h/a/"),
        ("x:y", "x:y"),
        ("./x:y", "http://h/a/x:y"),
        ("ä b", "http://h/a/%C3%A4%20b"),
        (".", "http://h/a/"),
        ("x?", "http://h/a/x?"),
        ("../../x", "http://h/x"),
        ("//i/x", "http://i/x"),
        ("?q", "http://h/a/b?q"),
        ("#f", "http://h/a/b?c#f"),
        ("", "http://h/a/b?c"),
        ("https://ü.example/ä", "https://xn--tda.example/%C3%A4"),
        ("\\x\\y?\\", "http://h/x/y?\\"),
        ("mailto:a@b", "mailto:a@b"),
        ("javascript:x('a\\b')", "javascript:x('a\\b')"),
        ("&#47;x?a=1&amp;b=2&copy=3", "http://h/x?a=1&b=2&copy=3"),
    ],
)
def test_references_become_absolute(written, expected):
    assert urls(f'<a href="{written}">') == [expected]


REFERENCES = """
    ä /ä?ö#ü a'b?c'd#e'f <x> a^b`c{d}e|f ?^`{}| #^`{}| % %zz # ? x# x? ; a;?b=; //o.example/x
    //faß.de/ http://bücher.example/ä HTTP://X.Example:80/ https://h:443/x http://h:8080
    http://h:080/ http://u:p@h/ http://[::1]:80/x http://1.2.3.4/x http:x http:/x http://h?x
    http://h#x ftp://h:21/ä ws://h wss://h:443 tel:+1 mailto:ä@x javascript:alert('ä<b>')
    data:text/plain,ä [x] /[x]?[y]#[z] /%7Ex 💩 a/%2e%2E/b a/%2e /%2E%2e/x /. a/. a/.. a. a..b a/.?x
    %2e http://h/a/../b /a//../b http://a/%2e%2e/x \\x /a\\..\\b x:y a%20:b
""".split()


@pytest.mark.parametrize("written", [*REFERENCES, "a b", "/a b?c d#e f", 'a"b', "\x01", "\x7f", "tel:+1 2"])
def test_a_link_is_written_as_browsers_have_it(written):
    base = "http://h.example/a/b?q"
    assert joiner(base)(written) == ada_url.URL(written, base).href
    assert joiner("http://H.example:80/a/b?q")(written) == ada_url.URL(written, base).href


@given(st.text(alphabet="ab/.?#%&='\"<>^`{}|[];:@ äß漢💩\\~!2e\t\n", max_size=12))
@example("a/.")
@example(";")
def test_any_reference_means_what_it_means_to_browsers(written):
    base = "http://h.example/a/b?q"
    assume(not re.match(r"\s*(?:[/\\][\t\n]*[/\\]|[a-z]\w*:)", written))  # hosts and other schemes
    assert joiner(base)(written) == ada_url.URL(written, base).href


def test_what_can_be_no_url_is_left_out():
    assert urls("<a href='http://a b/'>a</a><a href='//<x>/'>b</a><a href='http:///'>c</a>") == []
    assert urls("<a href='http://[x'>a</a><a href=y>") == ["http://h/a/y"]


def test_without_a_base_references_stay():
    assert urls("<a href=' x'>", None) == ["x"]
    assert urls("<a href='http://h/'>", "") == ["http://h/"]
    assert urls("<a href='HTTP://ü/ä b'><a href='ä b'>", "") == ["http://xn--tda/%C3%A4%20b", "ä b"]
    assert urls("<a href='http://a b/'>", "") == []


def test_the_first_base_counts_also_for_links_of_the_head_before_it():
    page = "<link href=x><base target=t><base href='/d/e'><base href=/no/><body><a href=y>"
    assert urls(page) == ["http://h/d/x", "http://h/d/y"]
    assert urls("<a href=x></a><base href=/d/><a href=y>") == ["http://h/a/x", "http://h/d/y"]
    assert urls("<base href='http://['><a href=y>") == ["http://h/a/y"]


def test_a_function_of_ones_own_joins():
    assert urls(
        "<a href=x></a><a href=no>", join=lambda written: written.upper() if written == "x" else ""
    ) == ["X"]


def test_kinds_are_a_choice():
    page = "<a href=a>t<img src=i></a><img src=j><script src=s></script>"
    assert urls(page, kinds=["img"]) == ["http://h/a/i", "http://h/a/j"]
    assert urls(page, kinds=["a"]) == ["http://h/a/a"]
    with pytest.raises(ConfigError, match=r"kinds=\['nothing'\]"):
        urls(page, kinds=["nothing"])


def test_what_is_in_a_link_comes_after_it():
    page = "<body><a href=a>x<img src=i>y<a href=b>z"
    assert [(each.url[-1], each.text) for each in links(page.encode(), BASE)] == [
        ("a", "xy"),
        ("i", ""),
        ("b", "z"),
    ]


def test_a_link_comes_before_the_rest_of_the_page():
    asked = []

    def pieces():
        yield b"<meta charset=utf-8>".ljust(1100) + b"<body><p><a href=x>one</a>"
        asked.append(1)
        yield b"<a href=y>two</a>"
        raise AssertionError("the end was asked for")

    found = links(source(pieces(), content_type="text/html"), BASE)
    assert next(found).url == "http://h/a/x"
    assert not asked
    assert next(found).text == "two"
    found.close()


def test_a_link_without_an_end_comes_when_its_text_is_long():
    def pieces():
        yield b"<meta charset=utf-8>".ljust(1100) + b"<body><a href=x>"
        while True:
            yield b"word " * 1000

    found = next(links(source(pieces()), BASE))
    assert found.url == "http://h/a/x"
    assert len(found.text) < 100_000


def test_the_links_of_an_endless_page_take_no_memory():
    import itertools
    import tracemalloc

    piece = b"<p>text <a href='/some/where'>link</a> <img src=x><div class='a b c'>more</div>" * 100

    def pieces():
        yield b"<meta charset=utf-8>".ljust(1100)
        while True:
            yield piece

    found = links(source(pieces()), BASE)
    for _ in itertools.islice(found, 10_000):
        pass
    tracemalloc.start()
    try:
        for _ in itertools.islice(found, 50_000):
            pass
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    found.close()
    assert most < 2 << 20


def test_a_source_of_others_stays_open_and_ones_own_is_closed(tmp_path):
    path = tmp_path / "x.html"
    path.write_text("<a href=x>")
    with source(path) as opened:
        assert [each.url for each in links(opened)] == ["x"]
    found = links(path)
    next(found)
    found.close()  # or a warning about the file fails this test


TREES = st.lists(
    st.sampled_from(
        """<a_href=1> <a_href="2"> <a> </a> <p> </p> <div_title='<a_href=9>'> </div> <table> <tr>
        <td> </table> <script> </script> <style> </style> <!-- --> <svg> </svg> <title> </title> <b> </b>
        <img_src=3> x <textarea> </textarea> <template> </template> <math> <mi> </mi> </math> <desc>
        </desc> <p <br/> & <""".split()
    ).map(lambda text: text.replace("_", " ")),
    max_size=25,
).map("".join)


@given(TREES, st.lists(st.integers(0, 300), max_size=5))
def test_links_are_the_same_at_any_chunking(page, cuts):
    whole = list(links(page.encode(), BASE))
    places = sorted({0, len(page), *(cut for cut in cuts if cut < len(page))})
    pieces = [page[a:b].encode() for a, b in pairwise(places)]
    assert list(links(iter(pieces), BASE)) == whole
    assert {each.kind for each in whole} <= KINDS.keys()


@given(TREES.filter(lambda page: not any(name in page for name in ("<svg", "<math", "<template", "<script"))))
def test_links_are_those_of_the_tree(page):
    lexbor = need_module("selectolax.lexbor")
    tree = lexbor.LexborHTMLParser(page)
    found = [node.attributes["href"] for node in tree.css("a[href]")]
    # Formatting that is begun anew is the same link again; the page has written it once.
    assert set(found) == {each.url for each in links(page.encode(), "", kinds=["a"])}


@pytest.mark.parametrize(
    ("label", "written", "text"),
    [("windows-1252", b"\x81\x80", "\x81€"), ("utf-8", b"\xc3", "\ufffd"), ("gbk", b"\x81", "\ufffd")],
)
def test_bytes_that_are_no_characters_are_as_in_browsers(label, written, text):
    page = b"<meta charset=%s><a href=x title='%s'>%s</a>" % (label.encode(), written, written)
    assert [link.text for link in links(page)] == [text]
    tag = next(each for each in events(page) if isinstance(each, StartTag) and each.name == "a")
    assert tag.attributes["title"] == text
    need_module("selectolax")
    assert load(page).first("a").get("title") == text
