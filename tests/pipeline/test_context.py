"""The context and merging. All of it is synchronous, so no test here needs an event loop."""

from __future__ import annotations

import copy
import dataclasses
import enum
import pickle
from collections import OrderedDict
from collections.abc import Mapping

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_steps._core.errors import KeyCollisionError, StepInputError, StepOutputError, listed
from trio_steps._pipeline.context import Collision, Context, Output, Store, as_output, merge


class Touchy:
    """Must not be called: neither compared nor hashed nor copied."""

    def __eq__(self, other):
        raise AssertionError("__eq__ was called")

    def __hash__(self):
        raise AssertionError("__hash__ was called")

    def __copy__(self):
        raise AssertionError("__copy__ was called")

    def __deepcopy__(self, memo):
        raise AssertionError("__deepcopy__ was called")


class MyDict(dict):
    pass


def nested(depth, wrap):
    value = wrap(None)
    for _ in range(depth):
        value = wrap(value)
    return value


def test_patch_is_what_is_new_or_changed() -> None:
    kept = object()
    before = {"same": [1], "changed": 1, "gone": 2, "object": kept, "other": object()}
    after = {"same": [1], "changed": True, "new": None, "object": kept, "other": object()}
    store = Store(before, "the inputs").nested()
    store.update(after, {})
    assert store.patch() == {"changed": True, "new": None, "other": after["other"]}


def test_patch_is_decided_once_if_it_is_asked_for_when_values_are_entered() -> None:
    inner = Store({"a": 1, "b": 1, "c": 1}, "the inputs").nested()
    inner.update({"a": 1, "b": 2}, {})
    assert inner.decide({"a": 1, "b": 2}) == {"a"}
    inner.update({"c": 1}, {})
    assert inner.decide({"c": 1}, ()) == ()
    assert inner.patch() == {"b": 2, "c": 1}
    inner.update({"b": 1}, {})
    assert inner.patch() == {"c": 1}
    inner.update({"c": 1}, {})
    assert inner.patch() == {}
    inner.decide({"c": 1}, ())
    inner.replace({"c": 1, "b": 2}, "step")
    assert inner.patch() == {"b": 2}
    assert Store({}, "the inputs").decide({"a": 1}) is None


# The store


def test_store_knows_values_and_where_they_came_from() -> None:
    store = Store({"a": 1}, "the inputs")
    store.update({"b": 2}, {"b": "fetch"})
    assert (store["a"], store["b"], "a" in store, "c" in store) == (1, 2, True, False)
    assert (store.source_of("a"), store.source_of("b")) == ("the inputs", "fetch")
    with pytest.raises(KeyError, match="'c'"):
        store["c"]
    with pytest.raises(KeyError, match="'c'"):
        store.source_of("c")


def test_store_is_a_mapping_of_all_that_can_be_seen() -> None:
    inner = Store({"a": 1, "b": 2}, "the inputs").nested()
    inner.update({"c": 3}, {"c": "x"})
    assert dict(inner) == {"a": 1, "b": 2, "c": 3}
    assert (len(inner), list(inner)) == (3, ["a", "b", "c"])


def test_snapshot_shows_its_moment_after_the_store_has_changed() -> None:
    store = Store({"a": 1}, "the inputs")
    snapshot = store.now()
    store.update({"a": 2, "b": 3}, {"a": "x", "b": "x"})
    assert dict(snapshot) == {"a": 1}
    assert snapshot.source_of("a") == "the inputs"
    assert dict(store.now()) == {"a": 2, "b": 3}
    assert store.now().source_of("a") == "x"


def test_snapshot_is_the_same_object_until_the_store_changes() -> None:
    store = Store({"a": 1}, "the inputs")
    snapshot = store.now()
    assert store.now() is snapshot
    store.update({"a": 2}, {"a": "x"})
    assert store.now() is not snapshot


def test_store_enters_changes_of_one_source() -> None:
    store = Store({"a": 1}, "the inputs")
    snapshot = store.now()
    store.enter({"a": 2, "b": 3}, "x")
    assert dict(store) == {"a": 2, "b": 3}
    assert (store.source_of("a"), store.source_of("b")) == ("x", "x")
    assert (dict(snapshot), snapshot.source_of("a")) == ({"a": 1}, "the inputs")
    del snapshot
    own = store.readable()
    store.enter({"a": 4}, "y")
    assert own["a"] == 4  # no snapshot is left, so nothing was copied
    store.enter({"a": 5}, "z")
    assert own["a"] == 5


def test_store_lends_what_keys_can_be_looked_up_in() -> None:
    outer = Store({"a": 1}, "the inputs")
    inner = outer.nested()
    inner.enter({"b": 2}, "x")
    assert outer.readable() == {"a": 1}
    assert (inner.readable()["a"], inner.readable()["b"], "c" in inner.readable()) == (1, 2, False)
    inner.replace({"c": 3}, "reshape")
    assert inner.readable() == {"c": 3}


def test_store_is_changed_in_place_when_nobody_has_a_snapshot() -> None:
    own = {"a": 1}
    store = Store(own, "the inputs")
    store.now()
    store.update({"a": 2}, {"a": "x"})
    assert own == {"a": 2}


def test_snapshot_is_a_mapping_without_the_values_copied() -> None:
    value = [1]
    snapshot = Store({"a": value}, "the inputs").now()
    assert isinstance(snapshot, Mapping)
    assert snapshot["a"] is value
    assert (len(snapshot), list(snapshot), "a" in snapshot, "b" in snapshot) == (1, ["a"], True, False)
    with pytest.raises(KeyError, match="'b'"):
        snapshot["b"]


def test_nested_store_sees_what_is_around_it_and_keeps_its_changes() -> None:
    outer = Store({"a": 1, "b": 2}, "the inputs")
    inner = outer.nested()
    inner.update({"b": 3, "c": 4}, {"b": "in", "c": "in"})
    innermost = inner.nested()
    innermost.update({"d": 5}, {"d": "deep"})
    assert dict(innermost.now()) == {"a": 1, "b": 3, "c": 4, "d": 5}
    assert list(innermost.now()) == ["a", "b", "c", "d"]
    assert (len(innermost.now()), innermost["a"], innermost["d"], "a" in innermost) == (4, 1, 5, True)
    assert [innermost.source_of(key) for key in "abcd"] == ["the inputs", "in", "in", "deep"]
    assert dict(outer.now()) == {"a": 1, "b": 2}
    with pytest.raises(KeyError, match="'e'"):
        innermost["e"]


def test_nested_store_gives_what_is_new_or_changed() -> None:
    outer = Store({"a": [1], "b": 2, "c": 3}, "the inputs")
    inner = outer.nested()
    inner.update({"a": [1], "b": 4, "d": 5}, {"a": "x", "b": "x", "d": "x"})
    assert inner.patch() == {"b": 4, "d": 5}


def test_store_that_is_not_nested_gives_everything() -> None:
    assert Store({"a": 1}, "the inputs").patch() == {"a": 1}


def test_replace_hides_what_is_around_a_nested_store_but_not_from_its_patch() -> None:
    outer = Store({"a": 1, "b": 2}, "the inputs")
    inner = outer.nested()
    inner.update({"c": 3}, {"c": "x"})
    before = inner.now()
    inner.replace({"a": 1, "b": 4}, "reshape")
    assert dict(inner.now()) == {"a": 1, "b": 4}
    assert ("c" in inner, inner.source_of("a")) == (False, "reshape")
    assert inner.patch() == {"b": 4}
    assert dict(before) == {"a": 1, "b": 2, "c": 3}


# The context


def test_context_copies_each_value_on_first_access_and_only_then() -> None:
    orders, user = [1], {"id": 2}
    context = Context({"orders": orders, "user": user})
    assert context["orders"] == [1]
    assert context["orders"] is not orders
    assert context["orders"] is context["orders"]
    user["id"] = 3  # it has not been copied yet
    assert context["user"] == {"id": 3}


def test_context_does_not_copy_shared_keys() -> None:
    images, tags = [1], [2]
    context = Context({"images": images, "tags": tags}, share=("images",))
    assert context["images"] is images
    assert context["tags"] is not tags


def test_context_is_a_mapping_that_can_not_be_changed() -> None:
    context = Context({"a": 1, "b": [2]})
    assert isinstance(context, Mapping)
    assert (len(context), list(context), "a" in context, "c" in context) == (2, ["a", "b"], True, False)
    assert context == {"a": 1, "b": [2]}
    assert context.get("c", 7) == 7
    with pytest.raises(KeyError, match="'c'"):
        context["c"]
    with pytest.raises(TypeError):
        context["a"] = 2
    with pytest.raises(AttributeError):
        context.a = 2


def test_context_costs_no_copy_until_it_is_read() -> None:
    touchy = Touchy()
    context = Context({"touchy": touchy, "many": [touchy]})
    assert "touchy" in context
    assert repr(context) == "<Context of 'touchy', 'many'>"
    assert context["many"] == [touchy]


def test_context_shows_the_moment_it_was_made_at() -> None:
    store = Store({"a": [1]}, "the inputs")
    context = Context(store.now())
    store.update({"a": [2]}, {"a": "x"})
    assert context["a"] == [1]


def test_context_repr_is_short() -> None:
    assert repr(Context({})) == "<Context of nothing>"
    assert repr(Context({f"k{n}": n for n in range(1000)})).endswith("'k19' and 980 more>")


# Merging


def merged(context, *outputs, policy="override"):
    return merge(Store(context, "the inputs"), outputs, policy, "step")


def test_merge_takes_what_does_not_collide() -> None:
    result = merged({"z": 0}, Output("a", {"x": 1}), Output("b", {"y": 2}), policy="error")
    assert result.changes == {"x": 1, "y": 2}
    assert result.sources == {"x": "a", "y": "b"}
    assert result.collisions == ()


@pytest.mark.parametrize(
    ("policy", "changes", "sources", "collisions"),
    [
        ("override", {"x": 2, "y": 3}, {"x": "b", "y": "b"}, ()),
        ("warn", {"x": 2, "y": 3}, {"x": "b", "y": "b"}, (Collision("x", "a", "b"), Collision("y", "the inputs", "b"))),
        ("skip", {"x": 1}, {"x": "a"}, ()),
    ],
)
def test_merge_applies_the_policy_among_outputs_then_against_the_context(policy, changes, sources, collisions) -> None:
    result = merged({"y": 0}, Output("a", {"x": 1}), Output("b", {"x": 2, "y": 3}), policy=policy)
    assert (result.changes, result.sources, result.collisions) == (changes, sources, collisions)


def test_merge_warns_of_each_of_three_sources_and_of_the_context() -> None:
    result = merged({"x": 0}, *(Output(name, {"x": name}) for name in "abc"), policy="warn")
    assert result.changes == {"x": "c"}
    assert result.collisions == (
        Collision("x", "a", "b"),
        Collision("x", "b", "c"),
        Collision("x", "the inputs", "c"),
    )


def test_merge_skip_keeps_the_first_of_three() -> None:
    assert merged({}, *(Output(name, {"x": name}) for name in "abc"), policy="skip").sources == {"x": "a"}


@pytest.mark.parametrize("context", [{}, {"x": 0}], ids=["absent", "present"])
def test_merge_error_names_the_outputs_that_collide_before_the_context(context) -> None:
    with pytest.raises(KeyCollisionError) as caught:
        merged(context, Output("a", {"x": 1}), Output("b", {"x": 1}), policy="error")
    assert (caught.value.key, caught.value.step, caught.value.sources) == ("x", "step", ("a", "b"))


def test_merge_error_names_where_the_contexts_value_came_from() -> None:
    store = Store({"x": 0}, "the inputs")
    store.update({"y": 1}, {"y": "fetch"})
    with pytest.raises(KeyCollisionError) as caught:
        merge(store, [Output("a", {"y": 1})], "error", "step")
    assert caught.value.sources == ("fetch", "a")


def test_merge_takes_an_equal_value_of_a_function_for_a_collision() -> None:
    assert merged({"x": [1]}, Output("a", {"x": [1]}), policy="warn").collisions == (Collision("x", "the inputs", "a"),)


def test_merge_takes_a_changed_value_of_a_patch_for_a_collision() -> None:
    with pytest.raises(KeyCollisionError):
        merged({"x": 1}, Output("a", {"x": True}, is_patch=True), policy="error")


def test_merge_takes_equal_values_of_two_patches_for_no_collision() -> None:
    outputs = [Output("a", {"x": [1]}, is_patch=True), Output("b", {"x": [1]}, is_patch=True)]
    result = merged({}, *outputs, policy="error")
    assert (result.changes, result.sources) == ({"x": [1]}, {"x": "a"})


def test_merge_takes_different_values_of_two_patches_for_a_collision() -> None:
    outputs = [Output("a", {"x": [1]}, is_patch=True), Output("b", {"x": [2]}, is_patch=True)]
    with pytest.raises(KeyCollisionError):
        merged({}, *outputs, policy="error")


@pytest.mark.parametrize("policy", ["override", "warn", "skip", "error"])
def test_merge_changes_nothing_by_itself(policy) -> None:
    store = Store({"x": 0}, "the inputs")
    outputs = [Output("a", {"x": 1, "y": 1}), Output("b", {"y": 2})]
    try:
        result = merge(store, outputs, policy, "step")
    except KeyCollisionError:
        assert policy == "error"
    else:
        assert dict(store.now()) == {"x": 0}
        store.update(result.changes, result.sources)
        assert dict(store.now()) == {"x": 0, "y": 2} | result.changes
    assert outputs == [Output("a", {"x": 1, "y": 1}), Output("b", {"y": 2})]


class CountingStore:
    """Counts how often a merge looks into the context."""

    def __init__(self):
        self.asked = 0

    def __contains__(self, key):
        self.asked += 1
        return False


def test_merge_asks_the_context_once_for_each_key_of_the_outputs() -> None:
    store = CountingStore()
    outputs = [Output(f"s{n}", {f"k{n}": n}) for n in range(1000)]
    assert len(merge(store, outputs, "error", "step").changes) == 1000
    assert store.asked == 1000
    merge(store, outputs, "override", "step")
    assert store.asked == 1000


@given(
    st.dictionaries(st.sampled_from("abc"), st.integers(0, 2)),
    st.lists(st.builds(Output, st.text("xyz"), st.dictionaries(st.sampled_from("abcd"), st.integers(0, 2)))),
)
def test_merge_override_is_the_same_as_updating_one_after_the_other(context, outputs) -> None:
    expected = dict(context)
    for output in outputs:
        expected.update(output.values)
    store = Store(dict(context), "the inputs")
    result = merge(store, outputs, "override", "step")
    store.update(result.changes, result.sources)
    assert dict(store.now()) == expected
    first = dict(context)
    for output in outputs:
        first = {**output.values, **first}
    store = Store(dict(context), "the inputs")
    result = merge(store, outputs, "skip", "step")
    store.update(result.changes, result.sources)
    assert dict(store.now()) == first


# Outputs


@attrs.define
class Slotted:
    name: str
    items: list[int]
    _hidden: int = 0


@dataclasses.dataclass
class Data:
    name: str
    inner: Slotted
    items: list[int]


class Colour(str, enum.Enum):  # noqa: UP042 — not the same as a StrEnum
    RED = "red"


def test_output_of_a_mapping_is_a_dict_of_copies() -> None:
    items = [1]
    for result in ({"items": items}, OrderedDict(items=items), MyDict(items=items), Context({"items": items})):
        output = as_output(result, "step")
        assert type(output) is dict
        assert output == {"items": [1]}
        assert output["items"] is not items


def test_output_of_nothing_is_empty() -> None:
    assert as_output(None, "step") == {}


def test_output_of_an_attrs_instance_is_its_fields() -> None:
    items = [1]
    output = as_output(Slotted("a", items, 3), "step")
    assert output == {"name": "a", "items": [1], "_hidden": 3}
    assert output["items"] is not items


def test_output_of_a_dataclass_instance_is_its_fields_one_level_deep() -> None:
    items, inner = [1], Slotted("b", [])
    output = as_output(Data("a", inner, items), "step")
    assert output == {"name": "a", "inner": inner, "items": [1]}
    assert output["inner"] is not inner
    assert output["items"] is not items


def test_output_does_not_copy_shared_keys() -> None:
    images, tags = [1], [2]
    for result in ({"images": images, "tags": tags}, Slotted(images, tags)):
        output = as_output(result, "step", share=("images", "name"))
        assert output.get("images", output.get("name")) is images
        assert output.get("tags", output.get("items")) is not tags


def test_output_takes_members_of_a_string_enum_for_the_strings_they_are() -> None:
    (key,) = as_output({Colour.RED: 1}, "step")
    assert (type(key), key) == (str, "red")


class Fake(str):
    """A string that is equal to no other."""

    __slots__ = ()
    __hash__ = str.__hash__

    def __eq__(self, other):
        return self is other


def test_output_with_two_keys_that_are_one_string_is_an_error() -> None:
    with pytest.raises(StepOutputError, match=r"^'step' returned a mapping with two keys that are both 'a'$"):
        as_output({Fake("a"): 1, Fake("a"): 2}, "step")


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (7, "returned 7 (of type int); a step returns a mapping"),
        ([{"a": 1}], "returned [{'a': 1}] (of type list)"),
        ("text", "returned 'text' (of type str)"),
        (Slotted, "(of type type)"),
        (Data, "(of type type)"),
        ({1: 2}, "returned a mapping with the key 1 (of type int); keys are strings"),
        (list(range(1000)), "returned [0, 1, 2, 3, 4, 5, ...] (of type list)"),
        (nested(2000, lambda inner: [inner]), "returned [[[[[[[...]]]]]]] (of type list)"),
    ],
    ids=["int", "list", "str", "attrs class", "dataclass", "int key", "long", "deep"],
)
def test_output_that_is_something_else_is_an_error_that_names_step_and_result(result, words) -> None:
    with pytest.raises(StepOutputError) as caught:
        as_output(result, "outer/step")
    assert isinstance(caught.value, TypeError)
    assert caught.value.step == "outer/step"
    assert str(caught.value).startswith("'outer/step' returned ")
    assert words in str(caught.value)


# Their errors


def test_key_collision_error_says_what_to_do() -> None:
    error = KeyCollisionError("count", "second", ("first", "second"))
    assert str(error) == (
        "'second' can't merge the key 'count': 'first' gave it and so did 'second'; "
        'rename one, or use merge_policy="override", "warn" or "skip"'
    )


def test_step_input_error_names_step_key_and_what_there_is() -> None:
    error = StepInputError("outer/step", "user", iter(["id", "plan"]))
    assert (error.step, error.key, error.available) == ("outer/step", "user", ("id", "plan"))
    assert str(error) == (
        "'outer/step' needs 'user', which the context does not have; it has 'id', 'plan'. "
        "A parameter with a default may be missing"
    )


def test_listed_shows_no_more_than_a_person_reads() -> None:
    assert listed([]) == "nothing"
    assert listed("ab") == "'a', 'b'"
    assert listed(map(str, range(22))).endswith("'19' and 2 more")


@pytest.mark.parametrize(
    "error",
    [
        KeyCollisionError("count", "second", ("first", "second")),
        StepInputError("step", "user", ["id"]),
        StepOutputError("step", "returned 7"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_survive_copy_deepcopy_and_pickle(error) -> None:
    for twin in (copy.copy(error), copy.deepcopy(error), pickle.loads(pickle.dumps(error))):
        assert type(twin) is type(error)
        assert (str(twin), twin.args, vars(twin)) == (str(error), error.args, vars(error))
