"""CSV as the world writes it: each file with the rows that are meant, and why."""

from __future__ import annotations

import csv as standard_csv
import io
import json
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.data import source
from portico.data.csv import Dialect, dialect_of, records, rows, sniff
from portico.errors import DataError
from tests.peers import corpus

# name: (bytes, rows, why)
ODDITIES: dict[str, tuple[bytes, list[list[str]], str]] = {
    "nothing": (b"", [], "an empty file has no rows"),
    "only a line end": (b"\r\n", [], "an empty line is no record"),
    "only a mark": (b"\xef\xbb\xbf", [], "a byte order mark is no field"),
    "one field": (b"a", [["a"]], "no delimiter, no end of line"),
    "one column": (b"name\nAnna\nBert\n", [["name"], ["Anna"], ["Bert"]], "nothing separates"),
    "one column of names": (
        b"Anna Smith\nBert Jones\nCarl Meyer\n",
        [["Anna Smith"], ["Bert Jones"], ["Carl Meyer"]],
        "a space in each line is no delimiter where both sides are words",
    ),
    "one column of times": (
        b"12:30\n13:45\n14:00\n",
        [["12:30"], ["13:45"], ["14:00"]],
        "colons belong to the time of day",
    ),
    "one column of moments": (
        b"2024-01-01 12:30:00\n2024-01-02 12:30:00\n",
        [["2024-01-01 12:30:00"], ["2024-01-02 12:30:00"]],
        "neither the space nor the colon separates",
    ),
    "one column of links": (
        b"http://a.example/x\nhttps://b.example:8080/y\n",
        [["http://a.example/x"], ["https://b.example:8080/y"]],
        "links have colons",
    ),
    "one column of prose": (
        b"this is one\nand here is another of them\nfine\n",
        [["this is one"], ["and here is another of them"], ["fine"]],
        "prose has spaces, but not as many in each line",
    ),
    "a header and nothing else": (b"a,b,c\n", [["a", "b", "c"]], "one line is enough for commas"),
    "one line of semicolons": (b"a;b;c", [["a", "b", "c"]], "and for semicolons"),
    "decimals with commas": (
        b"name;price\nx;1,50\ny;2,75\n",
        [["name", "price"], ["x", "1,50"], ["y", "2,75"]],
        "as German and French spreadsheets write",
    ),
    "decimals with commas, no header": (
        b"1,5;2,5;3,5\n4,5;5,5;6,5\n",
        [["1,5", "2,5", "3,5"], ["4,5", "5,5", "6,5"]],
        "commas are more, but what they leave is no number",
    ),
    "decimals with commas in quotes": (
        b'id,price\n1,"1,50"\n2,"2,75"\n',
        [["id", "price"], ["1", "1,50"], ["2", "2,75"]],
        "quoted commas do not separate",
    ),
    "prose with commas": (
        b"id;text\n1;Well, yes, it is\n2;No\n3;Red, green\n",
        [["id", "text"], ["1", "Well, yes, it is"], ["2", "No"], ["3", "Red, green"]],
        "as many semicolons in each line, commas here and there",
    ),
    "names with commas": (
        b"id;name\n1;Smith, John\n2;Doe, Jane\n",
        [["id", "name"], ["1", "Smith, John"], ["2", "Doe, Jane"]],
        "a comma in each line but the header",
    ),
    "Excel tells": (b"sep=;\r\na;b\r\n1;2\r\n", [["a", "b"], ["1", "2"]], "the first line is no data"),
    "Excel tells, quoted": (b'"sep=|"\r\na|b\r\n', [["a", "b"]], "some programs quote that line"),
    "Excel tells what nobody would guess": (b"sep=x\n1x2\n3x4\n", [["1", "2"], ["3", "4"]], "told is told"),
    "Excel's Unicode text": (
        "a\tä\r\n1\t€\r\n".encode("utf-16"),
        [["a", "ä"], ["1", "€"]],
        "UTF-16 with a mark, and tabs",
    ),
    "UTF-16 of the other order": (
        b"\xfe\xff" + "a;ä\n1;2\n".encode("utf-16-be"),
        [["a", "ä"], ["1", "2"]],
        "its mark tells the order",
    ),
    "a mark before quotes": (
        b'\xef\xbb\xbf"a","b"\n"1","2"\n',
        [["a", "b"], ["1", "2"]],
        "the mark is not part of the first field, whose quote counts",
    ),
    "Latin-1": (
        "name;Straße\nMüller;Königstraße\nJäger;Gänsemarkt\n".encode("latin-1"),
        [["name", "Straße"], ["Müller", "Königstraße"], ["Jäger", "Gänsemarkt"]],
        "no UTF-8: found by looking",
    ),
    "tabs": (b"a\tb\n1, 2\t3\n4, 5\t6\n", [["a", "b"], ["1, 2", "3"], ["4, 5", "6"]], "tabs agree"),
    "pipes": (b"a|b|c\n1|x, y|3\n", [["a", "b", "c"], ["1", "x, y", "3"]], "pipes agree"),
    "passwd": (
        b"root:x:0:0:root:/root:/bin/bash\nbin:x:2:2:bin:/bin:/usr/sbin/nologin\n",
        [
            ["root", "x", "0", "0", "root", "/root", "/bin/bash"],
            ["bin", "x", "2", "2", "bin", "/bin", "/usr/sbin/nologin"],
        ],
        "colons in each line, and numbers between",
    ),
    "figures with spaces": (
        b"1.5 2.5 3\n4.5 5.5 6\n",
        [["1.5", "2.5", "3"], ["4.5", "5.5", "6"]],
        "spaces between numbers",
    ),
    "figures in columns": (
        b"  1.5   2.5    3\n 14.5   5.5   16\n",
        [["1.5", "2.5", "3"], ["14.5", "5.5", "16"]],
        "filled up with spaces",
    ),
    "unit separators": (b"a\x1fb\n1\x1f2\n", [["a", "b"], ["1", "2"]], "ASCII has characters for this"),
    "single quotes": (
        b"'a','b, c'\n'1','2, 3'\n",
        [["a", "b, c"], ["1", "2, 3"]],
        "some programs quote with apostrophes",
    ),
    "single quotes, doubled": (
        b"id,name\n1,'O''Brien'\n2,'D''Arcy, M.'\n",
        [["id", "name"], ["1", "O'Brien"], ["2", "D'Arcy, M."]],
        "and double them",
    ),
    "apostrophes in words": (
        b"id,text\n1,don't\n2,it's John's\n",
        [["id", "text"], ["1", "don't"], ["2", "it's John's"]],
        "an apostrophe in a word is no quote",
    ),
    "commas in quotes": (
        b'a,b\n"x, y","z"\n"1, 2, 3","4"\n',
        [["a", "b"], ["x, y", "z"], ["1, 2, 3", "4"]],
        "RFC 4180, 2.6",
    ),
    "semicolons in quotes": (
        b'a,b\n"x;y;z","p;q;r"\n"1;2;3","4;5;6"\n',
        [["a", "b"], ["x;y;z", "p;q;r"], ["1;2;3", "4;5;6"]],
        "as many of another delimiter in each line, within quotes",
    ),
    "lines in quotes": (
        b'id,text\n1,"two\nlines"\n2,"one\r\n\r\nand three"\n',
        [["id", "text"], ["1", "two\nlines"], ["2", "one\r\n\r\nand three"]],
        "they stay as they are",
    ),
    "quotes in quotes": (b'a,b\n"say ""x""",""""\n', [["a", "b"], ['say "x"', '"']], "RFC 4180, 2.7"),
    "inches": (
        b'size,name\n5" disk,x\n3.5" disk,y\n',
        [["size", "name"], ['5" disk', "x"], ['3.5" disk', "y"]],
        "a quote that does not begin a field is text",
    ),
    "escaped quotes": (
        b'id,text\n1,"say \\"hi\\", then go"\n2,"x"\n',
        [["id", "text"], ["1", 'say "hi", then go'], ["2", "x"]],
        "as C and MySQL write them",
    ),
    "escaped delimiters": (
        b"1,a\\,b,2\n3,c\\,d,4\n5,e,6\n",
        [["1", "a,b", "2"], ["3", "c,d", "4"], ["5", "e", "6"]],
        "as MySQL and Hadoop write without quotes",
    ),
    "Windows paths": (
        b'id,path\n1,C:\\temp\\x\n2,"D:\\data\\"\n',
        [["id", "path"], ["1", "C:\\temp\\x"], ["2", "D:\\data\\"]],
        "a backslash is a backslash where nothing needs it",
    ),
    "JSON in fields": (
        b'id,data\n1,"{""a"": [1, 2]}"\n2,"{""b"": ""x""}"\n',
        [["id", "data"], ["1", '{"a": [1, 2]}'], ["2", '{"b": "x"}']],
        "doubled quotes, braces, colons",
    ),
    "a space after each comma": (
        b"a, b, c\n1, 2, 3\n",
        [["a", "b", "c"], ["1", "2", "3"]],
        "written for people",
    ),
    "a space before quotes": (
        b'"a", "b, c"\n"1", "2, 3"\n',
        [["a", "b, c"], ["1", "2, 3"]],
        "the quote counts although it is not the first character",
    ),
    "spaces of values": (
        b"a,b\nx , y\nz,w\n",
        [["a", "b"], ["x ", " y"], ["z", "w"]],
        "not after each comma",
    ),
    "CRLF": (b"a,b\r\n1,2\r\n", [["a", "b"], ["1", "2"]], "Windows"),
    "CR": (b"a,b\r1,2\r", [["a", "b"], ["1", "2"]], "old Macs, and Excel for Mac when it saves so"),
    "mixed line ends": (
        b"a,b\r\n1,2\n3,4\r5,6",
        [["a", "b"], ["1", "2"], ["3", "4"], ["5", "6"]],
        "glued files",
    ),
    "CRCRLF": (b"a,b\r\r\n1,2\r\r\n", [["a", "b"], ["1", "2"]], "CRLF written through a text mode"),
    "trailing delimiters": (
        b"a;b;\n1;2;\n",
        [["a", "b", ""], ["1", "2", ""]],
        "as if one more column were there",
    ),
    "empty lines": (b"\na,b\n\n1,2\n\n\n", [["a", "b"], ["1", "2"]], "before, between and after"),
    "empty records": (
        b"a,b\n,\n1,2\n",
        [["a", "b"], ["", ""], ["1", "2"]],
        "a record of empty fields is one",
    ),
    "all empty": (b",,\n,,\n", [["", "", ""], ["", "", ""]], "that, too"),
    "ragged": (
        b"a,b,c\n1,2\n3,4,5,6\n7,8,9\n",
        [["a", "b", "c"], ["1", "2"], ["3", "4", "5", "6"], ["7", "8", "9"]],
        "rows are given as they are",
    ),
    "ragged, each of another width": (
        b"a;b\n1;2;3\n4;5;6;7\n",
        [["a", "b"], ["1", "2", "3"], ["4", "5", "6", "7"]],
        "nothing else separates",
    ),
    "NUL": (b"a,b\n1\0,2\n", [["a", "b"], ["1\0", "2"]], "a character as others, if an odd one"),
    "other ends of lines": (
        "a,b\nx\x0by,\u2028z\nv\x85,\x1cw\n".encode(),
        [["a", "b"], ["x\x0by", "\u2028z"], ["v\x85", "\x1cw"]],
        "vertical tabs and Unicode's line separators end no record",
    ),
    "thousands": (
        b'a;b\n"1,234,567";x\n"2,345,678";y\n',
        [["a", "b"], ["1,234,567", "x"], ["2,345,678", "y"]],
        "quoted, and with another delimiter",
    ),
    "times between": (
        b"when,what\n12:30:00,x\n13:30:00,y\n",
        [["when", "what"], ["12:30:00", "x"], ["13:30:00", "y"]],
        "colons are more than commas",
    ),
    "addresses": (
        b"mail,name\na@x.example,Anna B\nb@y.example,Carl D\n",
        [["mail", "name"], ["a@x.example", "Anna B"], ["b@y.example", "Carl D"]],
        "a space in each record is of the name",
    ),
    "keys of links": (
        b"url;n\nhttp://a.example/?x=1,2&y=3,4;1\nhttp://b.example/?x=1,2&y=3,4;2\n",
        [["url", "n"], ["http://a.example/?x=1,2&y=3,4", "1"], ["http://b.example/?x=1,2&y=3,4", "2"]],
        "commas of links",
    ),
    "titles that begin with a quote": (
        b'id\ttitle\n1\t"Weird Al" Yankovic\n2\t"Heroes" (live)\n3\tx\n',
        [["id", "title"], ["1", '"Weird Al" Yankovic'], ["2", '"Heroes" (live)'], ["3", "x"]],
        "dumps with tabs quote nothing",
    ),
    "VCF": (
        b"#CHROM\tPOS\tINFO\n1\t100\tA=1;B=2,3\n2\t200\tA=2;B=3,4\n",
        [["#CHROM", "POS", "INFO"], ["1", "100", "A=1;B=2,3"], ["2", "200", "A=2;B=3,4"]],
        "a header may begin with the mark of comments",
    ),
    "no ASCII": (
        "名前,年齢\n山田 太郎,30\n鈴木 花子,25\n".encode(),
        [["名前", "年齢"], ["山田 太郎", "30"], ["鈴木 花子", "25"]],
        "words of other scripts are words",
    ),
}


@pytest.mark.parametrize("name", ODDITIES)
def test_it_is_read_as_it_is_meant(name: str) -> None:
    data, expected, why = ODDITIES[name]
    assert list(rows(data)) == expected, why


@pytest.mark.parametrize("name", ODDITIES)
def test_the_same_byte_by_byte(name: str) -> None:
    data, expected, why = ODDITIES[name]
    assert list(rows(iter([data[at : at + 1] for at in range(len(data))]))) == expected, why


SPECTRUM = (
    "comma_in_quotes empty empty_crlf escaped_quotes json location_coordinates newlines newlines_crlf "
    "quotes_and_newlines simple simple_crlf utf8"
).split()


@pytest.mark.parametrize("name", SPECTRUM)
def test_csv_spectrum(name: str) -> None:
    folder = corpus("csv")
    expected: Any = json.loads((folder / "json" / f"{name}.json").read_text(encoding="utf-8"))
    found = list(records(folder / "csvs" / f"{name}.csv"))
    if name == "location_coordinates":  # whose JSON is not in a list, and has another telephone number
        found = [record | {"Contact Phone Number": "1234567890"} for record in found]
        expected = [expected]
    assert found == expected


def test_what_is_said_wins() -> None:
    assert list(rows(b"a;b,c\n1;2,3\n", delimiter=",")) == [["a;b", "c"], ["1;2", "3"]]
    assert list(rows(b"sep=;\na;b,c\n", delimiter=",")) == [["a;b", "c"]]
    assert list(rows(b"'a','b'\n", quote='"')) == [["'a'", "'b'"]]
    assert list(rows(b"'a';'b'\n'1';'2'\n", quote="")) == [["'a'", "'b'"], ["'1'", "'2'"]]
    assert list(rows(b"a,b\n", dialect="tsv")) == [["a,b"]]
    assert list(rows(b"a\t'b'\n", dialect="tsv", quote="'")) == [["a", "b"]]


def test_a_dialect_is_told_from_a_text_or_from_a_source() -> None:
    text = "a;b\n'x;y';1\n"
    found = Dialect(delimiter=";", quote="'", line_end="\n")
    assert dialect_of(text) == found
    assert sniff(text.encode("utf-16")) == found
    opened = source(text.encode())
    assert sniff(opened) == found
    assert opened.read() == text.encode()


def test_of_a_long_text_the_beginning_tells() -> None:
    body = "".join(f'{n};"a, long ""text"" of\n{n}, lines";{n},5\n' for n in range(5000))
    assert len(list(rows(body.encode()))) == 5000
    assert dialect_of(body).delimiter == sniff(body.encode()).delimiter == ";"


def test_a_quote_that_spans_the_whole_sample_is_no_fault() -> None:
    body = 'id;text\n1;"' + "x, y\n" * 40000 + '"\n2;z\n'
    assert [row[0] for row in rows(body.encode())] == ["id", "1", "2"]


def test_a_text_that_was_cut_short_is_not_read_as_one_without_quotes() -> None:
    with pytest.raises(DataError, match="never closed"):
        list(rows(b'a,b\n1,"x\n2,y\n'))


@given(st.text(alphabet=",;\t|: \"'\\\r\n#=ab1.\0é\u2028", max_size=80))
def test_whatever_it_is_a_dialect_is_found(text: str) -> None:
    assert isinstance(dialect_of(text), Dialect)


WORDS = "alpha beta Müller O'Brien don't Paris New-York x foo_bar A.B. 山田 naïve".split()
CELLS: dict[str, Callable[[Random], str]] = {
    "integers": lambda chance: str(chance.randint(-5, 10 ** chance.randint(1, 7))),
    "floats": lambda chance: f"{chance.random() * 1000:.2f}",
    "decimal commas": lambda chance: f"{chance.random() * 1000:.2f}".replace(".", ","),
    "days": lambda chance: f"2024-0{chance.randint(1, 9)}-1{chance.randint(0, 9)}",
    "times": lambda chance: f"1{chance.randint(0, 9)}:3{chance.randint(0, 9)}:00",
    "names": lambda chance: f"{chance.choice(WORDS)} {chance.choice(WORDS)}",
    "names with commas": lambda chance: f"{chance.choice(WORDS)}, {chance.choice(WORDS)}",
    "lists": lambda chance: ",".join(chance.choices(WORDS, k=chance.randint(1, 4))),
    "other lists": lambda chance: ";".join(chance.choices(WORDS, k=chance.randint(1, 4))),
    "links": lambda chance: f"http://x.example/{chance.randint(1, 99)}?a=1&b=2,3;c",
    "JSON": lambda chance: '{"a": [1, 2], "b": "x"}',
    "speech": lambda chance: f'say "{chance.choice(WORDS)}" now',
    "gaps": lambda chance: chance.choice(["", "", "x"]),
    "lines": lambda chance: f"a\nb, c\n{chance.choice(WORDS)}",
    "money": lambda chance: f"$1,{chance.randint(100, 999)}.00",
    "paths": lambda chance: f"C:\\temp\\{chance.choice(WORDS)}",
}


def random_table(chance: Random) -> list[list[str]]:
    """A small one, whose fields hold what separates elsewhere."""
    kinds = [chance.choice(list(CELLS)) for _ in range(chance.randint(2, 7))]
    head = [f"{chance.choice(WORDS)}{number}" for number in range(len(kinds))]
    return [head] + [[CELLS[kind](chance) for kind in kinds] for _ in range(chance.randint(2, 30))]


def test_of_a_thousand_random_tables_nearly_all_are_read_as_they_were_written() -> None:
    chance, wrong = Random(1), []
    for _ in range(1000):
        made, text = random_table(chance), io.StringIO(newline="")
        quoting = chance.choice([standard_csv.QUOTE_MINIMAL, standard_csv.QUOTE_ALL])
        standard_csv.writer(text, delimiter=chance.choice(",;\t|"), quoting=quoting).writerows(made)
        errors: list[DataError] = []
        if list(rows(text.getvalue().encode(), encoding="utf-8", on_error=errors)) != made:
            wrong.append(text.getvalue())
    assert len(wrong) <= 2, "\n\n".join(wrong)
