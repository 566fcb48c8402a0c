"""Whether a lock ends in the state in which it began."""

from __future__ import annotations

import trio

from trio_steps.testing._locks import check, state_of


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
