"""The exceptions: their types, what they carry, and what survives splitting and copying."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from traceback import format_exception

import pytest
import trio

from trio_steps import (
    CircuitOpenError,
    ConfigError,
    NotAcceptedError,
    StepTimeoutError,
)
from trio_steps._core.errors import (
    CheckpointError,
    KeyCollisionError,
    StepInputError,
    StepOutputError,
    add_note,
    leaves,
    listed,
    name_step,
    notes_of,
    short_repr,
)


def duplicates(error):
    """Return a copy of `error` for each way to copy an exception."""
    return [copy.copy(error), copy.deepcopy(error), pickle.loads(pickle.dumps(error))]


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


@pytest.mark.parametrize(
    "error",
    [
        ConfigError("no"),
        StepTimeoutError("s", 2.0),
        CircuitOpenError("s", 3.0),
        CircuitOpenError("s", 3.0, skip=True),
        NotAcceptedError("s", 5),
        KeyCollisionError("key", "s", ("first", "second")),
        StepInputError("s", "key", ["a", "b"]),
        StepInputError("s", "key", ["a", "b"], declared=True),
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


@pytest.mark.parametrize(
    ("given", "told"), [(["userid"], " (did you mean 'userid'?); it has 'userid'"), ([], "; the input is empty")]
)
def test_step_input_error_of_a_declared_input_speaks_of_fields(given, told) -> None:
    error = StepInputError("signup", "user_id", given, declared=True)
    assert (
        str(error)
        == f"'signup' needs 'user_id', which its input does not have{told}. Only an optional field may be missing"
    )


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
    """A frozen dataclass refuses every attribute, but the error must still propagate."""

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


def test_leaves_of_a_group_that_is_in_there_many_times_come_once() -> None:
    """Each level holds the one below it twice: 2**60 ways lead to the leaf."""
    group = error = ValueError("a")
    for _ in range(60):
        group = ExceptionGroup("", [group, group])
    assert list(leaves(group)) == [error, error]


def test_leaves_of_a_group_as_deep_as_can_be_are_found() -> None:
    group = error = ValueError("a")
    for _ in range(20_000):
        group = ExceptionGroup("", [group])
    assert list(leaves(group)) == [error]
    while isinstance(group, ExceptionGroup):  # otherwise freeing it would recurse as deeply
        [inner] = group.exceptions
        group = inner


# Exceptions that misbehave


class MuteError(Exception):
    def __repr__(self):
        raise RuntimeError


class LooseError(Exception):
    def __getattr__(self, name):
        return None


class LockedError(Exception):
    def __getattr__(self, name):
        raise KeyError(name)

    def __setattr__(self, name, value):
        raise RuntimeError(name)


class NotedError(Exception):
    def __init__(self, notes):
        self.__notes__ = notes


def test_note_is_added_whatever_an_unknown_attribute_is() -> None:
    error = LooseError()
    add_note(error, "a")
    name_step(error, "s")
    assert error.__notes__ == ["a", "in step 's'"]


def test_note_that_an_exception_refuses_is_left_out() -> None:
    error = LockedError()
    add_note(error, "a")
    name_step(error, "s")
    assert notes_of(error) is None


@pytest.mark.parametrize("notes", ["text", 5, ("a", "b"), {"a": 1}], ids=lambda notes: type(notes).__name__)
def test_note_leaves_notes_alone_that_are_no_list(notes) -> None:
    error = NotedError(notes)
    add_note(error, "a")
    name_step(error, "s")
    assert error.__notes__ is notes


class Awkward:
    def __eq__(self, other):
        raise RuntimeError

    __hash__ = None


def test_note_stands_beside_notes_that_are_no_text() -> None:
    odd = Awkward()
    error = NotedError([1, odd])
    name_step(error, "s")
    name_step(error, "s")
    assert error.__notes__[0] == 1
    assert error.__notes__[1] is odd
    assert error.__notes__[2:] == ["in step 's'"]


def test_step_names_are_noted_on_a_shared_error_as_long_as_there_are_few() -> None:
    error = ValueError()
    for number in range(5_000):
        name_step(error, f"f/p{number}")
    name_step(error, "f")
    assert error.__notes__ == [*(f"in step 'f/p{number}'" for number in range(8)), "in other steps, too"]


# Texts


@pytest.mark.parametrize(
    "value",
    [
        ValueError(),
        ValueError("a"),
        ValueError("a", 1),
        OSError(2, "no such file"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
        ExceptionGroup("two", [ValueError("a"), KeyError("b")]),
        StepTimeoutError("s", 2.0),
        "text",
        b"bytes",
        bytearray(b"bytes"),
        5,
        None,
        [1, "a", (2.5, {"key": {3}})],
    ],
    ids=lambda value: type(value).__name__,
)
def test_short_text_of_something_small_is_its_repr(value) -> None:
    assert short_repr(value) == repr(value)


class Verbose:
    def __repr__(self):
        return "v" * 1_000


class Huge(bytes):
    """A payload that can't be shown in full."""

    __slots__ = ()

    def __getitem__(self, index):
        assert index == slice(None, 300)
        return bytes(self)[index]


@pytest.mark.parametrize(
    "value",
    [
        "x" * 10**6,
        Huge(10**6),
        UnicodeDecodeError("utf-8", b"\xff" * 10**6, 0, 1, "invalid start byte"),
        ValueError("x" * 10**6),
        ValueError(*range(10**5)),
        ValueError(list(range(10**5))),
        ValueError(10**5_000),
        ValueError(Verbose()),
        Verbose(),
        ExceptionGroup("m", [ValueError("x" * 1_000)] * 1_000),
    ],
    ids=lambda value: type(value).__name__,
)
def test_short_text_of_something_large_is_cut(value) -> None:
    text = short_repr(value)
    assert len(text) <= 300
    assert "…" in text or "repr fails" in text or "5001 digits" in text  # Python shows no number of 5,000 digits


def test_short_text_says_what_is_nested_a_few_levels_deep() -> None:
    error = ValueError("a")
    for _ in range(20_000):
        error = ExceptionGroup("g", [error])
    assert short_repr(error) == "ExceptionGroup('g', [ExceptionGroup('g', [ExceptionGroup('g', […])])])"
    while isinstance(error, ExceptionGroup):
        [error] = error.exceptions


@pytest.mark.parametrize("value", [MuteError(), ExceptionGroup("g", [MuteError()])], ids=["bare", "in a group"])
def test_short_text_of_what_has_no_repr_says_so(value) -> None:
    assert "<MuteError whose repr fails>" in short_repr(value)


def test_short_text_of_errors_inside_errors_stops_at_their_names() -> None:
    error = KeyError("secret")
    for _ in range(5):
        error = ValueError(error)
    assert short_repr(error) == "ValueError(" * 5 + "KeyError(…)" + ")" * 5


def test_short_text_of_what_can_not_even_be_looked_at_says_so() -> None:
    class List(list):
        def __len__(self):
            raise RuntimeError

        __repr__ = __len__

    List.__name__ = "list"
    assert short_repr(List()) == "<list whose repr fails>"


def test_short_text_of_a_proxy_to_nothing_says_so() -> None:
    class Proxy:
        @property
        def __class__(self):
            raise RuntimeError("working outside of a request")

        def __repr__(self):
            return repr(self.__class__)

    assert short_repr(Proxy()) == "<Proxy whose repr fails>"


def test_not_accepted_error_holds_the_value_and_shows_the_beginning_of_it() -> None:
    error = NotAcceptedError("poll", "x" * 1_000)
    assert (error.step, error.value, error.kind) == ("poll", "x" * 1_000, "not_accepted")
    assert str(error).startswith("'poll' returned 'xxx")
    assert str(error).endswith("xxx', which accept= refused")
    assert len(str(error)) < 400
