"""JSON that is meant to harm: refused with a clear error, in bounded memory and bounded work."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import chain, repeat
from typing import Any

import msgspec
import pytest

from portico.data.json import documents, lines, load, records
from portico.data.json.depth import deeper, value_deeper
from portico.errors import DataError, LimitExceeded
from portico.limits import Limits

DEEP = 1_000_000
READERS: dict[str, Callable[..., Any]] = {
    "load": load,
    "load, checked": lambda what, **options: load(what, type=Any, **options),
    "load, with care": lambda what, **options: load(what, duplicates="error", **options),
    "lines": lambda what, **options: list(lines(what, **options)),
    "documents": lambda what, **options: list(documents(what, **options)),
    "records": lambda what, **options: list(records(what, "$[*]", **options)),
    "records, passed over": lambda what, **options: list(records(what, "$[*].y", **options)),
}


class Tree(msgspec.Struct):
    a: list[Tree] = []


def nested(depth: int, opening: str = "[", closing: str = "]", middle: str = "") -> bytes:
    return (opening * depth + middle + closing * depth).encode()


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    "data",
    [
        nested(DEEP),
        nested(DEEP, "[", ""),
        nested(DEEP, '{"x":', "}", "1"),
        nested(DEEP, '[{"x":', "}]", "1"),
        b"[" + nested(DEEP) + b"]",
        b'[{"x": ' + nested(DEEP) + b"}]",
        nested(600),
        nested(600, '{"x":', "}", '"["'),
        nested(4000, "[1,", "]", "1"),
    ],
    ids=["arrays", "only opened", "objects", "both", "an element", "a value", "a few", "few objects", "some"],
)
def test_too_deep_is_refused_and_the_process_lives(reader: str, data: bytes) -> None:
    with pytest.raises((LimitExceeded, DataError)) as caught:
        READERS[reader](data)
    if data[-1:] in b"]}" and not isinstance(caught.value, DataError):
        assert caught.value.limit == "json_depth"
        assert "deep" in str(caught.value) or "in each other" in str(caught.value)
    assert len(str(caught.value)) < 5000


def test_depth_counts_brackets_and_not_what_looks_like_them() -> None:
    assert load(nested(512)) == json.loads(nested(512))
    with pytest.raises(LimitExceeded) as caught:
        load(nested(513))
    assert caught.value.limit == "json_depth"
    many = [["[" * 1000 + "{" * 1000]] * 1000
    data = json.dumps(many).encode()
    assert load(data) == many
    assert list(records(data)) == many
    assert list(lines(data)) == [many]
    for read_it in (load, lambda what, **options: list(records(what, **options))):
        assert read_it(b"[[[[1]]]]", limits=Limits(json_depth=4))
        with pytest.raises(LimitExceeded, match="more than 3"):
            read_it(b"[" + nested(4) + b"]", limits=Limits(json_depth=3))
    elements = b"[" + b",".join([b'{"a": 1}'] * 5000 + [nested(600)] + [b'{"a": 1}'] * 5000) + b"]"
    found: list[Any] = []
    with pytest.raises(LimitExceeded):
        found.extend(records(elements))
    assert found == [{"a": 1}] * 5000
    with pytest.raises(LimitExceeded, match="line 3"):
        list(lines(b"1\n2\n" + nested(600)))
    with pytest.raises((LimitExceeded, DataError)):
        load(nested(DEEP, '{"a": [', "]}"), type=Tree)


class Chain(msgspec.Struct):
    x: Chain | None = None


@pytest.mark.parametrize("reader", [each for each in READERS if each != "records, passed over"])
@pytest.mark.parametrize("kind", [None, Any, Chain, dict[str, Any]], ids=str)
def test_depth_is_the_same_with_and_without_types(reader: str, kind: Any) -> None:
    for depth in (512, 513, 800, 5000):
        data = nested(depth, '{"x":', "}", "null")
        text = b"[" + data + b"]" if reader == "records" else data
        wanted = {"type": kind} if kind is not None and reader != "load, checked" else {}
        if depth == 512:
            READERS[reader](text, **wanted)
            continue
        with pytest.raises(LimitExceeded, match=r"deep|in each other") as caught:
            READERS[reader](text, **wanted)
        assert caught.value.limit == "json_depth"


SMALL_STACK = """
import sys, threading
from typing import Any
from portico.data.json import documents, lines, load, records, write
from portico.errors import DataError, LimitExceeded

def reading(deep):
    for read in (load, lambda *a, **o: list(lines(*a, **o)), lambda *a, **o: list(documents(*a, **o)),
                 lambda d, **o: list(records(b"[1," + d + b"]", **o)),
                 lambda d, **o: list(records(d, "x.*"))):
        for kind in (None, Any, dict[str, Any]):
            for depth in (513, 900, 100_000):
                try:
                    read(b'{"x":' * depth + b"1" + b"}" * depth, type=kind)
                except (LimitExceeded, DataError) as error:
                    told.append(type(error))

def writing(deep):
    loop = []
    loop.append({"x": loop})
    try:
        write(loop, sys.stdout.buffer)
    except DataError as error:
        told.append(str(error))

told = []
"""
WAYS = {
    "thread": "threading.stack_size(1 << 18)\nt = threading.Thread(None, {}, None, [0])\nt.start()\nt.join()",
    "greenlet": "import greenlet\ngreenlet.greenlet({}).switch(0)",
    "aio": "import asyncio, portico.aio\nasyncio.run(portico.aio.run({}, 0))",
}


@pytest.mark.parametrize("way", WAYS)
def test_where_stacks_are_small_the_process_lives(way: str) -> None:
    told = f"{WAYS[way].format('reading')}\nprint(len(told))\n"
    if way != "thread" or sys.version_info[:2] != (3, 13):
        # 3.13 lets C go down 10,000 levels, wherever it runs; and a value has no text to look at first.
        told += f"{WAYS[way].format('writing')}\nprint(told[-1][-60:])"
    done = subprocess.run(
        [sys.executable, "-c", f"{SMALL_STACK}\n{told}"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("42\n")  # of 513 levels, what is at x.* has no more than 511
    assert ("writing" in told) == ("512 deep" in done.stdout)


def test_brackets_in_strings_are_none_however_they_are_escaped() -> None:
    texts = ['"["', r'"\\"', r'"\"["', r'"\\\"{"', '""', '"{[" , "]}"', '"é["', r'"\u005b["']
    for text in texts:
        for levels in (1, 2, 9, 20):
            data = "[" * levels + ",".join([text] * 3) + "]" * levels
            assert not deeper(data, levels)
            assert not deeper(data.encode(), levels)
            assert deeper(data, levels - 1)
            assert value_deeper(data, 0, levels - 1)
            assert not value_deeper(data + data, 0, levels)


def test_a_deep_stack_of_the_caller_is_no_crash() -> None:
    def down(levels: int) -> Any:
        return down(levels - 1) if levels else load(nested(500))

    if sys.version_info >= (3, 12):  # C has a depth of its own there
        assert down(sys.getrecursionlimit() - 400)
        return
    with pytest.raises(LimitExceeded, match="interpreter allows"):
        down(sys.getrecursionlimit() - 400)


@pytest.mark.parametrize("sign", [b"", b"-"])
def test_digits_are_bounded(sign: bytes) -> None:
    for read_it in READERS.values():
        if read_it is READERS["records, passed over"]:
            continue
        with pytest.raises(LimitExceeded, match="4300 digits in line 1, column 2") as caught:
            read_it(b"[" + sign + b"9" * 4301 + b"]" if read_it is not READERS["records"] else _element(sign))
        assert caught.value.limit == "json_digits"
    assert load(b"[" + sign + b"9" * 4300 + b"]") == [int(sign + b"9" * 4300)]
    assert load(b"9" * 20_000, limits=Limits(json_digits=20_000)) == 10**20_000 - 1
    with pytest.raises(LimitExceeded):
        load(b"9" * 11, limits=Limits(json_digits=10))
    for kind in (int, Any, str):
        with pytest.raises(LimitExceeded, match="digits"):
            load(b"[" + b"9" * 1_000_000 + b"]", type=list[kind])  # type: ignore[valid-type]
    assert load(b"[" + b"9" * 6000 + b"]", type=list[int], limits=Limits(json_digits=6000)) == [10**6000 - 1]


def _element(sign: bytes) -> bytes:
    return b"[[" + sign + b"9" * 4301 + b"]]"


def test_long_fractions_take_no_long_time() -> None:
    text = b"0." + b"9" * 2_000_000
    assert load(text) == 1.0
    assert load(text + b"e-400", allow_nan=True) == 0.0
    assert len(str(load(text, numbers="decimal"))) == len(text)
    with pytest.raises(DataError, match="more than a float"):
        load(b"1" + text[2:] + b".5")


def test_a_million_keys_and_a_long_string() -> None:
    keys = ",".join(f'"k{n}": {n}' for n in range(1_000_000))
    data = f"{{{keys}}}".encode()
    assert len(load(data)) == 1_000_000
    few = data[: data.index(b'"k99999"')] + b'"":0}'
    assert sum(records(few, "$.*")) == sum(range(99_999))
    with pytest.raises(DataError, match="there before"):
        load(data[:-1] + b', "k5": 1}', duplicates="error")
    long = b'["' + b"x" * 5_000_000 + b'"]'
    assert len(load(long)[0]) == 5_000_000
    assert len(next(iter(records(long)))) == 5_000_000
    for read_it in (records, documents, lines):
        with pytest.raises(LimitExceeded, match="more than 1000000 characters") as caught:
            list(read_it(in_pieces(long, 65536), limits=Limits(json_record=1_000_000)))
        assert caught.value.limit == "json_record"
    with pytest.raises(LimitExceeded, match="characters"):
        list(
            records(
                in_pieces(b'{"x": ' + long + b', "a": [1]}', 65536), "a[*]", limits=Limits(json_record=1000)
            )
        )


def test_many_values_at_once_are_bounded() -> None:
    data = b"[" + b",".join([b"{}"] * 1000) + b"]"
    for read_it in (load, lambda what, **options: list(documents(what, **options))):
        with pytest.raises(LimitExceeded, match="more than 500 values") as caught:
            read_it(data, limits=Limits(json_values=500))
        assert caught.value.limit == "json_values"
        assert read_it(data, limits=Limits(json_values=3000))
        assert read_it(b'["' + b",[{" * 1000 + b'"]', limits=Limits(json_values=10))
    assert len(list(records(data, limits=Limits(json_values=500)))) == 1000


def in_pieces(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


def seconds(work: Callable[[], Any]) -> float:
    """Processor time, for comparing one with another of the same run."""
    began = time.process_time()
    with suppress(DataError, LimitExceeded):
        work()
    return time.process_time() - began


SLOW: dict[str, Callable[[int], tuple[bytes, str]]] = {
    # A spine of arrays at the beginning of what is long.
    "a spine": lambda n: (b'{"x":' + nested(400, "[", "]", "1," * n + "1") + b',"a":[1]}', "a[*]"),
    "many spines": lambda n: (
        b'{"x":[' + b",".join([nested(400, "[", "]", "1," * 400 + "1")] * (n // 400)) + b'],"a":[1]}',
        "a[*]",
    ),
    # A seam between the first elements that is found again in the middle of all others.
    "false seams": lambda n: (
        b'[{"a":1},{"a":1},' + b",".join([b'{"b":[{"a":1},{"a":1},{"a":1}],"c":0}'] * (n // 16)) + b"]",
        "$[*]",
    ),
    "a string that does not end": lambda n: (b'["' + b"x" * (2 * n), "$[*]"),
    "quotes": lambda n: (b'["' + b'\\"' * n + b'"]', "$[*]"),
    "numbers": lambda n: (b"[" + b"1," * n + b"1]", "$[*]"),
    "spaces": lambda n: (b"[" + b" " * (2 * n) + b"1]", "$[*]"),
    "one element": lambda n: (b"[[" + b"1," * n + b"1]]", "$[*]"),
    "keys": lambda n: (b"{" + b'"":1,' * (n // 2) + b'"":1}', "$.*"),
}


@pytest.mark.parametrize("piece", [100, 65536])
@pytest.mark.parametrize("kind", SLOW)
def test_work_grows_with_the_length_and_not_with_its_square(kind: str, piece: int) -> None:
    small, large = 20_000, 160_000

    def work(size: int) -> Callable[[], Any]:
        data, path = SLOW[kind](size)
        return lambda: list(records(in_pieces(data, piece), path))

    seconds(work(small))
    least = min(seconds(work(small)) for _ in range(3))
    # Eight times as much: by the square, it would be sixty-four times the work.
    assert min(seconds(work(large)) for _ in range(3)) < 40 * max(least, 0.005)


def test_many_wrong_lines_take_no_time_by_their_square() -> None:
    def work(size: int) -> Callable[[], Any]:
        return lambda: list(lines(b"x\n" * size, on_error=lambda error: None))

    seconds(work(2000))
    least = min(seconds(work(2000)) for _ in range(3))
    assert seconds(work(16_000)) < 40 * max(least, 0.005)


@pytest.mark.parametrize(
    ("path", "head", "tail"),
    [
        ("$[*]", b"[", b"]"),
        ("a[*].n", b'{"a":[', b"]}"),
        ("z[*]", b'{"a":[', b'],"z":[1]}'),
        ("z[*]", b'{"a":{"b":[[', b']]},"z":[1]}'),
    ],
)
def test_memory_does_not_grow_with_the_document(path: str, head: bytes, tail: bytes) -> None:
    element = b'{"n": 1, "text": "' + b"x" * 200 + b'", "more": [1, 2, {"a": null}]},\n'
    many = 60_000  # 15 MB

    def document() -> Iterator[bytes]:
        return chain([head], repeat(element * 100, many // 100), [b'{"n": 1}', tail])

    next(records(document(), path))
    tracemalloc.start()
    try:
        count = sum(1 for _ in records(document(), path))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert count == (1 if path == "z[*]" else many + 1)
    assert peak < 3 << 20


def test_lines_take_the_memory_of_some() -> None:
    tracemalloc.start()
    try:
        count = sum(1 for _ in lines(repeat(b'{"n": 1, "text": "xxxxxxxxxx"}\n' * 1000, 200)))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert count == 200_000
    assert peak < 3 << 20


def test_a_stream_without_end_is_refused_early() -> None:
    def endless() -> Iterator[bytes]:
        yield b'[1, 2, x, "'
        yield from repeat(b"y" * 65536)

    found: list[Any] = []
    with pytest.raises(DataError, match="column 8"):
        found.extend(records(endless()))
    assert found == [1, 2]
    for read_it in (lines, documents, records):
        with pytest.raises(LimitExceeded, match="json_record"):
            list(read_it(chain([b'["'], repeat(b"y" * 65535)), limits=Limits(json_record=1 << 20)))
    with pytest.raises(LimitExceeded, match="answer"):
        load(repeat(b" " * 65536), limits=Limits(answer=1 << 20))
