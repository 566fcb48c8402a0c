"""`Fulfilled`, `Rejected` and the error of a failed fork, as plain values."""

from __future__ import annotations

import copy
import pickle
from traceback import format_exception
from typing import Any

import attrs
import outcome
import pytest
import trio

from trio_steps import (
    CircuitOpenError,
    ForkPartialError,
    Fulfilled,
    NoPathsError,
    NotAcceptedError,
    PathCancelledError,
    Rejected,
    StepTimeoutError,
    settle,
)
from trio_steps._core.errors import name_step
from trio_steps._core.results import kind_of


def duplicates(error):
    """Return a copy of `error` for each way to copy an exception."""
    return [copy.copy(error), copy.deepcopy(error), pickle.loads(pickle.dumps(error))]


def partial_error():
    """Return the error of a fork of four paths: two failed, one won, one was cancelled."""
    refused, broken = ConnectionError("refused"), ValueError("broken")
    error = ForkPartialError("fork 'f': 2 of 4 paths failed", [refused, broken])
    error.step_id = "f"
    error.succeeded = (Fulfilled("ok", 7),)
    error.failed = (
        Rejected("net", refused),
        Rejected("parse", broken),
        Rejected("slow", PathCancelledError("f/slow", "fork 'f': path 'net' failed", True)),
    )
    return error


def told_apart(result):
    match result:
        case Fulfilled(step_id, value):
            return "fulfilled", step_id, value
        case Rejected(step_id, error):
            return "rejected", step_id, error


def test_fulfilled_has_the_fields_of_a_value() -> None:
    result = Fulfilled("fetch", 7)
    assert (result.step_id, result.status, result.value, result.error) == ("fetch", "fulfilled", 7, None)
    assert result.kind is None


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


def test_fulfilled_has_the_outcome_that_it_was_captured_as() -> None:
    result = Fulfilled("fetch", [7])
    assert result.outcome is result.outcome
    assert result.outcome == outcome.Value([7])
    assert result.outcome.unwrap() == [7]
    with pytest.raises(outcome.AlreadyUsedError):
        result.outcome.unwrap()
    assert result.unwrap() == result.unwrap() == [7]


def test_rejected_has_the_outcome_that_it_was_captured_as() -> None:
    error = ValueError("broken")
    result = Rejected("fetch", error)
    assert result.outcome is result.outcome
    assert result.outcome == outcome.Error(error)
    with pytest.raises(ValueError, match=r"^broken$") as caught:
        result.outcome.unwrap()
    assert caught.value is error


def test_result_is_made_from_an_outcome() -> None:
    value, error = outcome.Value(7), outcome.Error(ValueError("broken"))
    fulfilled, rejected = Fulfilled.from_outcome("a", value), Rejected.from_outcome("b", error)
    assert fulfilled == Fulfilled("a", 7)
    assert fulfilled.outcome is value
    assert (rejected.step_id, rejected.error, rejected.outcome) == ("b", error.error, error)
    assert rejected.outcome is error


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt(), SystemExit(), GeneratorExit()])
def test_interrupt_is_no_result(interrupt: Any) -> None:
    says = f"{type(interrupt).__name__}\\(\\) is not an Exception"
    with pytest.raises(TypeError, match=says):
        Rejected("a", interrupt)
    with pytest.raises(TypeError, match=says):
        Rejected.from_outcome("a", outcome.Error(interrupt))


async def test_paths_of_a_settle_are_captured_as_outcomes() -> None:
    def fails() -> None:
        raise OSError("down")

    for paths in ([lambda: 1, lambda: 2], [lambda: 1, fails]):
        results: Any = await settle(paths)
        for result in results:
            assert result.outcome is result.outcome
            captured = outcome.Value if result.status == "fulfilled" else outcome.Error
            assert type(result.outcome) is captured


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


# PathCancelledError


def test_path_cancelled_error_says_who_stopped_a_running_path() -> None:
    error = PathCancelledError("f/slow", "fork 'f': path 'fast' won", True)
    assert (error.step, error.reason, error.started, error.kind) == (
        "f/slow",
        "fork 'f': path 'fast' won",
        True,
        "cancelled",
    )
    assert str(error) == "'f/slow' was cancelled: fork 'f': path 'fast' won"


def test_path_cancelled_error_tells_a_queued_path_from_a_running_one() -> None:
    error = PathCancelledError("f/last", "fork 'f': path 'fast' won", False)
    assert error.started is False
    assert str(error) == "'f/last' was not started: fork 'f': path 'fast' won"


def test_path_cancelled_error_is_an_exception_and_no_cancelled() -> None:
    assert issubclass(PathCancelledError, Exception)
    assert not issubclass(PathCancelledError, trio.Cancelled)


@pytest.mark.parametrize(
    "error", [NoPathsError("none"), PathCancelledError("s", "because", False)], ids=lambda error: type(error).__name__
)
def test_error_of_a_fork_survives_copying(error) -> None:
    for twin in duplicates(error):
        assert type(twin) is type(error)
        assert (str(twin), twin.args, vars(twin)) == (str(error), error.args, vars(error))


# ForkPartialError


def test_fork_partial_error_is_an_exception_group_of_the_real_failures() -> None:
    error = partial_error()
    assert isinstance(error, ExceptionGroup)
    assert [type(inner) for inner in error.exceptions] == [ConnectionError, ValueError]
    assert error.kind == "fork_partial"


def test_fork_partial_error_has_empty_fields_until_they_are_filled() -> None:
    error = ForkPartialError("m", [ValueError()])
    assert (error.step_id, error.succeeded, error.failed) == ("", (), ())


def test_fork_partial_error_refuses_what_is_no_exception() -> None:
    with pytest.raises(TypeError):
        ForkPartialError("m", [KeyboardInterrupt()])


def test_fork_partial_error_is_caught_by_its_own_name() -> None:
    error = partial_error()
    with pytest.raises(ForkPartialError) as caught:
        raise error
    assert caught.value is error


def test_fork_partial_error_split_keeps_class_and_fields_on_both_sides() -> None:
    error = partial_error()
    matched, rest = error.split(ConnectionError)
    for half, inner in ((matched, error.exceptions[0]), (rest, error.exceptions[1])):
        assert type(half) is ForkPartialError
        assert half.exceptions == (inner,)
        assert half.message == error.message
        assert (half.step_id, half.succeeded, half.failed) == (error.step_id, error.succeeded, error.failed)


def test_fork_partial_error_split_keeps_notes_cause_and_traceback() -> None:
    error = partial_error()
    name_step(error, "f")
    cause = KeyError("cause")
    with pytest.raises(ForkPartialError):
        raise error from cause
    for half in error.split(ConnectionError):
        assert half.__notes__ == ["in step 'f'"]
        assert half.__cause__ is cause
        assert half.__traceback__ is error.__traceback__


def test_fork_partial_error_split_that_matches_nothing_leaves_everything_in_the_rest() -> None:
    error = partial_error()
    matched, rest = error.split(KeyError)
    assert matched is None
    assert type(rest) is ForkPartialError
    assert rest.exceptions == error.exceptions
    assert (rest.step_id, rest.succeeded, rest.failed) == (error.step_id, error.succeeded, error.failed)


def test_fork_partial_error_subgroup_by_predicate_keeps_class_and_fields() -> None:
    error = partial_error()
    part = error.subgroup(lambda inner: isinstance(inner, ValueError))
    assert type(part) is ForkPartialError
    assert part.exceptions == (error.exceptions[1],)
    assert (part.step_id, part.succeeded, part.failed) == (error.step_id, error.succeeded, error.failed)


def test_fork_partial_error_derive_takes_other_exceptions_and_keeps_the_fields() -> None:
    error = partial_error()
    other = KeyError("other")
    derived = error.derive([other])
    assert type(derived) is ForkPartialError
    assert derived.exceptions == (other,)
    assert (derived.message, derived.step_id) == (error.message, error.step_id)
    assert (derived.succeeded, derived.failed) == (error.succeeded, error.failed)


def test_fork_partial_error_inside_another_group_is_found_and_kept_by_split() -> None:
    """As ``except* ConnectionError`` does: it splits the outer group, and the fork's error inside."""
    error = partial_error()
    around = ExceptionGroup("nursery", [error, OSError("else")])
    matched, rest = around.split(ConnectionError)
    assert type(matched) is ExceptionGroup
    assert type(matched.exceptions[0]) is ForkPartialError
    assert matched.exceptions[0].failed == error.failed
    assert type(rest.exceptions[0]) is ForkPartialError
    assert rest.exceptions[0].exceptions == (error.exceptions[1],)


def test_fork_partial_error_keeps_the_group_of_a_path_as_one_member() -> None:
    inner = ExceptionGroup("the path's own", [ConnectionError("a"), KeyError("b")])
    error = ForkPartialError("m", [inner, ValueError("c")])
    assert error.exceptions[0] is inner
    matched, _ = error.split(ConnectionError)
    assert type(matched) is ForkPartialError
    assert type(matched.exceptions[0]) is ExceptionGroup
    assert matched.exceptions[0].message == "the path's own"


def test_fork_partial_error_passes_through_a_cancel_scope_that_splits_its_group() -> None:
    error = partial_error()

    async def main():
        with trio.CancelScope() as scope:
            scope.cancel()
            try:
                await trio.lowlevel.checkpoint()
            except trio.Cancelled as cancelled:
                raise BaseExceptionGroup("mixed", [cancelled, error]) from None

    with pytest.raises(ExceptionGroup) as caught:
        trio.run(main)
    [passed] = caught.value.exceptions
    assert type(passed) is ForkPartialError
    assert passed.exceptions == error.exceptions
    assert (passed.step_id, passed.succeeded, passed.failed) == (error.step_id, error.succeeded, error.failed)


def test_fork_partial_error_shows_every_failure_in_its_traceback() -> None:
    text = "".join(format_exception(partial_error()))
    assert "fork 'f': 2 of 4 paths failed" in text
    assert "ConnectionError: refused" in text
    assert "ValueError: broken" in text


@pytest.mark.parametrize("way", [0, 1, 2], ids=["copy", "deepcopy", "pickle"])
def test_fork_partial_error_survives_copying(way) -> None:
    error = partial_error()
    name_step(error, "f")
    twin = duplicates(error)[way]
    assert type(twin) is ForkPartialError
    assert twin is not error
    assert (twin.message, str(twin), twin.step_id, twin.kind) == (error.message, str(error), "f", "fork_partial")
    assert [repr(inner) for inner in twin.exceptions] == [repr(inner) for inner in error.exceptions]
    assert twin.succeeded == error.succeeded
    assert [(result.step_id, repr(result.error)) for result in twin.failed] == [
        (result.step_id, repr(result.error)) for result in error.failed
    ]
    assert twin.__notes__ == ["in step 'f'"]


@pytest.mark.parametrize("way", [0, 1, 2], ids=["copy", "deepcopy", "pickle"])
def test_fork_partial_error_copies_still_hold_each_failure_once(way) -> None:
    """The error in ``failed`` and the member of the group are the same object, also in the copy."""
    twin = duplicates(partial_error())[way]
    assert twin.failed[0].error is twin.exceptions[0]
    assert twin.failed[1].error is twin.exceptions[1]


@pytest.mark.parametrize("way", [0, 1, 2], ids=["copy", "deepcopy", "pickle"])
def test_fork_partial_error_copies_can_be_split(way) -> None:
    twin = duplicates(partial_error())[way]
    matched, _ = twin.split(ConnectionError)
    assert type(matched) is ForkPartialError
    assert matched.failed == twin.failed


# kind_of


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ValueError(), "step_failed"),
        (TimeoutError(), "step_failed"),
        (ExceptionGroup("", [trio.TooSlowError()]), "step_failed"),
        (CircuitOpenError("s", 1.0), "step_failed"),
        (StepTimeoutError("s", 1.0), "timed_out"),
        (trio.TooSlowError(), "timed_out"),
        (PathCancelledError("s", "because", True), "cancelled"),
        (ForkPartialError("m", [ValueError()]), "fork_partial"),
        (NotAcceptedError("s", 5), "not_accepted"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_kind_of_classifies_an_error(error, kind) -> None:
    assert kind_of(error) == kind
