"""Trees: what is read is written again, as it was or as it is wanted."""

from __future__ import annotations

import io
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from portico.data import source, xml
from portico.errors import ConfigError, DataError, LimitExceeded
from tests.data.xml_documents import cut, elements
from tests.peers import need

ORDERS = """<?xml version="1.0" encoding="UTF-8"?>
<o:orders xmlns:o="urn:orders" xmlns="urn:items"><!-- today -->
  <order id="1"><item>Äpfel</item><item>Öl</item></order>
  <order id="2"><o:note>none</o:note></order>
</o:orders>
"""
NAMES = {"i": "urn:items", "o": "urn:orders"}


def written(tree: Any, **options: Any) -> str:
    out = io.BytesIO()
    xml.write(tree, out, **options)
    return out.getvalue().decode(options.get("encoding", "utf-8"))


def test_finding() -> None:
    tree = xml.load(ORDERS.encode())
    assert [each.text for each in tree.findall(".//i:item", NAMES)] == ["Äpfel", "Öl"]
    assert [each.get("id") for each in tree.iterfind("i:order", NAMES)] == ["1", "2"]
    assert tree.findtext("{*}order[@id='2']/{urn:orders}note") == "none"
    assert tree.find("i:order[2]/*", NAMES).prefix == "o"
    assert len(tree.findall(".//{urn:items}*")) == 4
    assert tree.find("nothing") is None


def test_xpath() -> None:
    tree = xml.load(ORDERS.encode())
    assert (
        xml.xpath(tree, "string(//i:order[@id=$id]/o:note)", namespaces=NAMES, variables={"id": "2"})
        == "none"
    )
    assert xml.xpath(tree, "count(//i:item)", namespaces=NAMES) == 2.0
    assert xml.xpath(tree, "//i:item/text()", namespaces=NAMES) == ["Äpfel", "Öl"]
    assert xml.xpath(tree.getroot()[1], "boolean(i:item)", namespaces=NAMES) is True
    quote = {"x": "'\" or '1'='1"}
    assert xml.xpath(tree, "//*[@id=$x]", variables=quote) == []


@pytest.mark.parametrize("expression", ["//", "p:a", "f()", "$v", "count(1)", "document('x')", "a[", "\0"])
def test_an_expression_that_is_none(expression: str) -> None:
    with pytest.raises(ConfigError, match="xpath"):
        xml.xpath(xml.load(b"<a/>"), expression)


def test_prefixes_comments_and_order_are_kept() -> None:
    assert (
        written(xml.load(ORDERS.encode()))
        == ORDERS.replace('"1.0"', "'1.0'").replace('"UTF-8"', "'UTF-8'").strip()
    )


def test_changes() -> None:
    tree = xml.load(ORDERS.encode())
    root = tree.getroot()
    order = etree.SubElement(root, "{urn:items}order", id="3")
    order.append(root.find("i:order/i:item", NAMES))
    root.insert(0, etree.Element("{urn:orders}first"))
    root.remove(root.find("i:order[@id='2']", NAMES))
    again = xml.load(written(tree).encode())
    assert [each.get("id") for each in again.getroot()] == [None, None, "1", "3"]
    assert again.findtext("i:order[@id='3']/i:item", namespaces=NAMES) == "Äpfel"
    assert "ns0" not in written(tree)


def test_finding_by_wildcards_and_a_default_namespace() -> None:
    tree = xml.load(
        b"<r xmlns='u' xmlns:p='v'><a>1<b/></a><p:a>2<p:a>3</p:a></p:a><c xmlns=''>4</c><!-- a --></r>"
    )
    assert [each.text for each in tree.findall("{*}a")] == ["1", "2"]
    assert [each.text for each in tree.iterfind(".//{*}a")] == ["1", "2", "3"]
    assert [each.text for each in tree.findall(".//{v}*")] == ["2", "3"]
    assert [each.text for each in tree.findall("{}*")] == ["4"]
    assert len(tree.findall("*")) == 3  # a comment is no element
    for names in ({None: "u"}, {"": "u"}):
        assert tree.findtext("a", namespaces=names) == "1"
        assert tree.find("a/b", namespaces=names) is not None
    assert tree.findtext("a") is None
    assert tree.findtext("x", default="none") == "none"
    assert [each.text for each in tree.getroot().iter("{*}a")] == ["1", "2", "3"]
    assert tree.getroot().nsmap == {None: "u", "p": "v"}
    with pytest.raises(SyntaxError):
        tree.find("q:a")


def test_to_remove_an_element_leaves_the_text_behind_it() -> None:
    tree = xml.load(b"<a>1<b/>2<c/>3<!-- x -->4<d><e/>5</d></a>")
    root = tree.getroot()
    for element in (root.find("c"), root[2], root.find("b"), root.find("d/e")):
        xml.remove(element)
        assert (element.getparent(), element.tail) == (None, None)
    assert written(tree, declaration=False) == "<a>1234<d>5</d></a>"
    xml.remove(root.find("d"))
    assert written(tree, declaration=False) == "<a>1234</a>"
    with pytest.raises(ConfigError, match="parent"):
        xml.remove(root)


def test_what_stands_around_the_root_is_kept() -> None:
    data = (
        "<?xml version='1.0' encoding='UTF-8' standalone='yes'?>\n<!-- before --><?p x?>"
        '<!DOCTYPE a PUBLIC "-//X" "x.dtd" [\n<!ELEMENT a ANY>\n]>\n'
        '<a xmlns:q="urn:q"><b q:c="1"/>tail</a><!-- after --><?q?>'
    )
    tree = xml.load(data.encode())
    assert written(tree) == data
    assert written(tree, declaration=False) == data.partition("\n")[2]
    assert "standalone" not in written(xml.load(data.replace("'yes'", "'no'").encode()))
    assert "standalone" not in written(xml.load(b"<a/>"))
    assert "standalone='yes'" in written(tree, pretty=True)


@pytest.mark.parametrize(
    "encoding",
    ["utf-8", "utf-16", "utf-32", "iso-8859-1", "iso-8859-15", "windows-1252", "us-ascii", "koi8-r",
     "shift_jis", "euc-jp", "big5", "gb18030"],
)  # fmt: skip
def test_what_an_encoding_has_not_is_written_as_references(encoding: str) -> None:
    text = "ä€Я北😀<&>\r\x85\u2028"
    tree = xml.load(b"<a><b/></a>")
    tree.getroot().text = text
    tree.getroot()[0].set("c", text + "\n\t\"'")
    out = io.BytesIO()
    xml.write(tree, out, encoding=encoding)
    again = xml.load(out.getvalue()).getroot()
    assert (again.text, again[0].get("c")) == (text, text + "\n\t\"'")
    assert out.getvalue().count(b"&#") >= 2 or encoding in ("utf-8", "utf-16", "utf-32")


@pytest.mark.parametrize(
    "document", ["<ä/>", "<a>\n<b ä=''/></a>", "<a xmlns:ä='u'/>", "<a/><?ä?>", "<?a ä?><a/>"]
)
def test_what_an_encoding_has_not_where_no_reference_can_stand_is_refused(
    document: str, tmp_path: Path
) -> None:
    tree, path = xml.load(document.encode()), tmp_path / "x.xml"
    for encoding in ("iso-8859-1", "windows-1252", "utf-8", "utf-16"):
        xml.write(tree, path, encoding=encoding)
        assert etree.tostring(xml.load(path)) == etree.tostring(tree)
    before = path.read_bytes()
    for encoding in ("us-ascii", "koi8-r"):
        with pytest.raises(DataError, match=f"'ä'? cannot be written in {encoding}"):
            xml.write(tree, path, encoding=encoding)
    assert path.read_bytes() == before
    xml.write(xml.load("<!-- ä --><a>ä</a>".encode()), path, encoding="us-ascii")
    assert b"<a>&#228;</a>" in path.read_bytes()


@given(st.data())
def test_pretty_moves_white_space_only_where_it_means_nothing(data: st.DataObject) -> None:
    tree = xml.load(etree.tostring(data.draw(elements()), encoding="utf-8"))
    again = xml.load(written(tree, pretty=True).encode())
    for before, after in zip(tree.iter(), again.iter(), strict=True):
        assert (before.tag, dict(before.attrib)) == (after.tag, dict(after.attrib))
        texts = [before.text, *(each.tail for each in before)]
        if any(text and text.strip() for text in texts) or not len(before):
            assert [after.text, *(each.tail for each in after)] == texts
    assert written(again, pretty=True) == written(tree, pretty=True)


@given(st.data())
def test_canonical_forms_are_those_of_lxml(data: st.DataObject) -> None:
    document = etree.tostring(data.draw(elements()), encoding="utf-8")
    tree = xml.load(document)
    for form, options in {
        "1.0": {"method": "c14n"},
        "exclusive": {"method": "c14n", "exclusive": True},
        "2.0": {"method": "c14n2"},
    }.items():
        expected = etree.tostring(etree.fromstring(document), with_comments=False, **options)
        assert written(tree, canonical=form).encode() == expected
        assert written(xml.load(expected), canonical=form).encode() == expected


def test_canonical_1_0_is_xmllints(tmp_path: Path) -> None:
    xmllint = need("xmllint")
    path = tmp_path / "x.xml"
    path.write_bytes(ORDERS.encode().replace(b"<!-- today -->", b"<?p x?>"))
    for option, form in (("--c14n", "1.0"), ("--exc-c14n", "exclusive")):
        done = subprocess.run([xmllint, option, str(path)], capture_output=True, check=True, timeout=50)
        assert written(xml.load(path), canonical=form).encode() == done.stdout


def test_writing(tmp_path: Path) -> None:
    tree = xml.load(ORDERS.encode())
    path = tmp_path / "x.xml.gz"
    xml.write(tree, path)
    assert path.read_bytes()[:2] == b"\x1f\x8b"
    assert etree.tostring(xml.load(path)) == etree.tostring(tree)
    assert written(tree, declaration=False).startswith("<o:orders")
    assert written(tree.getroot()[1], declaration=False).startswith("<order xmlns")
    assert not written(tree.getroot()[1]).endswith("\n  ")
    latin = written(tree, encoding="iso-8859-1")
    assert latin.startswith("<?xml version='1.0' encoding='ISO-8859-1'?>")
    assert "Äpfel" in latin
    assert "&#196;" in written(tree, encoding="us-ascii")
    assert etree.tostring(xml.load(written(tree, encoding="utf-16").encode("utf-16"))) == etree.tostring(tree)
    with pytest.raises(ConfigError, match="klingon"):
        xml.write(tree, path, encoding="klingon")
    assert etree.tostring(xml.load(path)) == etree.tostring(tree)


def test_a_failed_write_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "x.xml"
    path.write_text("before")
    with pytest.raises(ConfigError):
        xml.write(xml.load(b"<a/>"), path, encoding="none such")
    with pytest.raises(ConfigError, match="canonical"):
        xml.write(xml.load(b"<a/>"), path, canonical="3.0")
    assert (path.read_text(), [each.name for each in tmp_path.iterdir()]) == ("before", ["x.xml"])


def test_pretty() -> None:
    tree = xml.load(
        b"<a><b><c>1</c><c/></b><p>one <i>two</i> <b>three<u/></b></p>"
        b"<q xml:space='preserve'> <r/></q><!-- x --></a>"
    )
    before = etree.tostring(tree)
    assert written(tree, pretty=True, declaration=False) == (
        "<a>\n  <b>\n    <c>1</c>\n    <c/>\n  </b>\n  <p>one <i>two</i> <b>three<u/></b></p>\n"
        '  <q xml:space="preserve"> <r/></q>\n  <!-- x -->\n</a>'
    )
    assert etree.tostring(tree) == before
    pretty = xml.load(written(tree, pretty=True).encode())
    assert written(pretty, pretty=True) == written(tree, pretty=True)


def test_canonical() -> None:
    tree = xml.load(
        b"<?xml version='1.0'?><!DOCTYPE a><a  z='1'\n b='&#10;\"'  xmlns:u='urn:u' xmlns:n='urn:n'>"
        b"<!-- x --><n:b></n:b><c/>&gt;<![CDATA[&]]></a>"
    )
    inclusive = '<a xmlns:n="urn:n" xmlns:u="urn:u" b="&#xA;&quot;" z="1"><n:b></n:b><c></c>&gt;&amp;</a>'
    assert written(tree, canonical="1.0") == inclusive
    exclusive = '<a b="&#xA;&quot;" z="1"><n:b xmlns:n="urn:n"></n:b><c></c>&gt;&amp;</a>'
    assert written(tree, canonical="exclusive") == exclusive
    assert written(tree, canonical=True) == written(tree, canonical="2.0") == exclusive


@given(st.data())
def test_the_tree_is_lxmls_at_any_chunking(data: st.DataObject) -> None:
    document = etree.tostring(data.draw(elements()), encoding=data.draw(st.sampled_from(("utf-8", "utf-16"))))
    tree = xml.load(data.draw(cut(document)))
    expected = etree.fromstring(document)
    assert etree.tostring(tree) == etree.tostring(expected)
    assert etree.tostring(xml.load(written(tree).encode())) == etree.tostring(expected)


# -- what comes from elsewhere


def test_external_entities_from_a_resolver(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "x.ent").write_text("<b>from outside</b>")
    (tmp_path / "in" / "x.dtd").write_text("<!ENTITY e SYSTEM 'x.ent'><!ATTLIST a c CDATA 'default'>")
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "in" / "link").symlink_to(tmp_path / "secret")
    document = tmp_path / "in" / "x.xml"
    document.write_text("<!DOCTYPE a SYSTEM 'x.dtd'><a>&e;</a>")
    resolver = xml.below(tmp_path / "in")
    tree = xml.load(document, allow={"external"}, resolver=resolver)
    assert (tree.findtext("b"), tree.getroot().get("c")) == ("from outside", "default")
    for url in (
        "../secret",
        "link",
        "../in/../secret",
        f"file://{tmp_path}/secret",
        "http://127.0.0.1:1/",
        "none",
    ):
        data = f"<!DOCTYPE a [<!ENTITY e SYSTEM '{url}'>]><a>&e;</a>".encode()
        with pytest.raises(DataError, match="is not read here"):
            xml.load(data, allow={"external"}, resolver=resolver)


X = "xmlns:x='http://www.w3.org/2001/XInclude'"


def including(content: str, files: dict[str, str], root: str = "a") -> Any:
    data = f"<{root} {X}>{content}</{root}>".encode()
    given = {name: text.encode() for name, text in files.items()}
    return xml.load(data, allow={"xinclude"}, resolver=given.get)


def test_xinclude_from_a_resolver() -> None:
    files = {"p.xml": f"<b {X}>1<x:include href='q.xml'/>2</b>", "q.xml": "<c/>", "t": "ä<"}
    assert xml.load(f"<a {X}><x:include href='p.xml'/></a>".encode()).find("b") is None
    for content, expected in {
        "0<x:include href='p.xml'/>3": "<a>0<b>1<c></c>2</b>3</a>",
        "0<x:include href='t' parse='text'/>1": "<a>0ä&lt;1</a>",
        "<d/>0<x:include href='t' parse='text'/>1<x:include href='q.xml'/>": "<a><d></d>0ä&lt;1<c></c></a>",
        "0<x:include href='no'><x:fallback>1<c/>2</x:fallback></x:include>3<d/>": "<a>01<c></c>23<d></d></a>",
        "<d/><x:include href='no'><x:fallback/></x:include>3": "<a><d></d>3</a>",
    }.items():
        tree = including(content, files)
        assert written(tree, canonical="exclusive") == expected, content
    root = xml.load(f"<x:include {X} href='q.xml'/>".encode(), allow="xinclude", resolver=lambda url: b"<c/>")
    assert root.getroot().tag == "c"


def test_xinclude_is_no_way_around(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("<secret/>")
    for name in ("none", f"{tmp_path}/secret", f"file://{tmp_path}/secret"):
        for form in ("", "parse='text'", "parse='text' encoding='utf-8'"):
            with pytest.raises(DataError, match=r"line 1: it refers to .*not read here"):
                including(f"<x:include href='{name}' {form}/>", {})
    for content, reason in {
        "<x:include href='p.xml'/>": "includes itself",
        "<x:include href='p.xml' xpointer='x'/>": "whole document",
        "<x:include/>": "whole document",
        "<x:include href='u' parse='text' encoding='none'/>": "is no text",
    }.items():
        with pytest.raises(DataError, match=reason):
            including(content, {"p.xml": f"<b {X}><x:include href='p.xml'/></b>", "u": "x"})
    ten = {number: f"<x:include href='{number + 1}'/>" * 10 for number in range(9)}
    bomb = {str(number): f"<b {X}>{content}</b>" for number, content in ten.items()} | {"9": "<c/>"}
    with pytest.raises(LimitExceeded, match="includes more than"):
        including("<x:include href='0'/>", bomb)
    chain = {str(number): f"<b {X}><x:include href='{number + 1}'/></b>" for number in range(900)}
    with pytest.raises(LimitExceeded, match="within each other"):
        including("<x:include href='0'/>", chain | {"900": "<c/>"})
    with pytest.raises(LimitExceeded, match="declares entities"):
        including("<x:include href='0'/>", {"0": "<!DOCTYPE b [<!ENTITY c 'd'>]><b>&c;</b>"})


def test_huge_parts_if_they_are_allowed() -> None:
    deep = b"<a>" * 1500 + b"</a>" * 1500
    assert xml.xpath(xml.load(deep, allow="huge"), "count(//a)") == 1500
    assert len(xml.load(b"<a>" + b"x" * 11_000_000 + b"</a>", allow={"huge"}).getroot().text) == 11_000_000
    assert sum(1 for _ in xml.records(deep, "a", allow={"huge"})) == 1500


def test_a_source_that_was_given_stays_open() -> None:
    given = source([b"<a/>", b" ", b""])
    assert xml.load(given).getroot().tag == "a"
    assert given.chunk() == b""
