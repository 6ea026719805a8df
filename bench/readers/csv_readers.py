"""CSV: lists, dicts and typed records."""

from __future__ import annotations

import csv
import random
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import starmap
from pathlib import Path
from typing import Any, get_type_hints

from bench.readers import Kind

COLUMNS = ("id", "name", "price", "quantity", "day", "note", "paid")
Sum = tuple[int, int]
"""Records, and all quantities together."""


@dataclass
class Order:
    id: int
    name: str
    price: float
    quantity: int
    day: date
    note: str
    paid: bool


def write_orders(path: Path, megabytes: float) -> None:
    """Integers, floats, days, truth, and text, of which one in five is quoted."""
    chance, first = random.Random(1), date(2020, 1, 1)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        number = 0
        while number == 0 or file.tell() < megabytes * 1e6:
            writer.writerows(_order(number + more, chance, first) for more in range(100))
            number += 100


def _order(number: int, chance: random.Random, first: date) -> list[Any]:
    note = 'some "words", quoted' if number % 5 == 0 else "words as they are"
    paid = "true" if number % 2 else "false"
    price, quantity = round(chance.random() * 1000, 2), chance.randrange(100)
    return [number, f"Name {number}", price, quantity, first + timedelta(number % 2000), note, paid]


# -- readers


def _of_lists(rows: Iterable[Any]) -> Sum:
    count = total = 0
    for row in rows:
        count += 1
        total += len(row)
    return count, total


def _of_dicts(rows: Iterable[Any]) -> Sum:
    count = total = 0
    for row in rows:
        count += 1
        total += len(row["quantity"])
    return count, total


def _of_orders(orders: Iterable[Any]) -> Sum:
    count = total = 0
    for order in orders:
        count += 1
        total += order.quantity
    return count, total


def standard_rows(path: str) -> Sum:
    with open(path, encoding="utf-8", newline="") as file:
        return _of_lists(csv.reader(file))


def portico_rows(path: str) -> Sum:
    from portico.data.csv import rows

    return _of_lists(rows(path))


def standard_dicts(path: str) -> Sum:
    with open(path, encoding="utf-8", newline="") as file:
        return _of_dicts(csv.DictReader(file))


def portico_dicts(path: str) -> Sum:
    from portico.data.csv import records

    return _of_dicts(records(path))


def polars_dicts(path: str) -> Sum:
    import polars as pl

    return _of_dicts(pl.read_csv(path, infer_schema=False).iter_rows(named=True))


def by_hand(path: str) -> Sum:
    def orders() -> Iterable[Order]:
        with open(path, encoding="utf-8", newline="") as file:
            reader = csv.reader(file)
            next(reader)
            for row in reader:
                yield Order(
                    int(row[0]), row[1], float(row[2]), int(row[3]), date.fromisoformat(row[4]), row[5],
                    row[6] == "true",
                )  # fmt: skip

    return _of_orders(orders())


def portico_dataclasses(path: str) -> Sum:
    from portico.data.csv import records

    return _of_orders(records(path, type=Order))


def portico_structs(path: str) -> Sum:
    import msgspec

    from portico.data.csv import records

    struct = msgspec.defstruct("OrderStruct", list(get_type_hints(Order).items()))
    return _of_orders(records(path, type=struct))


def _polars_table(path: str) -> Any:
    import polars as pl

    kinds = (pl.Int64, pl.String, pl.Float64, pl.Int64, pl.Date, pl.String, pl.Boolean)
    return pl.read_csv(path, schema=dict(zip(COLUMNS, kinds, strict=True)))


def polars_rows_by_name(path: str) -> Sum:
    return _of_orders(Order(**row) for row in _polars_table(path).rows(named=True))


def polars_rows(path: str) -> Sum:
    return _of_orders(starmap(Order, _polars_table(path).rows()))


def polars_iterated(path: str) -> Sum:
    return _of_orders(starmap(Order, _polars_table(path).iter_rows()))


KINDS = {
    "rows of CSV": Kind(write_orders, {"csv.reader": standard_rows, "portico rows": portico_rows}),
    "dicts of CSV": Kind(
        write_orders,
        {
            "csv.DictReader": standard_dicts,
            "portico records": portico_dicts,
            "polars iter_rows(named)": polars_dicts,
        },
        flat="portico records",
    ),
    "typed records of CSV": Kind(
        write_orders,
        {
            "polars rows(named)": polars_rows_by_name,
            "polars rows()": polars_rows,
            "polars iter_rows()": polars_iterated,
            "csv.reader by hand": by_hand,
            "portico dataclass": portico_dataclasses,
            "portico Struct": portico_structs,
        },
        flat="portico dataclass",
    ),
}
