"""What is loaded when it is needed, by the name of its module: floors below may not know those above.

The package itself, which may know all of them, enters the names.
"""

from __future__ import annotations

__all__ = ["OPENERS", "WIRES"]

WIRES: list[str] = []
"""Modules that call ``register_wire`` when they are imported; a server loads them before it chooses one."""
OPENERS: list[str] = []
"""The module whose ``open(url)`` opens URLs, for what reads from anywhere."""
