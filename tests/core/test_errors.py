"""The exceptions: what they are, what they carry, what survives splitting and copying."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import sys

import pytest
import trio

from trio_steps import (
    CircuitOpenError,
    ConfigError,
    ForkPartialError,
    Fulfilled,
    NoPathsError,
    PathCancelledError,
    Rejected,
    StepTimeoutError,
)
from trio_steps._core.errors import (
    CheckpointError,
    KeyCollisionError,
    StepInputError,
    StepOutputError,
    add_note,
    kind_of,
    leaves,
    listed,
    name_step,
)

if sys.version_info < (3, 11):
    from exceptiongroup import BaseExceptionGroup, ExceptionGroup, format_exception
else:
    from traceback import format_exception


def duplicates(error):
    """Return what each way to copy an exception makes of `error`."""
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


# Single errors


def test_config_error_is_a_value_error() -> None:
    assert issubclass(ConfigError, ValueError)


def test_step_timeout_error_is_a_too_slow_error_with_the_step_and_its_seconds() -> None:
    error = StepTimeoutError("outer/inner", 0.5)
    assert isinstance(error, trio.TooSlowError)
    assert (error.step, error.seconds, error.kind) == ("outer/inner", 0.5, "timed_out")
    assert str(error) == "'outer/inner' timed out after 0.5 s"


def test_circuit_open_error_says_when_the_next_probe_is() -> None:
    error = CircuitOpenError("fetch", 2.5)
    assert (error.step, error.retry_after, error.skip) == ("fetch", 2.5, False)
    assert str(error) == "circuit breaker of 'fetch' is open; next probe in 2.5 s"


def test_circuit_open_error_says_when_a_probe_is_under_way() -> None:
    assert str(CircuitOpenError("fetch", 0.0)) == "circuit breaker of 'fetch' is open; a probe is under way"


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
    "error",
    [
        ConfigError("no"),
        StepTimeoutError("s", 2.0),
        CircuitOpenError("s", 3.0),
        CircuitOpenError("s", 3.0, skip=True),
        NoPathsError("none"),
        PathCancelledError("s", "because", False),
        KeyCollisionError("key", "s", ("first", "second")),
        StepInputError("s", "key", ["a", "b"]),
        StepOutputError("s", "returned 5"),
        CheckpointError("can't be read"),
        CheckpointError("can't be written", step="s", key="key"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_error_survives_copy_deepcopy_and_pickle(error) -> None:
    add_note(error, "in step 's'")
    for twin in duplicates(error):
        assert type(twin) is type(error)
        assert twin is not error
        assert (str(twin), twin.args, vars(twin)) == (str(error), error.args, vars(error))
        assert twin.__notes__ == ["in step 's'"]


def test_key_collision_error_names_the_key_and_both_sources() -> None:
    error = KeyCollisionError("user", "p/load", ("p/first", "p/second"))
    assert (error.key, error.step, error.sources) == ("user", "p/load", ("p/first", "p/second"))
    assert all(repr(word) in str(error) for word in ("user", "p/load", "p/first", "p/second"))


def test_step_input_error_names_the_key_and_those_there_are() -> None:
    error = StepInputError("p/load", "user", iter(["order", "total"]))
    assert (error.step, error.key, error.available) == ("p/load", "user", ("order", "total"))
    assert all(repr(word) in str(error) for word in ("p/load", "user", "order", "total"))


def test_step_output_error_is_a_type_error_that_names_the_step_and_the_problem() -> None:
    error = StepOutputError("p/load", "returned 5")
    assert isinstance(error, TypeError)
    assert (error.step, error.problem) == ("p/load", "returned 5")
    assert str(error) == "'p/load' returned 5"


def test_checkpoint_error_is_a_value_error_that_says_what_it_is_about() -> None:
    error = CheckpointError("can't be written", step="p/load", key="user")
    assert isinstance(error, ValueError)
    assert (error.problem, error.step, error.key) == ("can't be written", "p/load", "user")
    assert str(error) == "step 'p/load', key 'user': can't be written"
    assert str(CheckpointError("can't be read")) == "can't be read"


def test_listed_names_are_never_more_than_a_person_would_read() -> None:
    names = [f"key{number}" for number in range(25)]
    assert listed([]) == "nothing"
    assert listed(names[:2]) == "'key0', 'key1'"
    assert listed(names[:20]).endswith("'key19'")
    assert listed(names).endswith("'key19' and 5 more")


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
    """What ``except* ConnectionError`` does: it splits the group around, and the fork's error with it."""
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
    """The error in ``failed`` and the member of the group are one object, in the copy too."""
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
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_kind_of_classifies_an_error(error, kind) -> None:
    assert kind_of(error) == kind


# Notes


def test_note_is_shown_by_the_traceback() -> None:
    error = ValueError("broken")
    add_note(error, "in step 's'")
    assert "".join(format_exception(error)) == "ValueError: broken\nin step 's'\n"


def test_note_is_added_once() -> None:
    error = ValueError()
    add_note(error, "a")
    add_note(error, "b")
    add_note(error, "a")
    assert error.__notes__ == ["a", "b"]


def test_note_keeps_those_of_the_user() -> None:
    error = ValueError()
    error.__notes__ = ["the user's"]
    add_note(error, "ours")
    assert error.__notes__ == ["the user's", "ours"]


def test_note_on_a_copy_leaves_the_original_alone() -> None:
    """A shallow copy of an exception shares the list of notes with it."""
    error = ValueError()
    add_note(error, "a")
    twin = copy.copy(error)
    add_note(twin, "b")
    assert error.__notes__ == ["a"]
    assert twin.__notes__ == ["a", "b"]


def test_note_on_an_exception_that_takes_none_is_left_out() -> None:
    """A frozen dataclass refuses every attribute; its error must come out all the same."""

    @dataclasses.dataclass(frozen=True)
    class FrozenError(Exception):
        code: int

    error = FrozenError(5)
    add_note(error, "a")
    name_step(error, "s")
    assert not hasattr(error, "__notes__")


def test_step_name_is_noted_in_full() -> None:
    error = ValueError()
    name_step(error, "outer/inner")
    assert error.__notes__ == ["in step 'outer/inner'"]


def test_step_name_of_the_innermost_step_is_the_only_one() -> None:
    error = ValueError()
    for name in ("a/b/c", "a/b", "a"):
        name_step(error, name)
    assert error.__notes__ == ["in step 'a/b/c'"]


def test_step_name_that_only_begins_like_another_is_noted_too() -> None:
    """``ab/x`` is not inside ``a``, nor inside ``ab/x2``."""
    error = ValueError()
    for name in ("ab/x", "a", "ab/x2"):
        name_step(error, name)
    assert error.__notes__ == ["in step 'ab/x'", "in step 'a'", "in step 'ab/x2'"]


@pytest.mark.parametrize(
    "id", ["it's", 'say "hi"', "both ' and \"", "back\\slash", "new\nline", "tab\t", "ünïcode", "\x00"]
)
def test_step_name_of_the_innermost_step_is_the_only_one_whatever_its_characters(id) -> None:
    error = ValueError()
    name_step(error, f"{id}/inner")
    name_step(error, id)
    assert error.__notes__ == [f"in step '{id}/inner'"]


@pytest.mark.parametrize("inner", ["it's", 'say "hi"', "both ' and \""])
def test_step_name_of_the_innermost_step_is_the_only_one_whatever_its_own_characters(inner) -> None:
    error = ValueError()
    name_step(error, f"outer/{inner}")
    name_step(error, "outer")
    assert error.__notes__ == [f"in step 'outer/{inner}'"]


@pytest.mark.parametrize(
    "note",
    [
        "in step 3 of the import",
        "in step 5",
        "in step 'two' of it",
        "in step ",
        "in step (1,)",
        "in step '\\d'",
        "in step s/x",
    ],
)
def test_step_name_is_noted_next_to_a_note_of_the_user_that_looks_like_it(note) -> None:
    error = ValueError()
    error.__notes__ = [note]
    name_step(error, "s")
    assert error.__notes__ == [note, "in step 's'"]


# leaves


def test_leaves_of_an_error_that_is_no_group_is_the_error() -> None:
    error = KeyboardInterrupt()
    assert list(leaves(error)) == [error]


def test_leaves_of_nested_groups_come_in_order() -> None:
    a, b, c, d = ValueError("a"), KeyboardInterrupt("b"), KeyError("c"), OSError("d")
    group = BaseExceptionGroup("", [a, BaseExceptionGroup("", [b, ExceptionGroup("", [c])]), d])
    assert list(leaves(group)) == [a, b, c, d]
