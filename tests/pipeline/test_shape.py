"""What is known about a context: merging, alternatives, and how it is printed."""

import attrs
import pytest

from trio_steps._pipeline.contract.annotations import UNKNOWN
from trio_steps._pipeline.contract.flow import SUCCEEDS, WINS, together
from trio_steps._pipeline.contract.shape import ANYTHING, NOTHING, Key, Shape, Source, alternatives, merge


def key(type=int, step="a", when=None, definite=True):
    return Key(type, (Source(step, () if when is None else (when,)),), definite and when is None)


def shape(*, open=False, outside=False, **keys):
    return Shape(keys, open, outside)


A = key()
B = key(str, "b")
MAYBE_A = key(when="x")
MAYBE_B = key(str, "b", when="y")
UNKNOWN_A = key(UNKNOWN)
UNKNOWN_B = key(UNKNOWN, "b")


def either(first, second, *, definite):
    return Key(first.type | second.type, first.sources + second.sources, definite)


@pytest.mark.parametrize(
    ("shapes", "policy", "expected"),
    [
        pytest.param([], "override", NOTHING, id="nothing"),
        pytest.param([shape(k=A), shape(j=B)], "override", shape(k=A, j=B), id="different keys"),
        pytest.param([shape(k=A), shape(k=B)], "override", shape(k=B), id="override: the later wins"),
        pytest.param([shape(k=A), shape(k=B)], "warn", shape(k=B), id="warn: too"),
        pytest.param([shape(k=A), shape(k=B)], "error", shape(k=B), id="error: too, if it gets that far"),
        pytest.param([shape(k=A), shape(k=B)], "skip", shape(k=A), id="skip: the first wins"),
        pytest.param(
            [shape(k=A), shape(k=MAYBE_B)], "override", shape(k=either(MAYBE_B, A, definite=True)), id="maybe changed"
        ),
        pytest.param(
            [shape(k=MAYBE_A), shape(k=MAYBE_B)],
            "override",
            shape(k=either(MAYBE_B, MAYBE_A, definite=False)),
            id="maybe twice is still maybe",
        ),
        pytest.param(
            [shape(k=MAYBE_A), shape(k=B)],
            "skip",
            shape(k=either(MAYBE_A, B, definite=True)),
            id="skip: there in any case",
        ),
        pytest.param([shape(k=MAYBE_A), shape(k=B)], "override", shape(k=B), id="override: there in any case"),
        pytest.param([shape(k=A), ANYTHING], "override", shape(k=UNKNOWN_A, open=True), id="anything may have changed"),
        pytest.param([shape(k=A), ANYTHING], "skip", shape(k=A, open=True), id="skip: nothing changes"),
        pytest.param([shape(k=A), ANYTHING], "error", shape(k=A, open=True), id="error: nothing changes"),
        pytest.param(
            [shape(k=MAYBE_A), ANYTHING],
            "skip",
            shape(k=Key(UNKNOWN, MAYBE_A.sources, False), open=True),
            id="skip: it may have filled the gap",
        ),
        pytest.param([ANYTHING, shape(k=A)], "override", shape(k=A, open=True), id="what comes later is known"),
        pytest.param([ANYTHING, shape(k=A)], "skip", shape(k=UNKNOWN_A, open=True), id="skip: it may have been there"),
        pytest.param(
            [ANYTHING, shape(k=MAYBE_A)],
            "override",
            shape(k=Key(UNKNOWN, MAYBE_A.sources, False), open=True),
            id="it may be the earlier one",
        ),
        pytest.param(
            [shape(outside=True), shape(k=A)],
            "skip",
            shape(k=UNKNOWN_A, outside=True),
            id="skip: the input may have it",
        ),
    ],
)
def test_merge(shapes, policy, expected) -> None:
    """One after the other, by the rule of the context."""
    assert merge(shapes, policy) == expected


def test_merge_at_once_gives_a_key_of_two_outputs_either_type() -> None:
    """The later one may be a nested pipeline that leaves the key as it was."""
    assert merge([shape(k=A), shape(k=B)], at_once=True) == shape(k=either(B, A, definite=True))
    assert merge([shape(k=A), shape(k=B)], "skip", at_once=True) == shape(k=either(A, B, definite=True))
    assert merge([shape(k=MAYBE_A), shape(k=B)], at_once=True) == shape(k=either(B, MAYBE_A, definite=True))


@pytest.mark.parametrize(
    ("shapes", "expected"),
    [
        pytest.param([], NOTHING, id="nothing"),
        pytest.param([(shape(k=A), "x")], shape(k=A), id="one"),
        pytest.param([(shape(k=A), "x"), (shape(k=B), "y")], shape(k=either(A, B, definite=True)), id="everywhere"),
        pytest.param([(shape(k=A), "x"), (NOTHING, "y")], shape(k=MAYBE_A), id="not everywhere"),
        pytest.param([(shape(k=MAYBE_A), "x"), (NOTHING, "y")], shape(k=MAYBE_A), id="a reason is given once"),
        pytest.param(
            [(shape(k=A), "x"), (shape(k=MAYBE_B), "y")], shape(k=either(MAYBE_A, MAYBE_B, definite=False)), id="maybe"
        ),
        pytest.param(
            [(shape(k=A), "x"), (ANYTHING, "y")],
            shape(k=Key(UNKNOWN, MAYBE_A.sources, False), open=True),
            id="one may have anything",
        ),
        pytest.param(
            [(shape(k=A), "x"), (shape(outside=True), "y")],
            shape(k=Key(UNKNOWN, MAYBE_A.sources, False), outside=True),
            id="one may have any input",
        ),
    ],
)
def test_alternatives(shapes, expected) -> None:
    """A key is definite only if every alternative has it."""
    assert alternatives(shapes) == expected


def test_a_shape_tells_the_types_of_its_keys() -> None:
    """Users can see what is known at one point of a pipeline."""
    assert shape(k=A, j=MAYBE_B).types == {"k": int, "j": str}


def test_a_shape_reads_like_a_record() -> None:
    """Keys that may be missing have a question mark, and an ellipsis stands for what is unknown."""
    assert str(NOTHING) == "{}"
    assert str(shape(k=A, j=MAYBE_B)) == "{k: int, j?: str}"
    assert str(shape(k=A, open=True)) == "{k: int, …}"
    assert str(shape(outside=True)) == "{…}"


def test_a_long_shape_shows_twenty_keys() -> None:
    """A message has to stay readable."""
    text = str(Shape({f"k{number}": A for number in range(30)}))
    assert "k19: int, 10 more}" in text
    assert "k20" not in text


def test_a_source_tells_who_provides_a_key_and_when() -> None:
    """All its reasons have to hold."""
    assert str(Source()) == "the input provides it"
    assert str(Source("a")) == "step 'a' provides it"
    assert str(Source("a", ("x", "y"))) == "step 'a' provides it only if x and y"


def test_only_if_adds_a_reason() -> None:
    """A key that already had a condition needs both."""
    assert shape(k=A).only_if("x") == shape(k=MAYBE_A)
    assert shape(k=MAYBE_A).only_if("z").keys["k"].sources == (Source("a", ("x", "z")),)


def test_within_gives_the_steps_their_full_names() -> None:
    """The input is not a step."""
    inner = Shape({"k": A, "j": Key()})
    assert inner.within("route").keys == {"k": key(step="route/a"), "j": Key()}


def test_a_shape_can_not_be_changed() -> None:
    """Pipelines share prefixes, and with them the shapes."""
    known = shape(k=A)
    with pytest.raises(TypeError):
        known.keys["k"] = B
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        known.open = True


def test_members_of_a_parallel_step_are_merged_at_once_and_those_of_a_race_are_alternatives() -> None:
    shapes = [shape(k=A), shape(k=B)]
    assert together(shapes, "all", "override") == shape(k=either(B, A, definite=True))
    assert together(shapes, "all", "skip") == shape(k=either(A, B, definite=True))
    settled = [each.only_if(SUCCEEDS) for each in shapes]
    assert together(shapes, "settle", "override") == merge(settled, at_once=True)
    assert together(shapes, "race", "override") == alternatives([(each, WINS) for each in shapes])
