"""Names that others have chosen, made into names that files can have."""

from __future__ import annotations

__all__ = ["safe_name"]

_RESERVED = frozenset('<>:"|?*/\\')
_DEVICES = frozenset(
    [
        "con",
        "conin$",
        "conout$",
        "prn",
        "aux",
        "nul",
        *(f"{port}{n}" for port in ("com", "lpt") for n in "123456789¹²³"),
    ]
)


def safe_name(filename: str, otherwise: str = "upload", most: int = 255) -> str:
    """A name that can be a file's on any system, close to what ``filename`` says; ``otherwise``, if nothing
    is left.

    Only what follows the last slash or backslash counts. Control and other invisible characters, and
    those that some system reserves, become ``_``; leading dots go, as they would hide the file; names of
    devices get a ``_``. Two files may get the same: see that they do not overwrite one another.
    ``most``: bytes of it; common file systems take 255.
    """
    import unicodedata  # a megabyte that most programs never need

    last = unicodedata.normalize("NFC", filename).replace("\\", "/").rpartition("/")[2]
    unwanted = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
    kept = ["_" if each in _RESERVED or unicodedata.category(each) in unwanted else each for each in last]
    name = "".join(kept).lstrip(". ").rstrip(". ")
    if name.partition(".")[0].rstrip().lower() in _DEVICES:
        name = f"_{name}"
    return _shortened(name, most) or otherwise


def _shortened(name: str, most: int) -> str:
    """At most ``most`` bytes of it, its suffix kept where that is short."""
    if len(name.encode()) <= most:
        return name
    stem, dot, suffix = name.rpartition(".")
    if not stem or len(suffix.encode()) > 32:
        stem, dot, suffix = name, "", ""
    room = most - len((dot + suffix).encode())
    return stem.encode()[:room].decode(errors="ignore").rstrip(". ") + dot + suffix
