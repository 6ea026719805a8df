"""Which characters the bytes of a body mean."""

from __future__ import annotations

import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.charsets.labels import LABELS
from portico.charsets.pages import named_by_page
from portico.charsets.text import _of_the_web, charset_of, decoded, known, text_lines
from portico.data import source
from portico.errors import LimitExceeded
from portico.server import Server
from portico.web.wsgi import WSGI
from tests.peers import need, need_module

HTML = "text/html"


def text(content: bytes, content_type: str = "") -> str:
    return decoded(content, charset_of(content, content_type))


@pytest.mark.parametrize(
    ("content", "content_type", "charset"),
    [
        (b"abc", "text/plain; charset=utf-8", "utf-8"),
        (b"abc", 'text/plain;charset="UTF-8"', "utf-8"),
        (b"abc", "text/plain; format=flowed; Charset=koi8-r", "koi8-r"),
        (b"abc", "text/plain; charset=ISO-8859-1", "cp1252"),
        (b"abc", "text/plain; charset=gb2312", "gb18030"),
        (b"abc", "text/plain; charset=x-sjis", "cp932"),
        # The header comes before the mark, and this before the document.
        (codecs.BOM_UTF8 + b"abc", "text/plain; charset=koi8-r", "koi8-r"),
        (codecs.BOM_UTF8 + b"<meta charset=koi8-r>", HTML, "utf-8"),
        (codecs.BOM_UTF16_LE + "abc".encode("utf-16-le"), "text/plain", "utf-16-le"),
        (codecs.BOM_UTF16_BE + "abc".encode("utf-16-be"), "", "utf-16-be"),
        (codecs.BOM_UTF16_BE + "abc".encode("utf-16-be"), "text/plain; charset=utf-16", "utf-16-be"),
        (b"<meta charset=koi8-r>", HTML, "koi8-r"),
        (b"<META  CHARSET = 'koi8-r' >", HTML, "koi8-r"),
        (b'<meta http-equiv=content-type content="text/html; charset=koi8-r">', HTML, "koi8-r"),
        (b"<!-- <meta charset=koi8-r> --><meta charset=cp1251>", HTML, "cp1251"),
        (b" " * 2000 + b"<meta charset=koi8-r>", HTML, "utf-8"),  # too late to count
        (b"<meta charset=utf-16>", HTML, "utf-8"),  # which it cannot be
        (b"<meta charset=koi8-r>", "text/plain", "utf-8"),  # which has no markup
        (b"<meta name=description content='charset=koi8-r'>", HTML, "utf-8"),
        (b"<meta data-charset=koi8-r>", HTML, "utf-8"),
        (b"<meta charset=klingon><meta charset=koi8-r>", HTML, "koi8-r"),
        (b"<meta/charset=koi8-r>", HTML, "koi8-r"),
        (b"<?xml version='1.0' encoding='koi8-r'?><a/>", "application/xml", "koi8-r"),
        (b"<?xml version='1.0' encoding='koi8-r'?><a/>", "image/svg+xml", "koi8-r"),
        # What nobody knows, or nobody may use, is as if it were not there.
        (b"<meta charset=koi8-r>", "text/html; charset=klingon", "koi8-r"),
        (b"+ADw-script+AD4-", "text/html; charset=utf-7", "utf-8"),
        (b"a", "text/html; charset=unicode_escape", "utf-8"),
        (b"a", "text/html; charset=idna", "utf-8"),
        (b"a", "text/html; charset=rot13", "utf-8"),
        (b"a", "text/html; charset=zlib", "utf-8"),
        (b"a", "text/html; charset=" + "x" * 10_000, "utf-8"),
        (b"a", "text/html; charset=", "utf-8"),
        (b"a", "text/html; charset=../../etc/passwd", "utf-8"),
        (b'{"a":1}', "application/json", "utf-8"),
        ('{"a":1}'.encode("utf-16-le"), "application/json", "utf-16-le"),
        ('{"a":1}'.encode("utf-32-be"), "application/problem+json", "utf-32-be"),
        ("grüße".encode(), "text/plain", "utf-8"),
    ],
)
def test_the_charset_is_found_in_the_order_that_is_documented(content, content_type, charset):
    assert charset_of(content, content_type) == charset


def test_a_text_that_says_nothing_and_is_no_utf_8_is_looked_at():
    sentence = "Съешь же ещё этих мягких французских булок, да выпей чаю. " * 5
    assert text(sentence.encode("cp1251"), "text/plain") == sentence


def test_a_mark_is_never_part_of_the_text():
    for charset, mark in (("utf-8", codecs.BOM_UTF8), ("utf-16-le", codecs.BOM_UTF16_LE)):
        for content_type in ("text/plain", f"text/plain; charset={charset}"):
            assert text(mark + "grün".encode(charset), content_type) == "grün"


def test_what_cannot_be_decoded_is_replaced():
    assert text(b"a\xffb", "text/plain; charset=utf-8") == "a\ufffdb"


@pytest.mark.parametrize(
    "label",
    [
        *(
            "utf-7",
            "UTF7",
            "unicode-1-1-utf-7",
            "undefined",
            "hex",
            "base64",
            "",
            "é",
            "cp037",
            "cp500",
            "cp1140",
        ),
        *("iso-2022-kr", "hz-gb-2312", "utf-32", "charmap", "idna", "punycode", "latin_1_evil"),
    ],
)
def test_what_is_no_charset_of_the_web_is_not_used(label):
    assert known(label) is None


@given(st.text(max_size=200), st.sampled_from(["utf-8", "utf-16-le", "cp932", "gb18030"]), st.integers(1, 7))
def test_lines_are_the_same_at_any_chunking(whole, charset, size):
    whole = whole.encode(charset, "ignore").decode(charset).replace("\ufeff", "")
    data = whole.encode(charset)
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    expected = [line.removesuffix("\r") for line in whole.split("\n")]
    expected = expected[:-1] if not whole.split("\n")[-1] else expected
    label = {"utf-16-le": "utf-16le", "cp932": "windows-31j"}.get(charset, charset)
    assert list(text_lines(pieces, f"text/plain; charset={label}", 10_000)) == expected


def test_every_label_has_a_codec_that_python_knows():
    assert len(LABELS) > 200
    for label, name in LABELS.items():
        assert codecs.lookup(name).name
        assert known(f" {label.upper()} ") == name


def test_what_microsoft_left_out_are_control_characters():
    every = bytes(range(256))
    assert len(text(every, "text/plain; charset=latin1")) == 256
    assert text(b"\x80\x81\x8d\x8f\x90\x9d", "text/plain; charset=latin1") == "€\x81\x8d\x8f\x90\x9d"


@given(st.integers(1, 30), st.sampled_from(["bom8", "bom16", "meta", "xml", "header", "text", "page"]))
def test_the_charset_of_lines_does_not_depend_on_how_they_are_cut(size, how):
    data, content_type = {
        "bom8": (codecs.BOM_UTF8 + "grün\nweiß".encode(), "text/plain"),
        "bom16": (codecs.BOM_UTF16_LE + "grün\nweiß".encode("utf-16-le"), "text/plain"),
        "meta": (b"<meta charset=koi8-r>\n" + "мир".encode("koi8-r"), HTML),
        "xml": (b"<?xml version='1.0' encoding='koi8-r'?>\n" + "мир".encode("koi8-r"), "text/xml"),
        "header": ("grün\nweiß".encode("latin-1"), "text/plain; charset=latin1"),
        "text": ("of no type: <meta charset=koi8-r>\nмир".encode(), ""),
        "page": (b" <meta charset=koi8-r>\n" + "мир".encode("koi8-r"), ""),
    }[how]
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    whole = list(text_lines([data], content_type, 1000))
    assert list(text_lines(pieces, content_type, 1000)) == whole
    assert whole[-1] in ("weiß", "мир")


def test_a_line_that_is_too_long_is_refused_however_it_is_cut():
    data = b"x" * 500 + b"\n"
    for size in (1, 100, 501):
        with pytest.raises(LimitExceeded):
            list(text_lines([data[at : at + size] for at in range(0, 501, size)], "text/plain", 100))


def test_lines_end_at_line_feeds_alone():
    data = "a\u2028b\x0bc\rd\r\ne\n\n".encode()
    assert list(text_lines([data], "", 100)) == ["a\u2028b\x0bc\rd", "e", ""]


@pytest.mark.parametrize("content_type", ["", "text/plain", "application/x-ndjson"])
def test_a_line_comes_as_soon_as_its_bytes_do(content_type):
    pieces = iter([b'{"n": 1}\n', b'{"n": 2}\n'])
    assert next(text_lines(pieces, content_type, 100)) == '{"n": 1}'
    assert next(pieces) == b'{"n": 2}\n'


def test_a_line_without_end_is_refused():
    with pytest.raises(LimitExceeded, match="more than 100 characters"):
        list(text_lines(iter([b"x" * 60] * 3), "", 100))


@pytest.mark.parametrize(
    ("codec", "of_the_web"),
    [("iso8859_2", "iso8859-2"), ("euc_jp", "euc_jp"), ("euc_kr", "cp949"), ("cp949", "cp949"),
     ("utf_7", None), ("mac_cyrillic", "mac-cyrillic"), ("shift_jis", "cp932"), ("cp037", None),
     ("utf_8", "utf-8")],
)  # fmt: skip
def test_a_detected_codec_is_used_if_the_web_has_it(codec, of_the_web):
    assert _of_the_web(codec) == of_the_web


@pytest.mark.parametrize(
    ("said", "charset"),
    [
        ("grün", "latin-1"),
        ("grün und blau", "latin-1"),
        ("El niño", "latin-1"),
        ("façade", "latin-1"),
        ("<p>café</p>", "latin-1"),
        ("naïve “quoted” text", "cp1252"),
        ("привет мир, как дела", "cp1251"),
        ("中文文本，这是一个测试", "gb18030"),
    ],
)
def test_a_few_letters_outside_ascii_are_no_chinese_unless_there_is_little_else(said, charset):
    need_module("charset_normalizer")
    assert text(said.encode(charset), "text/plain") == said


# Pages that name their charset, or seem to: what Chromium reads them as.
NAMED = [
    b"<meta charset=koi8-r>",
    b"<META CHARSET='koi8-r'>",
    b'<meta\ncharset = "koi8-r" >',
    b"<meta/charset=koi8-r>",
    b"<meta charset=koi8-r/>",
    b"<metacharset=koi8-r>",
    b"<meta name=x charset=koi8-r>",
    b'<meta name="x>" charset=koi8-r>',
    b"<a title='<meta charset=koi8-r>'>",
    b"<!--><meta charset=koi8-r>",
    b"<!-- <meta charset=koi8-r> --><meta charset=gbk>",
    b"<!-- <meta charset=koi8-r>",
    b"<meta charset=nonsense><meta charset=koi8-r>",
    b"<meta charset=koi8-r><meta charset=gbk>",
    b"<meta http-equiv=content-type content='text/html; charset=koi8-r'>",
    b"<meta content='text/html; charset=koi8-r' http-equiv=Content-Type>",
    b"<meta http-equiv=content-type content='charset = \"koi8-r\"'>",
    b"<meta http-equiv=content-type content='text/html;charset=koi8-r;x'>",
    b"<meta name=description content='charset=koi8-r'>",
    b"<meta http-equiv=refresh content='charset=koi8-r'>",
    b"<meta charset=utf-16le>",
    b"<meta charset=utf-16>",
    b"<meta charset=iso-8859-1>",
    b"<meta charset=' koi8-r '>",
    b"<title>x</title><meta charset=koi8-r>",
    b"</x a='<meta charset=koi8-r>'><meta charset=gbk>",
    b"<?x y='<meta charset=koi8-r>'><meta charset=gbk>",
    b"<!doctype html><meta charset=koi8-r",
]


def test_a_page_that_names_its_charset_is_read_as_chromium_reads_it():
    sync_api = need_module("playwright.sync_api")
    body = b""

    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/html")])
        return [body]

    with Server(WSGI(app), "http://127.0.0.1:0") as server, sync_api.sync_playwright() as play:
        url = f"http://127.0.0.1:{server.addresses[0].port}/"
        browser = play.chromium.launch(executable_path=need("chromium"), args=["--no-sandbox"])
        page = browser.new_page()
        for body in NAMED:
            page.goto(url)
            named = next(filter(None, map(known, named_by_page(body))), "cp1252")
            read_as = known(page.evaluate("document.characterSet"))
            assert ("utf-8" if named.startswith("utf-16") else named) == read_as, body
        browser.close()


def test_the_first_of_two_attributes_counts():
    """As the standard has it; to Chromium, which follows it elsewhere, it is the last."""
    assert named_by_page(b"<meta charset=koi8-r charset=gbk>") == ["koi8-r"]


@pytest.mark.parametrize(
    "charset", ["windows-1250", "windows-1252", "windows-1253", "windows-874", "windows-1257"]
)
def test_bytes_without_a_character_are_controls_or_replaced(charset):
    """Text and lines are the same: 0x81 is a control character in the standard's tables, 0xD2 may be none."""
    content = b"a\x81b\xd2\xfcc"
    text = decoded(content, known(charset))
    assert text[1] == "\x81"
    assert list(text_lines([content], "text/plain", 99, known(charset))) == [text]
    assert ("\ufffd" in text) == (charset in ("windows-1253", "windows-874"))


FAULTS = [
    (
        "utf-8",
        b"a\xc3(\xe2\x82b\xf0\x9f\x98\xff\xed\xa0\x80",
        "a\ufffd(\ufffdb\ufffd\ufffd\ufffd\ufffd\ufffd",
    ),
    ("windows-1252", b"\x81\x8d\x8f\x90\x9d\x80", "\x81\x8d\x8f\x90\x9d€"),
    ("windows-1253", b"\x81\xaa\xd2\xff", "\x81\ufffd\ufffd\ufffd"),
    ("iso-8859-3", b"\xa5\x80", "\ufffd\x80"),
    ("gbk", b"\x81<b>\x80\x81\x30<\xff\xd6\xd0\x81", "\ufffd<b>€\ufffd0<\ufffd中\ufffd"),
    ("big5", b"\x81<\xa4\xa4\xeb\x9f<", "\ufffd<中\ufffd<"),
    ("euc-kr", b"\xb0<\xb0\xa1\xeb\x9f<\xff<", "\ufffd<가\ufffd<\ufffd<"),
    ("euc-jp", b"\xb0<\xa4\xa2\x8f\xa1\xa1<\xeb\x9f<", "\ufffd<あ\ufffd<\ufffd<"),
    ("shift_jis", b"\x81<\x82\xa0\x81\xff<\x81", "\ufffd<あ\ufffd<\ufffd"),
]


@pytest.mark.parametrize(("label", "content", "text"), FAULTS, ids=[label for label, _, _ in FAULTS])
def test_bytes_that_are_no_characters_are_what_the_standard_says(label, content, text):
    """An ASCII character behind half a character stays: it may begin a tag."""
    assert decoded(content, known(label)) == text
    for size in (1, 2, 3, 100):
        pieces = [content[at : at + size] for at in range(0, len(content), size)]
        assert "".join(source(iter(pieces), encoding=label).text(errors="replace")) == text


SEQUENCES = [
    bytes.fromhex(each)
    for each in """8130 8130FF 81ff41 e3 8140 a1 a1a1 8ea1 8fa1a1 8fa1 80 fd ff fe50 c320 b0a1c3 81308130 9041
    84318236 f040 a3ff41 8e41 c8 eb9f ed9f80ef f8a1 00 e2e1 c1 f0808080 eda080 c0af f4908080 e282 e28241
    3c8122""".split()
]
OTHER_TABLES = {
    "cp932": b"\xa0\xfd\xfe\xff",
    "koi8-u": b"\xae\xbe",
    "cp1255": b"\xca",
    "iso2022_jp": b"\x0e\x0f\x1b",
}


def test_every_encoding_of_the_web_is_decoded_as_chromium_decodes_it():
    """But for those bytes for which Python has another table."""
    sync_api = need_module("playwright.sync_api")
    single = [bytes([byte]) for byte in range(256)]
    labels = {codec: label for label, codec in LABELS.items()}
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=need("chromium"), args=["--no-sandbox"])
        page = browser.new_page()
        for codec, label in labels.items():
            texts = [*single, *SEQUENCES, *(each + b"a" for each in SEQUENCES)]
            texts = [each for each in texts if not set(each) & set(OTHER_TABLES.get(codec, b""))]
            found = page.evaluate(
                """([label, texts]) => texts.map(each => {
                    return new TextDecoder(label, {ignoreBOM: true}).decode(new Uint8Array(each)); })""",
                [label, [list(each) for each in texts]],
            )
            for each, text in zip(texts, found, strict=True):
                if not codec.startswith("utf-16") or len(each) % 2 == 0:
                    assert (codec, each, decoded(each, codec)) == (codec, each, text)
        browser.close()
