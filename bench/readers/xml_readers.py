"""XML: elements one by one, events, whole trees, beside lxml and etree by hand."""

from __future__ import annotations

from pathlib import Path

from bench.readers import Kind


def write_catalogue(path: Path, megabytes: float) -> None:
    """Elements with attributes, children and text."""
    with path.open("wb") as file:
        file.write(b'<?xml version="1.0"?>\n<catalog>\n')
        number = 0
        while number == 0 or file.tell() < megabytes * 1_000_000:
            file.write("".join(_item(each) for each in range(number, number + 100)).encode())
            number += 100
        file.write(b"</catalog>\n")


def _item(number: int) -> str:
    return (
        f'  <item id="{number}" kind="k{number % 7}"><name>Thing nümber {number}</name>'
        f'<price currency="EUR">{number * 0.37:.2f}</price><tags><tag>a{number % 13}</tag>'
        f"<tag>b{number % 17}</tag></tags><text>{'lorem ipsum dolor sit amet ' * 6}</text></item>\n"
    )


def ours(path: str) -> int:
    """``xml.records``."""
    from portico.data import xml

    return sum(len(item.findtext("name")) for item in xml.records(path, "item"))


def ours_of_a_place(path: str) -> int:
    """``xml.records``, of elements that stand in a certain place."""
    from portico.data import xml

    return sum(len(item.findtext("name")) for item in xml.records(path, "/catalog/item"))


def lxml_by_hand(path: str) -> int:
    """The loop of lxml's own documentation."""
    from lxml import etree

    size = 0
    for _, item in etree.iterparse(path, events=("end",), tag="item"):
        size += len(item.findtext("name"))
        item.clear()
        while item.getprevious() is not None:
            del item.getparent()[0]
    return size


def etree_by_hand(path: str) -> int:
    """The standard library, whose root is cleared with each element."""
    from xml.etree import ElementTree as ET

    size = 0
    found = ET.iterparse(path, events=("start", "end"))
    _, root = next(found)
    for event, item in found:
        if event == "end" and item.tag == "item":
            size += len(item.findtext("name") or "")
            root.clear()
    return size


def our_dicts(path: str) -> int:
    """``xml.records`` as dicts."""
    from portico.data import xml

    return sum(len(item["name"]) for item in xml.records(path, "item", as_="dict"))


def dicts_by_hand(path: str) -> int:
    """The same dicts from lxml, for this one document: its shape is known."""
    from lxml import etree

    size = 0
    for _, item in etree.iterparse(path, events=("end",), tag="item"):
        record = {f"@{name}": value for name, value in item.items()}
        for child in item:
            if len(child):
                record[child.tag] = {child[0].tag: [each.text or "" for each in child]}
            elif child.attrib:
                named = {f"@{name}": value for name, value in child.items()}
                record[child.tag] = {**named, "#text": child.text}
            else:
                record[child.tag] = child.text or ""
        size += len(record["name"])
        item.clear()
        while item.getprevious() is not None:
            del item.getparent()[0]
    return size


def our_events(path: str) -> int:
    """``xml.events``."""
    from portico.data import xml

    return sum(len(event.text) for event in xml.events(path) if event.kind == "text")


def events_by_hand(path: str) -> int:
    """expat, with what an event has: name, attributes, text, line, column."""
    from xml.parsers import expat

    size, found = 0, []
    parser = expat.ParserCreate(namespace_separator="}")

    def put(kind: str, *what: object) -> None:
        found.append((kind, *what, parser.CurrentLineNumber, parser.CurrentColumnNumber))

    parser.StartElementHandler = lambda name, attributes: put("start", name, attributes)
    parser.EndElementHandler = lambda name: put("end", name)
    parser.CharacterDataHandler = lambda text: put("text", text)
    with open(path, "rb") as file:
        while data := file.read(1 << 16):
            parser.Parse(data, False)
            size += sum(len(event[1]) for event in found if event[0] == "text")
            found.clear()
        parser.Parse(b"", True)
    return size


def events_by_lxml(path: str) -> int:
    """An object that lxml calls, without lines."""
    from lxml import etree

    class Target:
        size = 0

        def start(self, name: str, attributes: object) -> None:
            pass

        def end(self, name: str) -> None:
            pass

        def data(self, text: str) -> None:
            self.size += len(text)

        def close(self) -> int:
            return self.size

    return int(etree.parse(path, etree.XMLParser(target=Target(), resolve_entities=False)))


def our_tree(path: str) -> int:
    """``xml.load``."""
    from portico.data import xml

    return len(xml.load(path).getroot())


def tree_of_lxml(path: str) -> int:
    """``lxml.etree.parse``."""
    from lxml import etree

    return len(etree.parse(path).getroot())


def tree_of_etree(path: str) -> int:
    """``xml.etree.ElementTree.parse``."""
    from xml.etree import ElementTree as ET

    return len(ET.parse(path).getroot())


KINDS = {
    "records of XML": Kind(
        write_catalogue,
        {
            "lxml.iterparse": lxml_by_hand,
            "etree.iterparse": etree_by_hand,
            "portico": ours,
            "portico, /catalog/item": ours_of_a_place,
        },
        flat="portico",
    ),
    "dicts of XML": Kind(
        write_catalogue, {"lxml, this shape only": dicts_by_hand, "portico": our_dicts}, flat="portico"
    ),
    "events of XML": Kind(
        write_catalogue,
        {"expat": events_by_hand, "lxml target": events_by_lxml, "portico": our_events},
        flat="portico",
    ),
    "trees of XML": Kind(
        write_catalogue, {"lxml": tree_of_lxml, "etree": tree_of_etree, "portico": our_tree}
    ),
}
