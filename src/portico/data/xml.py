"""XML from any source: events, trees, and the elements of a document one by one, safe and bounded.

::

    for item in xml.records("https://example.org/dump.xml.gz", "item"):
        print(item.findtext("title"))

What a hostile document could do is refused unless it is allowed by name: see ``xml_safety``. A document may
be larger than memory for ``events`` and ``records``.
"""

from __future__ import annotations

from portico.data.xml_events import Event, events, handle
from portico.data.xml_format import read_xml
from portico.data.xml_records import records
from portico.data.xml_safety import below
from portico.data.xml_schemas import transform, validate
from portico.data.xml_trees import load, write, xpath
from portico.data.xml_writing import write_xml

__all__ = [
    "Event",
    "below",
    "events",
    "handle",
    "load",
    "read_xml",
    "records",
    "transform",
    "validate",
    "write",
    "write_xml",
    "xpath",
]
