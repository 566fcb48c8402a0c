"""Exceptions come back with type, arguments and attributes."""

from __future__ import annotations

import json

import attrs
import pytest
import trio
from writable import GroupOfTwo, PaymentError, round_trip, state, with_attribute

from trio_steps import (
    CircuitOpenError,
    ForkPartialError,
    Fulfilled,
    PathCancelledError,
    Rejected,
    StepTimeoutError,
)
from trio_steps._core.errors import CheckpointError, add_note
from trio_steps._values.codec import decode, encode


class SlottedError(ValueError):
    __slots__ = ("empty", "left")

    def __init__(self):
        super().__init__()
        self.left = [1]


@attrs.define
class AttrsError(Exception):
    path: str
    attempts: list[int]


class DiskError(OSError):
    def __init__(self, device):
        super().__init__(5, f"{device} broke", device)
        self.device = device


@pytest.mark.parametrize(
    "error",
    [
        ValueError("broken"),
        KeyError("k", 1),
        Exception(),
        OSError(2, "no such file", "here"),
        OSError(17, "exists", "here", None, "there"),
        OSError("odd"),
        ConnectionRefusedError(111, "refused"),
        ImportError("no", name="mod", path="/p"),
        NameError("no", name="n"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
        SyntaxError("bad", ("file", 1, 2, "text")),
        StopIteration(7),
        trio.TooSlowError(),
        trio.BrokenResourceError("gone"),
        StepTimeoutError("s", 2.0),
        CircuitOpenError("s", 3.0, skip=True),
        PathCancelledError("s", "because", False),
        CheckpointError("no", "s", "k"),
        PaymentError(7, retry=[1]),
        DiskError("sda"),
        json.JSONDecodeError("bad", "doc", 1),
        with_attribute(ValueError("v")),
    ],
    ids=lambda value: type(value).__name__,
)
def test_exception_comes_back_with_type_args_and_attributes(error) -> None:
    add_note(error, "in step 's'")
    twin = round_trip(error)
    assert twin is not error
    assert state(twin) == state(error)
    assert twin.__notes__ == ["in step 's'"]
    for name in ("errno", "strerror", "filename", "filename2", "name", "path", "lineno", "start", "reason", "value"):
        assert getattr(twin, name, None) == getattr(error, name, None)


def test_exception_comes_back_without_its_traceback_cause_and_context() -> None:
    with pytest.raises(ValueError, match="x") as caught:
        raise ValueError("x") from KeyError()
    twin = round_trip(caught.value)
    assert (twin.__traceback__, twin.__cause__, twin.__context__) == (None, None, None)


def test_exception_that_hides_its_context_is_written_like_any_other() -> None:
    plain, hiding = ValueError("a"), ValueError("a")
    hiding.__suppress_context__ = True
    assert encode(hiding) == encode(plain)


def test_error_of_a_fork_comes_back_without_what_discards_its_values() -> None:
    error = ForkPartialError("failed", [ValueError()])
    error.discard_values = object()
    assert not hasattr(round_trip(error), "discard_values")


@pytest.mark.parametrize("name", ["list", "KeyboardInterrupt", "BaseException"])
def test_text_of_an_exception_that_names_another_class_is_refused(name) -> None:
    with pytest.raises(CheckpointError, match=f"^{name} is not an Exception$"):
        decode({"$": "error", "is": [f"builtins:{name}", 0, False]})


def test_exception_with_slots_comes_back() -> None:
    twin = round_trip(SlottedError())
    assert (type(twin), twin.left, hasattr(twin, "empty")) == (SlottedError, [1], False)
    attrs_twin = round_trip(AttrsError("p", [1]))
    assert (type(attrs_twin), attrs_twin.path, attrs_twin.attempts) == (AttrsError, "p", [1])


def test_attribute_error_comes_back_without_the_object_it_was_about() -> None:
    with pytest.raises(AttributeError) as caught:
        object().missing
    twin = round_trip(caught.value)
    assert (str(twin), twin.name, twin.obj) == (str(caught.value), "missing", None)


def test_exception_is_built_without_its_own_code(monkeypatch) -> None:
    tree = encode(PaymentError(7, retry=True))

    def refuse(*args, **options):
        raise AssertionError("code of the class was called")

    for name in ("__new__", "__init__", "__setattr__", "__setstate__", "__reduce__", "__getattribute__"):
        monkeypatch.setattr(PaymentError, name, refuse)
    twin = decode(tree)
    monkeypatch.undo()
    assert (twin.code, twin.retry) == (7, True)


@pytest.mark.parametrize("make", [list, tuple])
@pytest.mark.parametrize("group", [ExceptionGroup, ForkPartialError])
def test_exception_group_comes_back(group, make) -> None:
    error = group("m", make([ValueError("a"), group("inner", [KeyError("b")])]))
    twin = round_trip(error)
    assert type(twin) is group
    assert (twin.message, repr(twin)) == ("m", repr(error))
    assert repr(twin.args) == repr(error.args)
    assert [type(one) for one in twin.exceptions] == [ValueError, group]
    assert repr(twin.exceptions[1].exceptions) == repr(error.exceptions[1].exceptions)


@pytest.mark.parametrize("args", [(), ("m",), ("m", [], "more")])
def test_exception_group_whose_args_are_others_is_refused(args) -> None:
    error = ExceptionGroup("m", [ValueError("a")])
    error.args = args
    with pytest.raises(CheckpointError, match="is not the same when rebuilt from its args"):
        encode(error)


def test_exception_group_with_a_constructor_of_its_own_comes_back() -> None:
    error = GroupOfTwo(ValueError(), KeyError("k"))
    twin = round_trip(error)
    assert type(twin) is GroupOfTwo
    assert (repr(twin), repr(twin.args)) == (repr(error), repr(error.args))


def test_fork_partial_error_comes_back_with_its_fields_and_the_same_errors_in_them() -> None:
    broken = ValueError("broken")
    error = ForkPartialError("fork 'f': 1 of 3 paths failed", [broken])
    error.step_id = "f"
    error.succeeded = (Fulfilled("ok", [7]),)
    error.failed = (Rejected("bad", broken), Rejected("slow", PathCancelledError("f/slow", "because", True)))
    result = round_trip(Rejected("f", error))
    twin = result.error
    assert (type(result), result.step_id, result.kind, twin.step_id) == (Rejected, "f", "fork_partial", "f")
    assert twin.succeeded == (Fulfilled("ok", [7]),)
    assert [one.kind for one in twin.failed] == ["step_failed", "cancelled"]
    assert twin.failed[0].error is twin.exceptions[0]


def test_settle_results_come_back_in_a_list() -> None:
    first, second, third = round_trip([Fulfilled("a", 1), Rejected("b", TimeoutError("slow")), Fulfilled("c", (2,))])
    assert (first, third) == (Fulfilled("a", 1), Fulfilled("c", (2,)))
    assert (type(second), second.step_id, type(second.error)) == (Rejected, "b", TimeoutError)
    assert second.error.args == ("slow",)


def test_exceptions_with_one_text_are_read_as_one_object_unless_the_text_refers_to_others() -> None:
    known: dict[str, object] = {}
    first, second = (decode(encode(ValueError("a", [1])), known=known) for _ in range(2))
    assert first is second
    assert decode(encode(ValueError("a", [2])), known=known) is not first
    shared = [1]
    first, second = (decode(encode(ValueError(shared, shared)), known=known) for _ in range(2))
    assert first is not second
    assert decode(encode(ValueError("a", [1]))) is not decode(encode(ValueError("a", [1])))


def test_failed_paths_of_a_fork_come_back_as_a_tuple() -> None:
    error = ForkPartialError("failed", [ValueError()])
    error.failed = [Rejected("a", error.exceptions[0])]
    twin = round_trip(error)
    assert type(twin.failed) is tuple
    assert twin.failed[0].error is twin.exceptions[0]
