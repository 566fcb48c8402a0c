"""The bookkeeping of a fork: names, values, errors, and the results made of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_steps import (
    ForkPartialError,
    Fulfilled,
    Ledger,
    NoPathsError,
    PathCancelledError,
    Rejected,
    StepTimeoutError,
    fork,
)
from trio_steps._fork.delivery import Undelivered
from trio_steps._fork.ledger import MISSING
from trio_steps._fork.paths import PathNames


def ledger_of(*names, started=None):
    """Return the ledger of fork ``top/f`` with these paths, all started."""
    ledger = Ledger("f", "top/f")
    ledger.names = list(names)
    ledger.started = len(names) if started is None else started
    ledger.reason = "fork 'f': because"
    return ledger


def told(rejected):
    """Return a `Rejected` in a form that can be compared."""
    return rejected.step_id, type(rejected.error), rejected.error.args


# Values


def test_ledger_starts_empty() -> None:
    ledger = Ledger("f")
    assert (ledger.fork_id, ledger.name) == ("f", "f")
    assert (list(ledger.names), ledger.values, ledger.errors) == ([], [], {})
    assert (ledger.late_values, ledger.late_errors, ledger.own_errors) == ({}, set(), [])
    assert (ledger.started, ledger.timeout, ledger.reason) == (0, None, "the fork ended")


def test_ledger_has_the_full_names_of_its_paths() -> None:
    assert ledger_of("a", "b").full_name(1) == "top/f/b"


def test_ledger_puts_values_in_path_order_however_they_arrive() -> None:
    ledger = ledger_of("a", "b", "c", "d")
    for index in (2, 0, 3, 1):
        ledger.put(index, index * 10)
    assert ledger.in_order() == [0, 10, 20, 30]


def test_ledger_knows_of_each_index_whether_a_path_with_it_has_succeeded() -> None:
    ledger = ledger_of("a", "b", "c")
    ledger.put(0, 1)
    ledger.put(2, 3)
    assert [ledger.has_succeeded(index) for index in (0, 1, 2, 3)] == [True, False, True, False]
    assert not any(map(ledger.has_succeeded, (-1, -3, None, "0", 0.0)))


def test_ledger_that_knows_its_paths_beforehand_puts_values_in_path_order_too() -> None:
    ledger = Ledger("f")
    ledger.expect(["a", "b", "c"])
    assert list(ledger.names) == ["a", "b", "c"]
    assert ledger.in_order() == []
    ledger.put(2, 20)
    ledger.put(0, 0)
    assert ledger.in_order() == [0, 20]
    ledger.put(1, 10)
    assert ledger.in_order() == [0, 10, 20]
    assert ledger.settled() == [Fulfilled("a", 0), Fulfilled("b", 10), Fulfilled("c", 20)]


def test_ledger_leaves_out_paths_without_a_value() -> None:
    ledger = ledger_of("a", "b", "c", "d", "e")
    ledger.put(3, "d")
    ledger.put(1, "b")
    assert ledger.in_order() == ["b", "d"]
    assert ledger.values == [MISSING, "b", MISSING, "d"]


def test_ledger_takes_none_and_false_for_values() -> None:
    ledger = ledger_of("a", "b", "c")
    ledger.put(2, None)
    ledger.put(0, False)
    assert ledger.in_order() == [False, None]


def test_ledger_never_compares_values() -> None:
    """Values may be arrays, whose ``==`` does not return a bool."""

    class Odd:
        __hash__ = None

        def __eq__(self, other):
            raise AssertionError

    first, second = Odd(), Odd()
    ledger = ledger_of("a", "b", "c")
    ledger.put(2, second)
    ledger.put(0, first)
    assert [value is expected for value, expected in zip(ledger.in_order(), (first, second), strict=True)] == [
        True,
        True,
    ]
    assert [result.step_id for result in ledger.settled() if result.status == "fulfilled"] == ["a", "c"]
    assert len(ledger.partial(ValueError()).succeeded) == 2


@given(st.permutations(range(8)), st.integers(0, 8))
def test_ledger_gives_the_values_so_far_in_path_order(order, count) -> None:
    ledger = ledger_of(*"abcdefgh")
    for index in order[:count]:
        ledger.put(index, index)
    assert ledger.in_order() == sorted(order[:count])


def test_ledger_gives_the_same_values_after_it_was_asked_for_results() -> None:
    """A custom mode may need both."""
    ledger = ledger_of("a", "b", "c")
    ledger.put(0, 1)
    ledger.errors[1] = ValueError()
    ledger.settled()
    assert ledger.in_order() == [1]


def test_missing_value_says_so() -> None:
    assert repr(MISSING) == "<missing>"


async def test_ledger_keeps_its_values_whatever_merge_does_to_the_list_it_gets() -> None:
    """A ``merge`` that empties its list and then fails must not hide the values from ``dispose``."""
    disposed = []

    async def one():
        return 1

    async def two():
        return 2

    def merge(values):
        values.clear()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fork("f", mode="all", paths=[one, two], merge=merge, dispose=disposed.append)()
    assert disposed == [1, 2]


# Results of a settle


def test_settled_has_a_result_for_each_path_in_order() -> None:
    ledger = ledger_of("a", "b", "c")
    error = ValueError()
    ledger.put(2, 30)
    ledger.errors[1] = error
    ledger.put(0, 10)
    assert ledger.settled() == [Fulfilled("a", 10), Rejected("b", error), Fulfilled("c", 30)]


def test_settled_with_no_paths_is_empty() -> None:
    assert Ledger("f").settled() == []


def test_settled_can_be_asked_twice() -> None:
    ledger = ledger_of("a", "b")
    error = ValueError()
    ledger.put(0, 1)
    ledger.errors[1] = error
    assert ledger.settled() == ledger.settled() == [Fulfilled("a", 1), Rejected("b", error)]


def test_settled_takes_names_of_a_lazy_source() -> None:
    ledger = Ledger("f")
    ledger.names = PathNames()
    for _ in range(2):
        ledger.names.add("a", False)
    ledger.put(0, 1)
    ledger.put(1, 2)
    assert ledger.settled() == [Fulfilled("a", 1), Fulfilled("a#2", 2)]


def test_settled_after_the_deadline_has_timeouts_for_what_was_not_done() -> None:
    """Finished paths keep their values and errors. A late error is not part of the result."""
    ledger = ledger_of("won", "lost", "running", "late", "failed late", "queued", started=5)
    error = ValueError()
    ledger.put(0, 1)
    ledger.errors[1] = error
    ledger.timeout = 2.5
    ledger.late_values[3] = 4
    ledger.errors[4] = KeyError()
    ledger.late_errors.add(4)
    won, lost, *rest = ledger.settled()
    assert (won, lost) == (Fulfilled("won", 1), Rejected("lost", error))
    assert [told(result) for result in rest] == [
        (id, StepTimeoutError, (f"top/f/{id}", 2.5)) for id in ("running", "late", "failed late", "queued")
    ]
    assert {result.kind for result in rest} == {"timed_out"}


def test_settled_by_a_mode_that_decided_early_has_cancelled_paths() -> None:
    ledger = ledger_of("won", "running", "queued", started=2)
    ledger.put(0, 1)
    won, *rest = ledger.settled()
    assert won == Fulfilled("won", 1)
    assert [told(result) for result in rest] == [
        ("running", PathCancelledError, ("top/f/running", "fork 'f': because", True)),
        ("queued", PathCancelledError, ("top/f/queued", "fork 'f': because", False)),
    ]


# The error of a fork that failed


def test_partial_is_a_group_of_the_failures_in_path_order() -> None:
    ledger = ledger_of("a", "b", "c")
    second, first = KeyError("c"), ValueError("a")
    ledger.errors[2] = second
    ledger.errors[0] = first
    ledger.put(1, 20)
    error = ledger.partial()
    assert type(error) is ForkPartialError
    assert error.exceptions == (first, second)
    assert error.message == "fork 'top/f': 2 of 3 paths failed"
    assert error.step_id == "f"
    assert error.succeeded == (Fulfilled("b", 20),)
    assert error.failed == (Rejected("a", first), Rejected("c", second))


def test_partial_lists_cancelled_siblings_as_failed_but_not_in_the_group() -> None:
    ledger = ledger_of("a", "b", "c", "d", started=3)
    first = ValueError()
    ledger.errors[1] = first
    error = ledger.partial()
    assert error.exceptions == (first,)
    assert error.message == "fork 'top/f': 1 of 4 paths failed"
    assert [told(result) for result in error.failed] == [
        ("a", PathCancelledError, ("top/f/a", "fork 'f': because", True)),
        ("b", ValueError, ()),
        ("c", PathCancelledError, ("top/f/c", "fork 'f': because", True)),
        ("d", PathCancelledError, ("top/f/d", "fork 'f': because", False)),
    ]
    assert [result.kind for result in error.failed] == ["cancelled", "step_failed", "cancelled", "cancelled"]


def test_partial_keeps_the_error_of_a_loser_that_failed_while_it_was_cancelled() -> None:
    ledger = ledger_of("a", "b")
    first, late = ValueError(), KeyError()
    ledger.errors[1] = first
    ledger.errors[0] = late
    ledger.late_errors.add(0)
    error = ledger.partial()
    assert error.exceptions == (late, first)
    assert error.failed == (Rejected("a", late), Rejected("b", first))


def test_partial_keeps_values_that_came_after_the_decision() -> None:
    ledger = ledger_of("a", "b", "c")
    first = ValueError()
    ledger.put(0, 1)
    ledger.errors[1] = first
    ledger.late_values[2] = 3
    error = ledger.partial()
    assert error.succeeded == (Fulfilled("a", 1), Fulfilled("c", 3))
    assert error.failed == (Rejected("b", first),)


def test_partial_after_the_deadline_takes_no_late_values() -> None:
    """A value that a shielded path still returns changes nothing."""
    ledger = ledger_of("a", "b")
    ledger.put(0, 1)
    ledger.late_values[1] = 2
    ledger.timeout = 3.0
    own = StepTimeoutError("top/f", 3.0)
    error = ledger.partial(own)
    assert error.exceptions == (own,)
    assert error.succeeded == (Fulfilled("a", 1),)
    assert [told(result) for result in error.failed] == [
        ("b", PathCancelledError, ("top/f/b", "fork 'f': because", True))
    ]


def test_partial_has_the_errors_of_the_fork_itself_after_those_of_its_paths() -> None:
    ledger = ledger_of("a")
    of_path, of_source, of_mode = ValueError(), OSError(), NoPathsError()
    ledger.errors[0] = of_path
    ledger.own_errors.append(of_source)
    error = ledger.partial(of_mode)
    assert error.exceptions == (of_path, of_source, of_mode)
    assert error.failed == (Rejected("a", of_path),)
    assert error.message == "fork 'top/f': 1 of 1 paths failed"


def test_partial_of_a_fork_whose_paths_did_not_fail_says_so() -> None:
    ledger = ledger_of("a")
    ledger.put(0, 1)
    error = ledger.partial(OSError())
    assert error.message == "fork 'top/f': no path failed, but the fork did"
    assert error.succeeded == (Fulfilled("a", 1),)
    assert error.failed == ()


def test_partial_does_not_flatten_the_group_of_a_path() -> None:
    ledger = ledger_of("a")
    group = ExceptionGroup("the path's own", [ValueError(), KeyError()])
    ledger.errors[0] = group
    error = ledger.partial()
    assert error.exceptions == (group,)
    assert error.exceptions[0] is group
    assert error.failed == (Rejected("a", group),)


def test_partial_takes_names_of_a_lazy_source() -> None:
    ledger = Ledger("f")
    ledger.names = PathNames()
    for _ in range(3):
        ledger.names.add("a", False)
    ledger.started = 2
    error = ValueError()
    ledger.errors[1] = error
    failed = ledger.partial().failed
    assert [result.step_id for result in failed] == ["a", "a#2", "a#3"]
    assert [result.kind for result in failed] == ["cancelled", "step_failed", "cancelled"]


def test_ledger_of_a_stream_remembers_what_was_taken_only_above_what_was_not() -> None:
    ledger: Undelivered[str] = Undelivered()
    ledger.expect(["a", "b", "c", "d", "e", "f"])
    ledger.started = 6
    for index in (1, 0):
        ledger.put(index, "value")
        ledger.untaken.pop(index)
        ledger.forget(index)
    assert (ledger._floor, ledger._taken, ledger.unfinished()) == (2, set(), [2, 3, 4, 5])
    for index in (3, 4):
        ledger.forget(index)
    assert (ledger._floor, ledger._taken, ledger.unfinished()) == (2, {3, 4}, [2, 5])
    ledger.forget(2)
    assert (ledger._floor, ledger._taken, ledger.unfinished()) == (5, set(), [5])


def test_ledger_keeps_no_error_when_the_run_is_over() -> None:
    ledger: Undelivered[str] = Undelivered()
    ledger.errors[0] = OSError("of a path")
    ledger.own_errors.append(OSError("of the fork"))
    ledger.forget_errors()
    assert (ledger.errors, ledger.own_errors) == ({}, [])
