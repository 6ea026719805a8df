"""Threads on demand: bounded, in order, and gone when they have nothing to do."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from math import inf

import pytest

from portico.engines import pool as module
from portico.engines.pool import Pool
from tests.engines.serving import SECONDS, until

pytestmark = pytest.mark.usefixtures("no_leaks")


@pytest.fixture
def pool() -> Iterator[Pool]:
    made = Pool(2, 3)
    yield made
    made.close()


class Jobs:
    """Jobs that note their number and stop at a gate."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.gate = threading.Event()

    def __call__(self, number: int) -> bool:
        self.begun.append(number)
        assert self.gate.wait(SECONDS)
        return True


def test_jobs_beyond_the_bound_wait_in_order_and_beyond_the_queue_are_refused(pool: Pool) -> None:
    jobs = Jobs()
    assert [pool.submit(jobs, number) for number in range(6)] == [True] * 5 + [False]
    until(lambda: len(jobs.begun) == 2)
    assert pool.busy == 2
    jobs.gate.set()
    until(lambda: pool.busy == 0)
    assert sorted(jobs.begun[:2]) == [0, 1]
    assert sorted(jobs.begun) == [0, 1, 2, 3, 4]
    assert pool.threads == 2


def test_one_thread_takes_the_queue_in_order() -> None:
    pool, jobs = Pool(1, inf), Jobs()
    for number in range(20):
        assert pool.submit(jobs, number)
    jobs.gate.set()
    until(lambda: pool.busy == 0)
    assert jobs.begun == list(range(20))
    pool.close()


def test_idle_threads_are_used_again(pool: Pool) -> None:
    who = set()
    for _ in range(20):
        done = threading.Event()
        pool.submit(lambda event: bool(who.add(threading.get_ident()) or event.set() or True), done)
        assert done.wait(SECONDS)
        until(lambda: pool.busy == 0)
    assert len(who) == 1


def test_what_runs_beyond_the_bound_is_not_counted(pool: Pool) -> None:
    jobs = Jobs()
    pool.submit(jobs, 1)
    pool.submit(jobs, 2)
    done = threading.Event()
    assert pool.beyond(lambda event: bool(event.set()), done)
    assert done.wait(SECONDS)
    assert pool.busy == 2
    jobs.gate.set()
    until(lambda: pool.busy == 0)


def test_an_adopted_job_is_counted_until_it_ends(pool: Pool) -> None:
    go_on = threading.Event()

    def job(_: object) -> bool:
        pool.adopt()
        go_on.wait(SECONDS)
        return True

    pool.beyond(job, None)
    until(lambda: pool.busy == 1)
    go_on.set()
    until(lambda: pool.busy == 0)
    pool.adopt()
    pool.release()
    assert pool.busy == 0


def test_idle_threads_leave_after_a_while(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IDLE", 0.02)
    done = threading.Event()
    pool.submit(lambda event: bool(event.set() or True), done)
    assert done.wait(SECONDS)
    until(lambda: pool.threads == 0)
    again = threading.Event()
    assert pool.submit(lambda event: bool(event.set() or True), again)
    assert again.wait(SECONDS)


def test_a_job_that_comes_as_a_thread_is_leaving_is_not_lost(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "IDLE", 0.0005)
    for _ in range(300):
        done = threading.Event()
        assert pool.submit(lambda event: bool(event.set() or True), done)
        assert done.wait(SECONDS)
    until(lambda: pool.threads == 0 and pool.busy == 0)


def test_closing_lets_busy_threads_finish_what_waits(pool: Pool) -> None:
    jobs = Jobs()
    for number in range(4):
        pool.submit(jobs, number)
    pool.close()
    jobs.gate.set()
    until(lambda: pool.threads == 0)
    assert sorted(jobs.begun) == [0, 1, 2, 3]


def test_without_new_threads_a_job_waits_for_a_busy_one_and_else_is_refused(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = Jobs()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", _refuse)
        assert not pool.submit(jobs, 0)
        assert not pool.beyond(jobs, 0)
        assert (pool.busy, pool.threads) == (0, 0)
    assert pool.submit(jobs, 1)
    until(lambda: jobs.begun == [1])
    monkeypatch.setattr(threading.Thread, "start", _refuse)
    assert [pool.submit(jobs, number) for number in range(2, 7)] == [True] * 3 + [False] * 2
    jobs.gate.set()
    until(lambda: pool.busy == 0)
    assert jobs.begun == [1, 2, 3, 4]


def _refuse(thread: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def test_each_thread_says_so_at_its_beginning() -> None:
    entered: list[int] = []
    pool = Pool(2, 1, lambda: entered.append(threading.get_ident()))
    for _ in range(3):
        pool.submit(lambda _: bool(entered.append(-threading.get_ident()) or True), None)
        until(lambda: pool.busy == 0)
    pool.close()
    assert entered == [entered[0], *[-entered[0]] * 3]


def test_an_idle_thread_does_not_keep_its_last_argument_alive(pool: Pool) -> None:
    gone = threading.Event()

    class Argument:
        def __del__(self) -> None:
            gone.set()

    pool.submit(lambda argument: True, Argument())
    assert gone.wait(SECONDS)


def test_who_only_waits_for_a_peer_stands_aside_for_others_and_is_counted_again() -> None:
    pool, jobs, aside, back = Pool(1, inf), Jobs(), threading.Event(), threading.Event()

    def waits(number: int) -> bool:
        assert pool.aside(True)
        aside.set()
        assert back.wait(SECONDS)
        pool.aside(False)
        return jobs(number)

    assert pool.submit(waits, 0)
    assert pool.submit(jobs, 1)  # had to wait in line
    assert pool.submit(jobs, 2)
    assert aside.wait(SECONDS)
    until(lambda: jobs.begun == [1])
    assert pool.busy == 1
    back.set()
    until(lambda: jobs.begun == [1, 0])
    assert pool.busy == 2
    jobs.gate.set()
    until(lambda: pool.busy == 0)
    assert jobs.begun == [1, 0, 2]
    pool.close()


def test_no_more_than_so_many_stand_aside(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ASIDE", 1)
    assert pool.aside(True)
    assert not pool.aside(True)
    pool.aside(False)
    assert pool.aside(True)
    pool.aside(False)
    assert pool.busy == 0
