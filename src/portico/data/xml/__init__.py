"""XML from any source: events, trees, and the elements of a document one by one, safe and bounded.

::

    for item in xml.records("https://example.org/dump.xml.gz", "item"):
        print(item.findtext("title"))

A document may be larger than memory for ``events`` and ``records``. What a hostile one could do is refused
unless it is allowed by name: ``allow={"entities"}`` expands those that it declares, ``"external"`` and
``"xinclude"`` take other files, from a ``resolver`` of the caller only, ``"huge"`` lifts libxml2's bounds of
depth and of the size of parts. Limits are those of the source: ``source(x, limits=Limits(xml_record=…))``.
"""

from __future__ import annotations

from portico.data.xml.event import Event
from portico.data.xml.format import read_xml
from portico.data.xml.parser import events, handle
from portico.data.xml.safety import below
from portico.data.xml.schemas import transform, validate
from portico.data.xml.streaming import records
from portico.data.xml.trees import load, remove, write, xpath
from portico.data.xml.writing import write_xml

__all__ = [
    "Event",
    "below",
    "events",
    "handle",
    "load",
    "read_xml",
    "records",
    "remove",
    "transform",
    "validate",
    "write",
    "write_xml",
    "xpath",
]
