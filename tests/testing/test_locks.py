"""Whether a lock ends in the state in which it began."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import trio

from trio_steps.testing._locks import State, check, is_lock, state_of, untaken


def test_semaphore_that_ends_with_more_free_is_wrong_only_if_it_was_watched_from_the_start() -> None:
    semaphore = trio.Semaphore(1)
    start = state_of(semaphore)
    assert check(semaphore, start, None, exactly=True) is None
    semaphore.release()
    assert check(semaphore, start, None, exactly=False) is None
    finding = check(semaphore, start, None, exactly=True)
    assert finding is not None
    assert finding.message == "a Semaphore ends with 2 of its tokens free; at the start 1 were"


def test_semaphore_that_ends_with_fewer_free_is_wrong_in_any_case() -> None:
    semaphore = trio.Semaphore(2)
    start = state_of(semaphore)
    semaphore.acquire_nowait()
    for exactly in (True, False):
        finding = check(semaphore, start, None, exactly=exactly)
        assert finding is not None
        assert finding.message == "a Semaphore ends with 1 of its tokens free; at the start 2 were"


class Fake:
    """A lock of another library."""

    def __init__(self, **statistics: Any) -> None:
        self.told = SimpleNamespace(**statistics)

    def acquire(self) -> None: ...

    def release(self) -> None: ...

    def statistics(self) -> Any:
        return self.told


def limiter(borrowed: float, total: float, waiting: int = 0) -> Fake:
    return Fake(borrowed_tokens=borrowed, total_tokens=total, tasks_waiting=waiting)


@pytest.mark.parametrize(
    ("lock", "start", "exactly", "message", "kind"),
    [
        (limiter(int("1000"), 2000), State(1000, 0, 1000), True, None, ""),
        (limiter(1, 5), State(2, 0, 3), False, None, ""),
        (limiter(1, 5), State(2, 0, 3), True, "a Fake ends with 4 of its tokens free; at the start 3 were", "taken"),
        (limiter(3, 5), State(2, 0, 3), False, "a Fake ends with 2 of its tokens free; at the start 3 were", "taken"),
        (
            limiter(3, math.inf),
            State(2, 0, math.inf),
            False,
            "a Fake ends with 3 of its tokens taken; at the start 2 were",
            "taken",
        ),
        (limiter(1, 5, waiting=1), State(1, 0, 4), False, "1 still wait for a Fake", "waiting"),
        (Fake(locked=True), State(False), False, "a Fake is still held", "taken"),
        (limiter(3, 5), State(2), False, "a Fake is still held", "taken"),
        (Fake(locked=True), State(0, 0, 3), False, "a Fake is still held", "taken"),
    ],
)
def test_lock_has_to_end_as_it_began(lock: Any, start: State, exactly: bool, message: str | None, kind: str) -> None:
    finding = check(lock, start, None, exactly=exactly)
    if message is None:
        assert finding is None
    else:
        assert finding is not None
        assert (finding.message, finding.what) == (message, f"Fake {kind}")


def test_state_of_a_lock_is_what_its_statistics_say() -> None:
    assert state_of(limiter(2, 5, waiting=3)) == State(2, 3, 3)
    assert state_of(Fake(locked=True, tasks_waiting=2)) == State(True, 2)
    assert state_of(Fake(locked=False)) == State(False, 0)
    inner = SimpleNamespace(locked=True, tasks_waiting=2)
    assert state_of(Fake(lock_statistics=inner, tasks_waiting=3)) == State(True, 5)
    semaphore = trio.Semaphore(4)
    assert state_of(semaphore) == State(-4, 0, 4, counts=True)
    assert is_lock(Fake(locked=True))
    assert not is_lock(Fake())
    assert not is_lock(SimpleNamespace(acquire=int, release=int, statistics=int))


def test_state_of_a_lock_that_no_task_holds_is_known_unless_it_may_count_something() -> None:
    assert untaken(limiter(2, 5, waiting=3), None) == State(0, 0, 5)
    assert untaken(Fake(locked=True, tasks_waiting=2), None) == State(0, 0, None)
    assert untaken(trio.Semaphore(4), 4) is None
    assert untaken(trio.Semaphore(3, max_value=4), None) is None
    assert untaken(trio.Semaphore(3, max_value=4), 4) == State(-4, 0, 4)
