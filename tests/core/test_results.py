"""`Fulfilled` and `Rejected`: values, not machinery."""

from __future__ import annotations

import copy
import pickle

import attrs
import outcome
import pytest
import trio

from trio_steps import ForkPartialError, Fulfilled, PathCancelledError, Rejected, StepTimeoutError


def told_apart(result):
    match result:
        case Fulfilled(step_id, value):
            return "fulfilled", step_id, value
        case Rejected(step_id, error):
            return "rejected", step_id, error


def test_fulfilled_has_the_fields_of_a_value() -> None:
    result = Fulfilled("fetch", 7)
    assert (result.step_id, result.status, result.value, result.error) == ("fetch", "fulfilled", 7, None)


def test_rejected_has_the_fields_of_an_error() -> None:
    error = ValueError("broken")
    result = Rejected("fetch", error)
    assert (result.step_id, result.status, result.value) == ("fetch", "rejected", None)
    assert result.error is error


def test_fulfilled_unwraps_to_its_value_each_time() -> None:
    value = object()
    result = Fulfilled("fetch", value)
    assert result.unwrap() is value
    assert result.unwrap() is value


def test_rejected_raises_its_very_error_each_time_it_is_unwrapped() -> None:
    error = ValueError("broken")
    result = Rejected("fetch", error)
    for _ in range(3):
        with pytest.raises(ValueError, match=r"^broken$") as caught:
            result.unwrap()
        assert caught.value is error


def test_fulfilled_outcome_is_equal_and_new_each_time() -> None:
    """An `outcome.Value` can be unwrapped once only."""
    result = Fulfilled("fetch", [7])
    first, second = result.outcome, result.outcome
    assert first == second == outcome.Value([7])
    assert first is not second
    assert first.unwrap() == [7]
    assert second.unwrap() == [7]


def test_rejected_outcome_is_equal_and_new_each_time() -> None:
    """An `outcome.Error` can be unwrapped once only."""
    error = ValueError("broken")
    result = Rejected("fetch", error)
    first, second = result.outcome, result.outcome
    assert first == second == outcome.Error(error)
    assert first is not second
    for each in (first, second):
        with pytest.raises(ValueError, match=r"^broken$") as caught:
            each.unwrap()
        assert caught.value is error


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ValueError(), "step_failed"),
        (StepTimeoutError("s", 1.0), "timed_out"),
        (trio.TooSlowError(), "timed_out"),
        (PathCancelledError("s", "because", False), "cancelled"),
        (ForkPartialError("m", [ValueError()]), "fork_partial"),
    ],
)
def test_rejected_kind_classifies_its_error(error, kind) -> None:
    assert Rejected("s", error).kind == kind


def test_results_match_by_position() -> None:
    error = ValueError()
    assert told_apart(Fulfilled("a", 1)) == ("fulfilled", "a", 1)
    assert told_apart(Rejected("b", error)) == ("rejected", "b", error)


def test_results_match_by_status_and_kind() -> None:
    seen = []
    for result in (Fulfilled("a", 1), Rejected("b", StepTimeoutError("b", 2.0)), Rejected("c", ValueError())):
        match result:
            case Fulfilled(status="fulfilled", value=value):
                seen.append(value)
            case Rejected(kind="timed_out", error=StepTimeoutError(seconds=seconds)):
                seen.append(seconds)
            case Rejected(status="rejected", step_id=step_id):
                seen.append(step_id)
    assert seen == [1, 2.0, "c"]


@pytest.mark.parametrize("result", [Fulfilled("a", 1), Rejected("a", ValueError())], ids=["fulfilled", "rejected"])
@pytest.mark.parametrize("field", ["step_id", "value", "error", "status", "outcome", "kind", "new"])
def test_result_is_frozen(result, field) -> None:
    with pytest.raises(AttributeError):
        setattr(result, field, None)


@pytest.mark.parametrize("result", [Fulfilled("a", 1), Rejected("a", ValueError())], ids=["fulfilled", "rejected"])
def test_result_has_slots(result) -> None:
    assert attrs.has(type(result))
    assert not hasattr(result, "__dict__")


def test_results_are_equal_by_what_they_hold() -> None:
    error = ValueError()
    assert Fulfilled("a", 1) == Fulfilled("a", 1)
    assert hash(Fulfilled("a", 1)) == hash(Fulfilled("a", 1))
    assert Fulfilled("a", 1) != Fulfilled("b", 1)
    assert Fulfilled("a", 1) != Fulfilled("a", 2)
    assert Rejected("a", error) == Rejected("a", error)
    assert Rejected("a", error) != Rejected("a", ValueError())


def test_results_survive_copy_deepcopy_and_pickle() -> None:
    won, lost = Fulfilled("a", [1]), Rejected("b", StepTimeoutError("b", 2.0))
    for way in (copy.copy, copy.deepcopy, lambda result: pickle.loads(pickle.dumps(result))):
        assert way(won) == won
        twin = way(lost)
        assert (type(twin), twin.step_id, twin.kind, str(twin.error)) == (Rejected, "b", "timed_out", str(lost.error))


def test_result_shows_what_it_holds() -> None:
    assert repr(Fulfilled("a", 1)) == "Fulfilled(step_id='a', value=1)"
    assert repr(Rejected("b", ValueError("x"))) == "Rejected(step_id='b', error=ValueError('x'))"
