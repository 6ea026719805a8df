"""The body of a request: made of items, given as it is, or piped in."""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from portico.cli.fetch_items import Item
from portico.cli.fetch_stdin import piped
from portico.errors import ConfigError

__all__ = ["body_of"]

_FORM = "application/x-www-form-urlencoded"
_JSON = "application/json"


def body_of(items: Sequence[Item], options: dict[str, Any]) -> tuple[Any, str | None]:
    """The body and its type; ``None`` twice without one. Raises ``ConfigError``."""
    fields = [item for item in items if item.kind in ("=", ":=")]
    files = [item for item in items if item.kind == "@"]
    if options["raw"] is not None and (fields or files):
        raise ConfigError("a request has one body: --raw, or items that make one")
    if any(not item.name for item in files):
        return _whole(files, fields)
    if files or (options["multipart"] and fields):
        from portico.client.multipart import multipart

        form = multipart(_form(fields), [(item.name, _upload(item)) for item in files])
        return form, form.content_type
    if fields:
        return _of_fields(fields, options["form"])
    plain = _given(options)
    return plain, None if plain is None else _FORM if options["form"] else _JSON


def _of_fields(fields: Sequence[Item], form: bool) -> tuple[Any, str]:
    from portico.client.body import BytesBody

    if form:
        from portico.client.params import urlencoded

        return BytesBody(urlencoded(_form(fields)).encode()), _FORM
    from portico.cli.fetch_nested import nested

    pairs = [(item.name, item.read_json() if item.kind == ":=" else item.read()) for item in fields]
    try:
        return BytesBody(json.dumps(nested(pairs)).encode()), _JSON
    except RecursionError:
        raise ConfigError("the items make a document that is nested too deep") from None


def _form(fields: Sequence[Item]) -> list[tuple[str, str]]:
    return [(item.name, item.read() if item.kind == "=" else _plain(item)) for item in fields]


def _plain(item: Item) -> str:
    """A value of JSON as text of a form."""
    value = item.read_json()
    if value is None or isinstance(value, (list, dict)):
        raise ConfigError(f"item {item.text!r}: a form has texts, numbers, true and false only")
    return value if isinstance(value, str) else json.dumps(value)


# -- files


def _whole(files: Sequence[Item], fields: Sequence[Item]) -> tuple[Any, str]:
    """A file that is the body."""
    if len(files) > 1 or fields:
        raise ConfigError(
            "an item @FILE is the whole body, beside which there are no fields; NAME@FILE is one"
        )
    from portico.client.encode import encode_body

    path, kind = _path(files[0])
    return encode_body(data=_content(files[0], path)), kind or _guessed(path.name)


def _upload(item: Item) -> tuple[str, Any, str | None]:
    path, kind = _path(item)
    return path.name, _content(item, path), kind


def _path(item: Item) -> tuple[Path, str | None]:
    path, _, kind = item.value.partition(";type=")
    try:
        return Path(path).expanduser(), kind or None
    except RuntimeError as error:
        raise ConfigError(f"item {item.text!r}: {error}") from None


def _content(item: Item, path: Path) -> Any:
    """A file to be read when it is sent; of a pipe, what comes out of it."""
    from portico.client.multipart import PathBody

    try:
        if stat.S_ISFIFO(os.stat(path).st_mode):
            return path.read_bytes()
        with open(path, "rb"):
            pass
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise ConfigError(f"item {item.text!r}: cannot read {str(path)!r}: {why}") from None
    return path if item.name else PathBody(os.fspath(path))


def _guessed(name: str) -> str:
    import mimetypes

    return mimetypes.guess_type(name)[0] or "application/octet-stream"


# -- as it is


def _given(options: dict[str, Any]) -> Any:
    """``--raw``, or what is piped into us; nothing piped is no body."""
    from portico.client.body import BytesBody

    if options["raw"] is not None:
        return BytesBody(options["raw"].encode("utf-8", "surrogateescape"))
    if options["ignore_stdin"] or sys.stdin is None or sys.stdin.isatty():
        return None
    return piped(sys.stdin.buffer, options["chunked"], options["timeout"])
