"""From the arguments of a request to its body: ``data=``, ``json=`` and ``files=``, as ``requests`` knows
them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from portico.client.body import Body, BytesBody, PiecesBody, file_body
from portico.client.params import encoded, urlencoded
from portico.errors import ConfigError

__all__ = ["encode_body"]

FORM = "application/x-www-form-urlencoded"


def encode_body(*, data: Any = None, json: Any = None, files: Any = None) -> Body | None:
    """The body; ``None`` when all of them are ``None``.

    ``data``: a mapping or pairs (a form), bytes, text (UTF-8), an open file, an iterable of bytes (sent in
    chunks), or a function that gives such an iterable (so that it can be sent again). ``json``: what
    msgspec, or else the ``json`` of Python, can write; NaN is refused. ``files``: see ``multipart``. Raises
    ``ConfigError``.
    """
    if json is not None:
        if data is not None or files is not None:
            raise ConfigError("a request has one body: give json=, or data= with or without files=")
        return BytesBody(_json(json), "application/json")
    if files:
        from portico.client.multipart import multipart

        return multipart(data, files)
    return None if data is None else _data(data)


def _data(data: Any) -> Body:
    if isinstance(data, (bytes, bytearray, memoryview)):
        return BytesBody(data)
    if isinstance(data, str):
        return BytesBody(encoded(data, "data"))
    if isinstance(data, Mapping) or (isinstance(data, (list, tuple)) and _are_pairs(data)):
        return BytesBody(urlencoded(data).encode(), FORM)
    if isinstance(getattr(data, "replayable", None), bool):
        body: Body = data
        return body
    if hasattr(data, "read"):
        return file_body(data)
    if callable(data) or hasattr(data, "__iter__"):
        return PiecesBody(data)
    raise ConfigError(
        f"data={data!r:.60}: expected a mapping or pairs, bytes, text, a file, or an iterable of bytes"
    )


def _are_pairs(data: list[Any] | tuple[Any, ...]) -> bool:
    return all(isinstance(pair, (tuple, list)) for pair in data)


def _json(value: Any) -> bytes:
    try:
        return _by_json(value)
    except (TypeError, ValueError, RecursionError, OverflowError) as error:
        raise ConfigError(f"json=: cannot be written as JSON: {error}") from None


def _by_json(value: Any) -> bytes:
    from json import dumps

    separators = (",", ":")
    return dumps(value, allow_nan=False, ensure_ascii=False, separators=separators, default=_plain).encode()


def _plain(value: Any) -> Any:
    """What JSON has no word for (a dataclass, a date …), as msgspec would write it."""
    try:
        import msgspec
    except ImportError:
        raise TypeError(f"nobody here knows how to write {type(value).__name__}") from None
    return msgspec.to_builtins(value)
