"""Values as JSON, by msgspec where that is there and knows them, else by hand, by the same rules.

Dates and times are text (RFC 3339), ``Decimal`` is a number with all of its digits, bytes are text in base64,
UUIDs are text, enumerations their values, sets and tuples arrays; dataclasses, ``Struct`` and attrs classes
are objects. Keys are text, or what stands for it (numbers, dates, UUIDs, bytes, enumerations of those). NaN
and infinity are refused, also as keys, and so is what is deeper than ``Limits.json_depth``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from decimal import Decimal
from functools import partial
from importlib import import_module
from typing import Any, TypedDict, Unpack

from portico.data.json.by_hand import DEPTH, Path, by_hand
from portico.data.json.depth import deeper
from portico.data.sinks import Sink, sink

__all__ = ["write", "write_json", "write_lines"]

_BEYOND_ASCII = re.compile(r"[^\x00-\x7f]")
_TELLING = bytes(set(range(256)) - set(b'{,:"'))
_BARE_KEY = re.compile(rb"[{,]-?(?:[0-9]|s?NaN|Infinity)[-+.0-9E]*:")
"""How it writes keys that are Decimals, which is no JSON: without quotes. In a string it may be anything."""


class Options(TypedDict, total=False):
    """``sort``: keys in order of their characters. ``ascii``: nothing but ASCII, the rest as ``\\u00e4``."""

    sort: bool
    ascii: bool


def write(value: Any, where: Any, *, indent: int | None = None, **options: Unpack[Options]) -> None:
    """Write one document to anything that ``sink`` takes; a line end follows.

    ``indent``: spaces for each level; without it, all is in one line. Raises ``DataError`` with the path of a
    value that has no JSON, and leaves a file as it was; ``OSError``; ``ConfigError``.
    """
    encode = _encoder(indent=indent, **options)
    with _open(where) as out:
        out.write(encode(value, ()))
        out.write(b"\n")


def write_lines(records: Iterable[Any], where: Any, **options: Unpack[Options]) -> None:
    """Write JSON Lines: a line for each record, as they come. Raises as ``write``, whose paths begin with the
    number of the record, from 0."""
    encode = _encoder(**options)
    with _open(where) as out:
        for index, record in enumerate(records):
            out.write(encode(record, (index,)) + b"\n")


def write_json(
    records: Iterable[Any], where: Any, *, indent: int | None = None, **options: Unpack[Options]
) -> None:
    """Write one array, an element for each record, as they come. Raises as ``write``."""
    encode = _encoder(indent=indent, **options)
    margin = b" " * (indent or 0)
    with _open(where) as out:
        out.write(b"[")
        index = -1
        for index, record in enumerate(records):
            text = encode(record, (index,))
            if indent is not None:
                text = text.replace(b"\n", b"\n" + margin)
            out.write(b"%s\n%s%s" % (b"," if index else b"", margin, text))
        out.write(b"]\n" if index < 0 else b"\n]\n")


def _open(where: Any) -> AbstractContextManager[Sink]:
    out = sink(where)
    return nullcontext(out) if out is where else out


def _encoder(
    *,
    indent: int | None = None,
    sort: bool = False,
    ascii: bool = False,  # noqa: A002
) -> Callable[[Any, Path], bytes]:
    """What makes bytes of a value, which is at a path."""
    slowly = partial(by_hand, sort=sort, ascii=ascii, indent=indent)
    try:
        msgspec: Any = import_module("msgspec")
    except ImportError:
        return slowly
    made = msgspec.json.Encoder(decimal_format="number", order="sorted" if sort else None)

    def encode(value: Any, path: Path) -> bytes:
        try:
            text: bytes = made.encode(value)
        except (TypeError, ValueError, RecursionError, OverflowError):
            return slowly(value, path)
        if _doubtful(text) or not _finite(msgspec, value, text):
            return slowly(value, path)  # which does it right, or names the place
        if indent is not None:
            text = msgspec.json.format(text, indent=indent)
        return _ascii(text) if ascii else text

    return encode


def _doubtful(text: bytes) -> bool:
    """Whether it may have keys that msgspec should not write, or may be too deep."""
    marks = text.translate(None, _TELLING)  # much faster than to search all of it
    if (b"{:" in marks or b",:" in marks) and _BARE_KEY.search(text) is not None:
        return True
    # Thus it writes keys that are floats and no numbers.
    return b'"nan":' in text or b'inf":' in text or deeper(text, DEPTH)


def _finite(msgspec: Any, value: Any, text: bytes) -> bool:
    """Whether all numbers in there are some: as text, those that are none look like None."""
    odd = b"NaN" in text or b"Infinity" in text  # Decimals, or text
    if not odd and (b"null" not in text or _packs_finite(msgspec, value)):
        return True
    plain = msgspec.to_builtins(value, builtin_types=(Decimal,))
    try:
        json.dumps(plain, allow_nan=False, default=_finite_decimal)
    except (ValueError, TypeError):
        return False
    return True


def _packs_finite(msgspec: Any, value: Any) -> bool:
    """The same of floats, fast, by how MessagePack writes them: 0xCB, and then eight bytes as in memory;
    ``False`` may mean something else."""
    try:
        packed = msgspec.msgpack.encode(value)
    except (TypeError, ValueError, RecursionError, OverflowError):
        return False
    return b"\xcb\x7f" not in packed and b"\xcb\xff" not in packed


def _finite_decimal(value: Decimal) -> None:
    if not value.is_finite():
        raise ValueError(value)


def _ascii(text: bytes) -> bytes:
    return text if text.isascii() else _BEYOND_ASCII.sub(_escaped, text.decode()).encode()


def _escaped(found: re.Match[str]) -> str:
    return json.dumps(found[0])[1:-1]
