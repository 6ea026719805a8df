"""Work of streaming JSON, in characters that are looked at, which grow with the document and no faster."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.data.json import documents, records
from portico.data.json.decoder import Decoder
from portico.data.json.extent import Extent
from portico.data.json.text import Text
from portico.errors import DataError, LimitExceeded
from portico.limits import Limits

Shape = Callable[[int], bytes]
SHAPES: dict[str, Shape] = {
    "keys": lambda n: b"{" + b",".join(b'"%d":1' % i for i in range(n // 8)) + b"}",
    "empty arrays": lambda n: b'{"a":[' + b",".join([b"[]"] * (n // 3)) + b"]}",
    "objects": lambda n: b"[" + b",".join([b'{"a": 1, "b": ["x", null]}'] * (n // 27)) + b"]",
    "numbers": lambda n: b"[" + b"1," * (n // 2) + b"1]",
    "a string": lambda n: b'"' + b'\\"[' * (n // 3) + b'"',
    "backslashes": lambda n: b'["' + b"\\\\" * (n // 2) + b'"]',
    "a number": lambda n: b"0." + b"9" * n,
    "spines": lambda n: b"[" + b",".join([b"[" * 300 + b"]" * 300] * (n // 600)) + b"]",
    "a spine of numbers": lambda n: b"[" * 400 + b"1," * (n // 2) + b"1" + b"]" * 400,
    "one that does not end": lambda n: b'[{"a": ["' + b"x[" * (n // 2),
}
WHERE: dict[str, tuple[bytes, str, bytes]] = {
    "asked for": (b"[", "$[*]", b"]"),
    "a value of a key": (b'{"x": ', "$.*", b"}"),
    "passed over": (b'{"x": ', "a[*]", b', "a": [1]}'),
    "the document": (b"", "$", b""),
}


def cut(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


class Work:
    """Characters that were looked at, or copied."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.done = 0
        for kind, name, size in (
            (Extent, "feed", lambda text, at=0: len(text) - at),
            (Decoder, "value", len),
            (Decoder, "_several", lambda decode, text, *more: len(text)),
            (Decoder, "skim", lambda text, at, **more: len(text) - at),
        ):
            patch.setattr(kind, name, self._counted(getattr(kind, name), size))
        refill = Text.refill

        def refilled(text: Text, *arguments: Any) -> bool:
            came = refill(text, *arguments)
            self.done += len(text.window)
            return came

        patch.setattr(Text, "refill", refilled)

    def _counted(self, method: Callable[..., Any], size: Callable[..., int]) -> Callable[..., Any]:
        def counted(this: Any, *arguments: Any, **options: Any) -> Any:
            result = None
            try:
                result = method(this, *arguments, **options)
            finally:
                skimmed = method.__name__ == "skim" and result is not None
                self.done += result - arguments[1] if skimmed else size(*arguments, **options)
            return result

        return counted


@pytest.mark.parametrize(("size", "piece"), [(8_000, 1), (8_000, 7), (400_000, 16384), (400_000, 1 << 20)])
@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("shape", SHAPES)
def test_characters_are_looked_at_a_few_times_and_not_again_for_each_piece(
    shape: str, where: str, size: int, piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, path, after = WHERE[where]
    data = before + SHAPES[shape](size) + after
    work = Work(monkeypatch)
    try:
        for _ in records(cut(data, piece), path):
            pass
    except DataError:
        assert shape == "one that does not end"
    assert work.done < 20 * len(data)
    if where != "passed over":
        assert work.done < 6 * len(data)


@pytest.mark.parametrize("piece", [1, 16384])
def test_documents_take_the_same(piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    data = b"".join(shape(4_000 if piece == 1 else 100_000) + b"\n" for shape in list(SHAPES.values())[:-1])
    work = Work(monkeypatch)
    assert sum(1 for _ in documents(cut(data, piece))) == len(SHAPES) - 1
    assert work.done < 6 * len(data)


TEXTS = st.recursive(
    st.sampled_from(["", "[", '"', "]}", "\\", '\\"', "ä€😀", "a\\\\"]) | st.text(max_size=9) | st.integers(),
    lambda inner: st.lists(inner, max_size=9) | st.dictionaries(st.text(max_size=3), inner, max_size=5),
    max_leaves=60,
)


@given(TEXTS, st.sampled_from(["", ",1]", "]", "}", '"', " [", "\n{", ',"\\']), st.integers(), st.booleans())
def test_a_value_ends_where_it_does_however_it_comes(value: Any, rest: str, seed: int, plain: bool) -> None:
    value = [value] * (seed % 200) if plain else [value]
    text = json.dumps(value, ensure_ascii=plain)
    turn, extent, fed = random.Random(seed), Extent(text[0]), 1
    whole = text + rest
    while True:
        piece = whole[fed : fed + turn.choice([1, 2, 3, 50, 9000])]
        end = extent.feed(piece)
        if end is not None:
            assert fed + end == len(text)
            return
        fed += len(piece)
        assert piece


@pytest.mark.parametrize(
    "bad", [b'[1}, "', b'[\\"]', b'["a" "]', b'[{"a":]}', b"[1 [2]]", b'["\\x"]', b"[nul]"]
)
@pytest.mark.parametrize("piece", [1, 5000])
def test_what_is_no_json_is_refused_where_it_stands(bad: bytes, piece: int) -> None:
    head = b"[" + b" " * 2000
    data = b"[[1],\n" + head + bad + b" " * 5000 + b"]]"
    found: list[Any] = []
    with pytest.raises(DataError) as caught:
        found.extend(records(cut(data, piece)))
    assert found == [[1]]
    assert caught.value.line == 2
    assert 2001 <= (caught.value.column or 0) <= 2011


def test_an_element_may_be_as_long_as_the_limit_says_wherever_pieces_end() -> None:
    element = b'["' + b"x" * 5000 + b'"]'
    for size in (100, 4000, 5100, 1 << 20):
        for limit in (5004, 5003):
            found = records(
                cut(b"[" + element + b" " * 9000 + b",2]", size), limits=Limits(json_record=limit)
            )
            if limit == 5004 or size >= 5100:  # all that has come at once is held in any case
                assert len(list(found)) == 2
            else:
                with pytest.raises(LimitExceeded, match="more than 5003 characters"):
                    list(found)


def test_what_is_too_deep_is_refused_before_all_of_it_has_come() -> None:
    came = 0

    def endless() -> Iterator[bytes]:
        nonlocal came
        yield b"[1,"
        while True:
            came += 1
            yield b"[" * 1000

    with pytest.raises(LimitExceeded, match="deep") as caught:
        list(records(endless()))
    assert caught.value.limit == "json_depth"
    assert came < 5
