"""Short texts of which nothing tells what they are written in."""

from __future__ import annotations

import pytest

from portico.charsets.text import charset_of
from portico.data import read, source
from portico.errors import DataError

TEXTS = [
    *(
        (text, "cp1252")
        for text in ("ä", "ää,b\n1,2\n", "café", "Müller", "größer", "São Paulo", "ÅÄÖ", "straße")
    ),
    *(
        (text, "cp1252")
        for text in ("Zürich,Genève\n1,2\n", "Preis: 5 €", "It’s “fine”", "élève,âge\nZoé,11\n")
    ),
    ("Łódź", "cp1250"),
    ("Příliš žluťoučký kůň", "cp1250"),
    ("Zażółć gęślą jaźń", "cp1250"),
    ("Привет", "cp1251"),
    ("имя,цена\nяблоки,12\n", "cp1251"),
    ("Москва", "cp1251"),
    ("Привет", "koi8-r"),
    ("имя,цена\nяблоки,12\n", "koi8-r"),
    ("Αθήνα", "cp1253"),
    ("όνομα,τιμή\nμήλα,3\n", "cp1253"),
    ("日本語", "cp932"),
    ("名前,値段\nりんご,100\nみかん,200\n", "cp932"),
    ("名前,値段\nりんご,100\nみかん,200\n", "euc_jp"),
    ("中文", "gb18030"),
    ("你好,世界\n1,2\n", "gb18030"),
    ("名稱,價格\n蘋果,12\n", "big5hkscs"),
    ("이름,가격\n사과,12\n배,2\n", "cp949"),
]


@pytest.mark.parametrize(("text", "codec"), TEXTS)
def test_a_short_text_is_read(text: str, codec: str) -> None:
    data = text.encode(codec)
    assert data.decode(charset_of(data, "")) == text
    assert "".join(source(data).text()) == text


def test_a_name_of_a_column_is_no_ideograph() -> None:
    assert list(read("ää,b\n1,2\n".encode("latin-1"))) == [{"ää": "1", "b": "2"}]


def test_without_zeros_it_is_no_utf_16() -> None:
    data = "Müller ".encode("latin-1") * 200
    assert data.decode(charset_of(data, "")) == "Müller " * 200
    assert charset_of("\ufeffMüller".encode("utf-16-le"), "") == "utf-16-le"


def test_a_letter_at_the_end_is_no_character_of_utf_8_that_is_cut() -> None:
    assert "".join(source(b"caf\xe9").text()) == "café"
    assert "".join(source([b"caf", b"\xe9"]).text()) == "café"
    assert "".join(source(("é" * 70_000).encode()).text()) == "é" * 70_000
    with pytest.raises(DataError, match="no utf-8"):
        "".join(source("€ 5 €".encode()[:-1]).text())
