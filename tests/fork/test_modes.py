"""How a fork decides. Modes are pure and synchronous, so nothing here needs an event loop."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_steps import ForkPartialError, Fulfilled, Ledger, NoPathsError, Rejected
from trio_steps._fork.modes import All, Quorum, Race, Settle

FACTORIES = [Race, All, Settle, lambda ledger: Quorum(ledger, 1), lambda ledger: Quorum(ledger, 2)]
IDS = ["race", "all", "settle", "quorum-1", "quorum-2"]


class Table:
    """Tells a mode what happens, as the engine does.

    A fork is over when its mode says so, or when every path has ended. That is `over`.
    """

    def __init__(self, factory, *names):
        self.ledger = Ledger("f", "f")
        self.ledger.names = list(names)
        self.ledger.started = len(names)
        self.mode = factory(self.ledger)
        self.ended = 0
        self.total = None

    @property
    def over(self):
        return self.ended == self.total

    def succeeds(self, index):
        value = f"value {index}"
        self.ledger.put(index, value)
        self.ended += 1
        return self.mode.succeeded(index, value) or self.over

    def fails(self, index):
        error = ValueError(index)
        self.ledger.errors[index] = error
        self.ended += 1
        return self.mode.failed(index, error) or self.over

    def exhausted(self):
        self.total = len(self.ledger.names)
        return self.mode.exhausted(self.total) or self.over

    def partial(self):
        """Return the error that the mode's result raises."""
        with pytest.raises(ForkPartialError) as caught:
            self.mode.result()
        return caught.value

    def errors(self, *indexes):
        return tuple(self.ledger.errors[index] for index in indexes)


def quorum(need):
    return lambda ledger: Quorum(ledger, need)


# Race


def test_race_is_decided_by_the_first_success() -> None:
    table = Table(Race, "a", "b", "c")
    assert table.exhausted() is False
    assert table.fails(0) is False
    assert table.succeeds(2) is True
    assert table.mode.result() == "value 2"


def test_race_names_its_winner() -> None:
    table = Table(Race, "a", "b")
    assert table.mode.winner is None
    table.succeeds(1)
    assert table.mode.winner == 1


def test_race_is_won_by_a_value_that_is_none() -> None:
    table = Table(Race, "a")
    table.ledger.put(0, None)
    assert table.mode.succeeded(0, None) is True
    assert table.mode.result() is None


def test_race_is_lost_when_every_path_has_failed() -> None:
    table = Table(Race, "a", "b")
    assert table.exhausted() is False
    assert table.fails(1) is False
    assert table.fails(0) is True
    assert table.partial().exceptions == table.errors(0, 1)


def test_race_that_has_failed_so_far_waits_for_a_source_that_may_have_more() -> None:
    table = Table(Race, "a", "b")
    assert table.fails(0) is False
    assert table.fails(1) is False
    assert table.exhausted() is True
    assert table.partial().exceptions == table.errors(0, 1)


def test_race_with_no_paths_has_no_result() -> None:
    table = Table(Race)
    assert table.exhausted() is True
    error = table.partial()
    [inner] = error.exceptions
    assert type(inner) is NoPathsError
    assert str(inner) == "race 'f' has no paths"
    assert (error.step_id, error.succeeded, error.failed) == ("f", (), ())


# All


def test_all_is_decided_by_the_last_success() -> None:
    table = Table(All, "a", "b")
    assert table.exhausted() is False
    assert table.succeeds(1) is False
    assert table.succeeds(0) is True
    assert table.mode.result() == ["value 0", "value 1"]


def test_all_is_decided_by_the_first_failure() -> None:
    table = Table(All, "a", "b", "c")
    assert table.exhausted() is False
    assert table.succeeds(2) is False
    assert table.fails(1) is True
    error = table.partial()
    assert error.exceptions == table.errors(1)
    assert error.succeeded == (Fulfilled("c", "value 2"),)
    assert [result.kind for result in error.failed] == ["cancelled", "step_failed"]


def test_all_is_decided_by_a_failure_before_the_source_is_exhausted() -> None:
    table = Table(All, "a")
    assert table.fails(0) is True
    assert table.partial().exceptions == table.errors(0)


def test_all_that_has_succeeded_so_far_waits_for_a_source_that_may_have_more() -> None:
    table = Table(All, "a", "b")
    assert table.succeeds(0) is False
    assert table.succeeds(1) is False
    assert table.exhausted() is True
    assert table.mode.result() == ["value 0", "value 1"]


def test_all_with_no_paths_has_no_values() -> None:
    table = Table(All)
    assert table.exhausted() is True
    assert table.mode.result() == []


# Settle


def test_settle_is_decided_by_the_last_end() -> None:
    table = Table(Settle, "a", "b", "c")
    assert table.exhausted() is False
    assert table.fails(2) is False
    assert table.succeeds(0) is False
    assert table.fails(1) is True
    first, second = table.errors(1, 2)
    assert table.mode.result() == [Fulfilled("a", "value 0"), Rejected("b", first), Rejected("c", second)]


def test_settle_that_is_done_so_far_waits_for_a_source_that_may_have_more() -> None:
    table = Table(Settle, "a", "b")
    assert table.fails(0) is False
    assert table.succeeds(1) is False
    assert table.exhausted() is True


def test_settle_with_no_paths_has_no_results() -> None:
    table = Table(Settle)
    assert table.exhausted() is True
    assert table.mode.result() == []


def test_settle_alone_has_a_result_when_time_is_up() -> None:
    assert [getattr(factory(Ledger("f")), "settles_deadline", False) for factory in FACTORIES] == [
        False,
        False,
        True,
        False,
        False,
    ]


def test_race_alone_has_a_winner() -> None:
    assert [hasattr(factory(Ledger("f")), "winner") for factory in FACTORIES] == [True, False, False, False, False]


# Quorum


def test_quorum_is_decided_by_enough_successes() -> None:
    table = Table(quorum(2), "a", "b", "c", "d")
    assert table.exhausted() is False
    assert table.succeeds(3) is False
    assert table.fails(2) is False
    assert table.succeeds(0) is True
    assert table.mode.result() == ["value 0", "value 3"]


def test_quorum_is_decided_as_soon_as_too_few_paths_are_left() -> None:
    table = Table(quorum(2), "a", "b", "c")
    assert table.exhausted() is False
    assert table.fails(0) is False
    assert table.fails(2) is True
    error = table.partial()
    assert error.exceptions == table.errors(0, 2)
    assert [(result.step_id, result.kind) for result in error.failed] == [
        ("a", "step_failed"),
        ("b", "cancelled"),
        ("c", "step_failed"),
    ]


def test_quorum_that_became_impossible_keeps_what_succeeded() -> None:
    table = Table(quorum(3), "a", "b", "c")
    table.exhausted()
    assert table.succeeds(1) is False
    assert table.fails(0) is True
    assert table.partial().succeeded == (Fulfilled("b", "value 1"),)


def test_quorum_is_not_impossible_while_the_source_may_have_more() -> None:
    table = Table(quorum(2), "a", "b", "c")
    assert table.fails(0) is False
    assert table.fails(1) is False
    assert table.succeeds(2) is False
    assert table.exhausted() is True
    assert table.partial().exceptions == table.errors(0, 1)


def test_quorum_is_decided_by_enough_successes_before_the_source_is_exhausted() -> None:
    table = Table(quorum(1), "a")
    assert table.succeeds(0) is True
    assert table.mode.result() == ["value 0"]


def test_quorum_goes_on_when_the_source_ends_and_enough_paths_still_run() -> None:
    table = Table(quorum(2), "a", "b", "c")
    assert table.fails(0) is False
    assert table.exhausted() is False
    assert table.succeeds(1) is False
    assert table.succeeds(2) is True


def test_quorum_with_no_paths_has_no_result() -> None:
    table = Table(quorum(1))
    assert table.exhausted() is True
    [inner] = table.partial().exceptions
    assert type(inner) is NoPathsError
    assert str(inner) == "quorum 'f' needs 1 paths, but has 0"


def test_quorum_with_fewer_paths_than_it_needs_fails_at_once() -> None:
    table = Table(quorum(3), "a", "b")
    assert table.exhausted() is True
    error = table.partial()
    [inner] = error.exceptions
    assert type(inner) is NoPathsError
    assert str(inner) == "quorum 'f' needs 3 paths, but has 2"
    assert [result.kind for result in error.failed] == ["cancelled", "cancelled"]


def test_quorum_with_fewer_paths_than_it_needs_keeps_their_failures_too() -> None:
    table = Table(quorum(3), "a", "b")
    assert table.fails(1) is False
    assert table.succeeds(0) is False
    assert table.exhausted() is True
    error = table.partial()
    assert error.exceptions[:1] == table.errors(1)
    assert type(error.exceptions[1]) is NoPathsError
    assert error.succeeded == (Fulfilled("a", "value 0"),)


# Every story


@attrs.frozen
class Story:
    """What happens to a fork: how its paths end, in order, and after how many ends the source ends."""

    ends: list[tuple[int, bool]]  # the path, and whether it succeeds
    exhausted_after: int

    def lines(self):
        for position, (index, success) in enumerate(self.ends):
            if position == self.exhausted_after:
                yield "exhausted", len(self.ends)
            yield ("succeeded" if success else "failed"), index
        if self.exhausted_after >= len(self.ends):
            yield "exhausted", len(self.ends)


@st.composite
def stories(draw):
    total = draw(st.integers(0, 6))
    order = draw(st.permutations(range(total)))
    successes = draw(st.lists(st.booleans(), min_size=total, max_size=total))
    return Story(list(zip(order, successes, strict=True)), draw(st.integers(0, total)))


def decided(kind, need, total, wins, losses, exhausted):
    """The contract, in one line per mode, from what has happened so far."""
    over = exhausted and wins + losses == total
    return {
        "race": wins > 0 or over,
        "all": losses > 0 or over,
        "settle": over,
        "quorum": wins >= need or (exhausted and total - losses < need),
    }[kind]


@given(stories(), st.sampled_from(["race", "all", "settle", "quorum"]), st.integers(1, 6))
def test_mode_is_decided_at_the_right_moment_of_every_story(story, kind, need) -> None:
    total = len(story.ends)
    table = Table({"race": Race, "all": All, "settle": Settle, "quorum": quorum(need)}[kind], *"abcdef"[:total])
    wins, losses, exhausted = [], [], False
    answer = False
    for what, index in story.lines():
        if what == "succeeded":
            wins.append(index)
            answer = table.succeeds(index)
        elif what == "failed":
            losses.append(index)
            answer = table.fails(index)
        else:
            exhausted = True
            answer = table.exhausted()
        assert answer is decided(kind, need, total, len(wins), len(losses), exhausted)
        if answer:
            break
    assert answer, "every story comes to an end"
    values = [f"value {index}" for index in sorted(wins)]
    if kind == "settle":
        results = table.mode.result()
        assert [result.step_id for result in results] == list("abcdef"[:total])
        assert [index for index, result in enumerate(results) if result.status == "fulfilled"] == sorted(wins)
    elif kind == "race" and wins:
        assert table.mode.result() == f"value {wins[0]}"
    elif (kind == "all" and not losses) or (kind == "quorum" and len(wins) == need):
        assert table.mode.result() == values
    else:
        error = table.partial()
        assert [result.value for result in error.succeeded] == values
        failures, own = error.exceptions[: len(losses)], error.exceptions[len(losses) :]
        too_few = total == 0 or (kind == "quorum" and total < need)
        assert failures == table.errors(*sorted(losses))
        assert [type(reason) for reason in own] == [NoPathsError] * too_few
        assert len(error.succeeded) + len(error.failed) == total


@pytest.mark.parametrize("factory", FACTORIES, ids=IDS)
def test_mode_has_no_path_in_common_with_another_run(factory) -> None:
    """Each run makes a new mode, and nothing is kept in the class."""
    first, second = Table(factory, "a", "b"), Table(factory, "a", "b")
    first.succeeds(0)
    first.fails(1)
    assert second.exhausted() is False
    assert second.ledger.values == []


def test_quorum_of_a_thousand_has_won_with_the_thousandth_success() -> None:
    table = Table(lambda ledger: Quorum(ledger, 1000), *map(str, range(1001)))
    assert [index for index in range(1000) if table.succeeds(index)] == [999]
    assert table.mode.result() == [f"value {index}" for index in range(1000)]
