"""What is known of a pipeline's input and output."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Required, TypedDict

import pytest
from flows import (
    MAYBE_USER,
    ORDERS,
    USER,
    In,
    Inner,
    Order,
    Premium,
    Stats,
    Totals,
    User,
    any_mapping,
    anything,
    count,
    each,
    either_user,
    fetch_orders,
    fetch_user,
    key,
    later,
    make,
    maybe_user,
    nest,
    no_output,
    one_text,
    one_user,
    provider,
    row,
    run,
    stats,
    user_as_text,
)

from trio_steps import ConfigError, Fulfilled, Rejected
from trio_steps._pipeline.contract.annotations import UNKNOWN
from trio_steps._pipeline.contract.flow import (
    Flow,
    Need,
)
from trio_steps._pipeline.contract.shape import ANYTHING, NOTHING, Shape, Source
from trio_steps._pipeline.signature import provided_by, signature_of


class PartialIn(TypedDict, total=False):
    user_id: Required[str]
    limit: int


def build(*steps, inputs=In):
    """Return what is known after `steps`."""
    return make(*steps, inputs=inputs)._program.flow


def start(inputs=In):
    return Flow.start(inputs)


def takes_text(limit: str = ""): ...


def test_inputs_are_folded_with_what_may_be_missing() -> None:
    """``NotRequired`` and ``Required`` are seen although the annotations are strings."""
    given = (None, ("it is given",))
    assert start(In).context == Shape(
        {"user_id": key(str, (None,)), "limit": key(int, (None,)), "trial": key(bool, given, definite=False)}
    )
    assert start(PartialIn).context == Shape({"user_id": key(str, (None,)), "limit": key(int, given, definite=False)})


@pytest.mark.parametrize("inputs", [None, Any, object, dict, Mapping[str, int], dict[str, object]])
def test_inputs_that_tell_no_keys_may_have_any(inputs) -> None:
    """Then the keys that are needed have to come from there."""
    flow = build(run("use", no_output), run("again", no_output), inputs=inputs)
    assert flow.context == Shape(outside=True)
    assert flow.needs == (Need("user", "use", User), Need("user", "again", User))
    assert flow.require(flow.needs[1:]) is flow


@pytest.mark.parametrize("inputs", [int, "In", list[str]])
def test_inputs_that_are_no_mapping_are_refused(inputs) -> None:
    """The message says what to give instead."""
    with pytest.raises(ConfigError, match=r"inputs=.*: give a TypedDict, an attrs class, a dataclass"):
        start(inputs)


def test_inputs_can_be_attrs_classes_and_dataclasses() -> None:
    """All their fields are known."""
    assert start(Totals).context == Shape({"total": key(int, (None,)), "currency": key(str, (None,))})
    assert start(Stats).needs == (Need("count", "", float),)


@pytest.mark.parametrize(
    ("fn", "provided"),
    [
        (fetch_user, Shape({"user": key(User, ("s",))})),
        (
            fetch_orders,
            Shape(
                {
                    "orders": key(list[Order], ("s",)),
                    "alerts": key(list[str], ("s", ("it returns it",)), definite=False),
                }
            ),
        ),
        (count, Shape({"total": key(int, ("s",)), "currency": key(str, ("s",))})),
        (stats, Shape({"count": key(float, ("s",))})),
        (Totals, Shape({"total": key(int, ("s",)), "currency": key(str, ("s",))})),
        (no_output, NOTHING),
        (maybe_user, Shape({"user": key(User, ("s", ("it returns UserOut",)), definite=False)})),
        (either_user, Shape({"user": key(User | Premium, ("s",))})),
        (later, Shape({"user": key(User, ("s",))})),
        (anything, ANYTHING),
        (any_mapping, ANYTHING),
        (row, ANYTHING),
        (provider(one_user, "user"), Shape({"user": key(User, ("s",))})),
        (provider(anything, "user"), Shape({"user": key(UNKNOWN, ("s",))})),
        (provider(no_output, "user"), Shape({"user": key(type(None), ("s",))})),
    ],
)
def test_provided_by_what_a_function_returns(fn, provided) -> None:
    """The return annotation decides. A class that is not a record may have subclasses that are."""
    assert provided_by(signature_of(fn, "s"), "s") == provided


def test_provides_of_the_step_comes_before_that_of_its_function() -> None:
    """The step in the pipeline has the last word."""
    assert list(provided_by(signature_of(provider(one_user, "user"), "s"), "s", "other").keys) == ["other"]


def test_a_transform_that_may_return_none_provides_its_keys_all_the_same() -> None:
    """If it returns None it fails, and no step follows."""
    assert provided_by(signature_of(maybe_user, "s"), "s", transform=True) == Shape({"user": key(User, ("s",))})


def make_results(over, fn, *, settle=False):
    flow = build(run("over", over, provides="things"), each("each", fn, over="things", each="thing", settle=settle))
    return flow.context.keys["results"].type


def things_list() -> list[int]: ...


def things_tuple() -> tuple[int, ...]: ...


def things_mapping() -> dict[str, int]: ...


def things_unknown(): ...


def to_text(thing: int) -> str: ...


@pytest.mark.parametrize(
    ("over", "settle", "result"),
    [
        (things_list, False, list[str]),
        (things_tuple, False, list[str]),
        (things_mapping, False, dict[Any, str]),
        (things_unknown, False, list[str] | dict[Any, str]),
        (things_list, True, list[Fulfilled[str] | Rejected]),
    ],
)
def test_for_each_collects_results(over, settle, result) -> None:
    """A list for a list or a tuple, a mapping for a mapping; with `settle`, results are wrapped."""
    assert make_results(over, to_text, settle=settle) == result


def test_for_each_of_a_key_that_is_not_known_collects_a_list_or_a_mapping() -> None:
    """An undeclared input may hold either."""
    flow = build(each("each", to_text, over="things", each="thing"), inputs=None)
    assert flow.context.keys["results"].type == list[str] | dict[Any, str]
    assert flow.needs == (Need("things", "each"),)


def test_the_output_of_a_nested_pipeline_is_what_it_provides() -> None:
    """The keys that it was given are not part of it."""
    assert list(build(USER, ORDERS).output.keys) == ["user", "orders", "alerts"]
    assert list(build(USER, ORDERS).result.keys) == ["user_id", "limit", "trial", "user", "orders", "alerts"]


def test_the_output_with_skip_leaves_out_what_was_there() -> None:
    """The first value wins, which is the parent's."""
    flow = build(run("limit", one_text, provides="limit", policy="skip"))
    assert flow.output == NOTHING
    assert flow.result.types["limit"] is int


def test_the_output_with_skip_has_an_unknown_type_where_the_key_may_have_been_there() -> None:
    """Nothing is known here of the parent's value."""
    for inputs, name in ((None, "limit"), (In, "trial")):
        flow = build(run("s", one_text, provides=name, policy="skip"), inputs=inputs)
        assert flow.output.keys == {name: key(UNKNOWN, ("s",))}


def test_the_output_with_skip_keeps_what_the_pipeline_itself_provided_first() -> None:
    """The first value wins inside one pipeline too."""
    flow = build(USER, run("text", user_as_text, policy="skip"))
    assert flow.output == Shape({"user": key(User, ("user",))})
    assert build(run("user", fetch_user, policy="skip")).output == Shape({"user": key(User, ("user",))})


def test_the_result_after_two_exits_names_both() -> None:
    """Either ``skip-remaining`` may have ended the pipeline."""
    flow = build(
        run("one", one_text, provides="a", on_error="skip-remaining"),
        run("two", one_text, provides="b", on_error="skip-remaining"),
    )
    assert flow.context.keys["a"].definite
    assert flow.result.keys["a"].sources == (Source("one", ("step 'one' does not fail",)),)
    assert flow.result.keys["b"].sources == (Source("two", ("step 'two' does not fail", "step 'one' does not fail")),)
    assert not flow.output.keys["a"].definite
    assert flow.result.keys["user_id"].definite


def test_a_transform_after_skip_remaining_leaves_the_earlier_keys_maybe() -> None:
    """The pipeline may have ended before it."""
    flow = build(run("one", one_text, provides="a", on_error="skip-remaining"), run("t", user_as_text, transform=True))
    assert str(flow.context) == "{user: str}"
    assert str(flow.result) == "{user?: str, user_id?: str, limit?: int, trial?: bool}"


def test_an_optional_need_reaches_the_input_of_a_nested_pipeline() -> None:
    """If the parent has the key, its type has to fit."""
    inner = make(run("stats", takes_text), inputs=None)
    assert inner._program.flow.needs == (Need("limit", "stats", str, required=False),)
    with pytest.raises(ConfigError, match="step 'inner/stats' takes 'limit' as str, but it is int"):
        make(nest("inner", inner))
    make(nest("inner", inner), inputs=Inner)


def test_a_need_that_an_unknown_step_may_meet_is_none_of_the_input() -> None:
    """Only certainties are reported."""
    assert build(run("any", lambda: {"a": 1}), run("use", no_output), inputs=None).needs == ()
    flow = build(MAYBE_USER, run("any", lambda: {"a": 1}), run("use", no_output), inputs=None)
    assert flow.needs == (Need("user_id", "user", str),)


def test_a_flow_is_not_changed_by_what_is_built_on_it() -> None:
    """A prefix can be shared."""
    prefix = make(USER)
    before = prefix.output_of()
    ORDERS(prefix)
    assert prefix.output_of() == before
