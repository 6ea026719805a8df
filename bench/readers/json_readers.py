"""JSON: elements of a large array, lines, whole documents, and writing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from bench.readers import Kind


def _record(number: int) -> dict[str, Any]:
    """The element of that number: some text, some of it beyond ASCII, numbers and parts of its own."""
    return {
        "id": number,
        "name": f'Name {number} "q"' if number % 7 == 0 else f"Näme {number}",
        "tags": ["a", "b", "c"],
        "price": number * 1.25,
        "place": {"x": number, "y": -number},
        "text": "lorem ipsum dolor sit amet " * 3,
        "ok": True,
        "none": None,
    }


def _records(megabytes: float) -> Iterator[bytes]:
    number = size = 0
    while number == 0 or size < megabytes * 1e6:
        text = json.dumps(_record(number), ensure_ascii=False).encode()
        yield text
        number, size = number + 1, size + len(text) + 2


def write_array(path: Path, megabytes: float) -> None:
    """An object, one of whose values is a large array."""
    with path.open("wb") as file:
        file.write(b'{"meta": {"version": [1, 2, 3]}, "items": [')
        for number, text in enumerate(_records(megabytes)):
            file.write(b", " + text if number else text)
        file.write(b"]}")


def write_lines(path: Path, megabytes: float) -> None:
    """The same, one in a line."""
    with path.open("wb") as file:
        file.writelines(text + b"\n" for text in _records(megabytes))


# -- the readers: each gives the sum of all "id", of a file


def _summed(records: Iterable[Any]) -> int:
    return sum(record["id"] for record in records)


def _summed_typed(records: Iterable[Any]) -> int:
    return sum(record.id for record in records)


def _row() -> Any:
    import msgspec

    return msgspec.defstruct(
        "Row",
        [("id", int), ("name", str), ("tags", list[str]), ("price", float), ("place", dict[str, int]),
         ("text", str), ("ok", bool), ("none", int | None)],
    )  # fmt: skip


def _portico(name: str, *arguments: Any, typed: bool = False) -> Callable[[str], int]:
    def read(path: str) -> int:
        import portico.data.json as portico_json

        options = {"type": _row()} if typed else {}
        found = getattr(portico_json, name)(path, *arguments, **options)
        found = found["items"] if name == "load" else found
        if arguments == ("items[*].id",):
            return sum(found)
        return (_summed_typed if typed else _summed)(found)

    return read


def _ijson(path: str, where: str = "items.item") -> int:
    from ijson.backends import yajl2_c

    with open(path, "rb") as file:
        found = yajl2_c.items(file, where, use_float=True)
        return sum(found) if where.endswith("id") else _summed(found)


def _json_load(path: str) -> int:
    with open(path, "rb") as file:
        return _summed(json.load(file)["items"])


def _msgspec_load(path: str) -> int:
    import msgspec

    return _summed(msgspec.json.decode(Path(path).read_bytes())["items"])


def _msgspec_load_typed(path: str) -> int:
    import msgspec

    document = msgspec.defstruct("Document", [("items", list[_row()])])
    return _summed_typed(msgspec.json.decode(Path(path).read_bytes(), type=document).items)


def _msgspec_lines(path: str, *, typed: bool = False) -> int:
    import msgspec

    decoder = msgspec.json.Decoder(_row() if typed else Any)
    with open(path, "rb") as file:
        return (_summed_typed if typed else _summed)(decoder.decode(line) for line in file)


def _json_lines(path: str) -> int:
    with open(path, "rb") as file:
        return _summed(json.loads(line) for line in file)


def _some(path: str) -> list[Any]:
    """Records to write: reading them is measured, too, alike for all."""
    with open(path, "rb") as file:
        return [json.loads(line) for line in file]


def _write_msgspec(path: str) -> int:
    import msgspec

    records = _some(path)
    encoder = msgspec.json.Encoder()
    with open("/dev/null", "wb") as file:
        file.writelines(encoder.encode(record) + b"\n" for record in records)
    return _summed(records)


def _write_json(path: str) -> int:
    records = _some(path)
    with open("/dev/null", "w", encoding="utf-8") as file:
        file.writelines(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
    return _summed(records)


def _write_portico(path: str) -> int:
    from portico.data.json import write_lines

    records = _some(path)
    write_lines(records, "/dev/null")
    return _summed(records)


KINDS = {
    "elements of an array of JSON": Kind(
        write_array,
        {
            "ijson yajl2_c": _ijson,
            "portico": _portico("records", "items[*]"),
            "json, whole": _json_load,
            "msgspec, whole": _msgspec_load,
        },
        flat="portico",
    ),
    "one field of each element": Kind(
        write_array,
        {
            "ijson yajl2_c": lambda path: _ijson(path, "items.item.id"),
            "portico": _portico("records", "items[*].id"),
        },
    ),
    "typed elements": Kind(
        write_array,
        {"msgspec, whole": _msgspec_load_typed, "portico": _portico("records", "items[*]", typed=True)},
    ),
    "typed lines of JSON": Kind(
        write_lines,
        {
            "msgspec by hand": lambda path: _msgspec_lines(path, typed=True),
            "portico": _portico("lines", typed=True),
        },
        flat="portico",
    ),
    "lines of JSON": Kind(
        write_lines,
        {"msgspec by hand": _msgspec_lines, "json by hand": _json_lines, "portico": _portico("lines")},
    ),
    "a whole document of JSON": Kind(
        write_array, {"msgspec": _msgspec_load, "json": _json_load, "portico": _portico("load")}
    ),
    "lines read by json and written": Kind(
        write_lines,
        {"msgspec by hand": _write_msgspec, "json by hand": _write_json, "portico": _write_portico},
    ),
}
