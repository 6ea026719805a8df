"""What a reload does step by step, without processes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from portico.engines.workers.reload import Reload
from portico.engines.workers.slots import Hand, Slot
from portico.engines.workers.staff import Staff


class House:
    """Slots with a worker each, and a record of what is done with them."""

    def __init__(self, many: int = 3, fails_at: int = 0) -> None:
        self.slots = [Slot(number, []) for number in range(1, many + 1)]
        self.hands: list[Any] = []
        self.dismissed: list[Any] = []
        self.ends: list[str | None] = []
        self.fails_at = fails_at
        self.reload = Reload(self.slots, cast(Staff, self), self.hire, self.ends.append)
        for slot in self.slots:
            slot.current = self.hand(slot, accepts=True)

    def hand(self, slot: Slot, *, accepts: bool = False) -> Hand:
        hand = SimpleNamespace(slot=slot, generation=self.reload.generation, accepts=accepts, prepared=False)
        hand.go = lambda: setattr(hand, "accepts", True)
        self.hands.append(hand)
        return cast(Hand, hand)

    def hire(self, slot: Slot) -> None:
        if slot.number == self.fails_at:
            self.reload.withdraw()
            self.reload.end("no process")
        else:
            slot.coming = self.hand(slot)

    def dismiss(self, hand: Hand) -> None:
        self.dismissed.append(hand)

    def prepare(self, slot: Slot) -> None:
        assert slot.coming is not None
        slot.coming.prepared = True
        self.reload.prepared()

    def take_place(self, slot: Slot) -> Any:
        """The new one is ready: the old one, which still accepts, is left."""
        old, slot.current, slot.coming = slot.current, slot.coming, None
        self.reload.see()
        return old


def test_nobody_is_let_go_before_all_are_prepared() -> None:
    house = House()
    house.reload.begin()
    *first, last = house.slots
    for slot in first:
        house.prepare(slot)
        assert not any(each.coming.accepts for each in house.slots if each.coming)
    house.prepare(last)
    assert all(each.coming.accepts for each in house.slots if each.coming)
    assert not house.reload.loading


def test_it_is_over_when_no_old_one_accepts_any_more() -> None:
    house = House()
    house.reload.begin()
    for slot in house.slots:
        house.prepare(slot)
    old = [house.take_place(slot) for slot in house.slots]
    for hand in old:
        assert house.ends == []
        hand.accepts = False
        house.reload.see()
    assert house.ends == [None]
    house.reload.see()
    assert house.ends == [None]


def test_when_one_cannot_even_be_started_no_other_is() -> None:
    house = House(3, fails_at=2)
    house.reload.begin()
    assert house.ends == ["no process"]
    assert [slot.coming for slot in house.slots] == [None] * 3
    assert len(house.dismissed) == 1


def test_another_reload_meanwhile_begins_anew_and_the_first_s_workers_count_as_old() -> None:
    house = House(2)
    house.reload.begin()
    for slot in house.slots:
        house.prepare(slot)
    early = [slot.coming for slot in house.slots]  # they accept, and are not ready yet
    house.reload.begin()
    assert house.dismissed == early
    for slot in house.slots:
        house.prepare(slot)
    old = [house.take_place(slot) for slot in house.slots]
    for hand in (*old, *early):
        assert house.ends == []
        hand.accepts = False
        house.reload.see()
    assert house.ends == [None]
