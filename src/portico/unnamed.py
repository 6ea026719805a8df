"""A file without a name: common memory of processes that inherit its descriptor."""

from __future__ import annotations

import os
import tempfile

__all__ = ["unnamed_file"]


def unnamed_file(label: str, size: int) -> int:
    """The descriptor of a new file of ``size`` zero bytes; whoever calls closes it. ``label`` is what the
    system shows for it, where it shows one. Raises ``OSError``."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create(label)
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.truncate(descriptor, size)
    return descriptor
