"""Data as it arrives: CSV, HTML, XML and JSON from any source, bounded and safe.

``source`` and ``sink`` are where it comes from and goes to; ``read`` and ``write`` find the format. Each
format has a module of its own: ``portico.data.csv``, ``html``, ``xml``, ``json``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

__all__ = ["Format", "Sink", "Source", "format_names", "read", "register_format", "sink", "source", "write"]

if TYPE_CHECKING:
    from portico.data.formats import Format, format_names, read, register_format, write
    from portico.data.sinks import Sink, sink
    from portico.data.sources import Source, source
else:
    # Whoever needs one format, or a page's tree, does not wait for the rest.
    _PLACES = dict.fromkeys(("Format", "format_names", "read", "register_format", "write"), "formats")
    _PLACES |= dict.fromkeys(("Sink", "sink"), "sinks") | dict.fromkeys(("Source", "source"), "sources")

    def __getattr__(name: str) -> object:
        if name not in _PLACES:
            raise AttributeError(f"module 'portico.data' has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(f"portico.data.{_PLACES[name]}"), name)
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
