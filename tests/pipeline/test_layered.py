from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_steps import ConfigError, Pipeline
from trio_steps._pipeline.contract import shape
from trio_steps._pipeline.contract.layered import Layered

KEYS = st.sampled_from("abcdefgh")


@given(st.lists(st.one_of(st.dictionaries(KEYS, st.integers(), max_size=3), st.just("each"))))
def test_layered_is_like_a_dict_that_is_copied(changes) -> None:
    layered: Layered[int] = Layered()
    plain: dict[str, int] = {}
    before = []
    for change in changes:
        before.append((layered, plain))
        if change == "each":
            layered, plain = layered.each(abs), {key: abs(value) for key, value in plain.items()}
        else:
            layered, plain = layered.plus(change), {**plain, **change}
    for one, other in (*before, (layered, plain)):  # the older versions have not changed
        assert dict(one) == other
        assert list(one) == list(other)
        assert len(one) == len(other)
        assert all((key in one) == (key in other) for key in "abcdefgh")
        assert one == other
    assert repr(layered) == repr(plain)


def test_a_key_that_is_not_there_is_an_error() -> None:
    with pytest.raises(KeyError, match="nowhere"):
        Layered({"a": 1})["nowhere"]


def test_layers_are_few_and_what_changes_nothing_is_free() -> None:
    layered: Layered[int] = Layered()
    for number in range(1000):
        layered = layered.plus({str(number): number}).each(abs)
    assert len(layered._layers) <= 10
    assert layered.each(abs) is layered
    assert layered.plus({}) is layered
    assert layered["0"] == 0


def changes_of(build, count, monkeypatch):
    """Return how many keys `build` changes or copies from one layer to another."""
    work = [0]
    laid, untyped = Layered._of, shape._untyped

    def counting(layers, settled):
        work[0] += len(layers[-1]) if settled[-1] is None else 0
        return laid(layers, settled)

    def changing(key):
        work[0] += 1
        return untyped(key)

    with monkeypatch.context() as patched:
        patched.setattr(Layered, "_of", staticmethod(counting))
        patched.setattr(shape, "_untyped", changing)
        build(count)
    return work[0]


def provides(count):
    p = Pipeline("p")
    for number in range(count):
        p = p.step(f"s{number}", len, provides=f"k{number}")
    return p


def opens(count):
    p = Pipeline("p")
    for number in range(count):
        p = p.step(f"s{number}", len, provides=f"k{number}").step(f"o{number}", opened)
    return p


def opened():
    return {}


def same(count):
    p = Pipeline("p")
    for _ in range(count):
        p = p.step(provided, provides="k")
    return p


def provided():
    return 1


@pytest.mark.parametrize("build", [provides, opens, same])
def test_a_pipeline_of_twice_as_many_steps_is_twice_the_work(build, monkeypatch) -> None:
    once, twice = changes_of(build, 500, monkeypatch), changes_of(build, 1000, monkeypatch)
    assert twice <= 1.3 * 2 * once


def test_unnamed_steps_of_one_function_are_numbered_without_a_search() -> None:
    p = same(3).step("provided#5", provided, provides="k")
    assert p.step(provided, provides="k").step(provided, provides="k").step_names == (
        "provided",
        "provided#2",
        "provided#3",
        "provided#5",
        "provided#4",
        "provided#6",
    )


def nested(count, **options):
    p = Pipeline("x").step("leaf", lambda: {"v": 1})
    for number in range(count):
        p = Pipeline(f"n{number}", **options).step("in", p)
    return p


def test_a_thousand_nested_levels_are_built() -> None:
    p = nested(1000)
    assert len(p.step_names) == 1001
    assert p.step_names[-1] == "in/" * 1000 + "leaf"
    assert p.describe().count("\n") == 1001
    assert p.output_of(p.step_names[-1]) == {}


def test_what_is_nested_too_deep_says_why_it_is_not_built() -> None:
    with pytest.raises(ConfigError, match=r"step 'in': its pipelines are nested too deep for share=\('v',\) to reach"):
        Pipeline("p", share=("v",)).step("in", nested(1000))


def test_layer_that_is_at_most_twice_as_large_as_those_on_top_is_merged_with_them() -> None:
    layered, sizes = Layered[int](), []
    for key in "abcdefgh":
        layered = layered.plus({key: 1})
        sizes.append([len(layer) for layer in layered._layers])
    assert sizes == [[1], [2], [3], [3, 1], [5], [5, 1], [5, 2], [8]]
