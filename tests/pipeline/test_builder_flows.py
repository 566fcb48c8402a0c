"""How a flow is built: which members wait for which, and what is refused because that can't be known."""

from __future__ import annotations

from typing import NotRequired, TypedDict

import pytest

from trio_steps import ConfigError, Pipeline, fork, step


class A(TypedDict):
    a: int


class B(TypedDict):
    b: int


class C(TypedDict):
    c: int


class MaybeA(TypedDict):
    a: NotRequired[int]


class Text(TypedDict):
    a: str


def a() -> A:
    return {"a": 1}


def b() -> B:
    return {"b": 2}


def c(a: int) -> C:
    return {"c": a}


def d(a: int, b: int) -> None:
    pass


def e(c: int, x: int) -> None:
    pass


def maybe_a() -> MaybeA:
    return {}


def text() -> Text:
    return {"a": ""}


def a_of_b(b: int) -> A:
    return {"a": b}


def b_of_c(c: int) -> B:
    return {"b": c}


def own(a: int = 0) -> A:
    return {"a": a + 1}


def flow(*members, start=None, **options):
    return (Pipeline("p") if start is None else start).step("f", *members, mode="flow", **options)


def edges(p):
    [node] = p._program.nodes[-1:]
    return {id: {key: node.body.ids[index] for key, index in own.items()} for id, own in zip(*parts(node), strict=True)}


def parts(node):
    return node.body.ids, node.body.edges


def test_each_key_of_a_sibling_is_an_edge() -> None:
    p = flow(a, b, c, d, e)
    assert edges(p) == {"a": {}, "b": {}, "c": {"a": "a"}, "d": {"a": "a", "b": "b"}, "e": {"c": "c"}}
    assert p.describe() == "p\n  f (flow)\n    a\n    b\n    c (after a)\n    d (after a, b)\n    e (after c)"


def test_the_order_in_which_members_are_written_does_not_matter() -> None:
    assert edges(flow(e, d, c, b, a)) == edges(flow(a, b, c, d, e))


def test_what_no_sibling_provides_is_needed_of_the_context() -> None:
    class In(TypedDict):
        y: int

    with pytest.raises(ConfigError, match=r"step 'f/e' needs 'x', which nothing provides.* Known keys: {y: int}"):
        flow(a, c, e, start=Pipeline("p", inputs=In))
    assert flow(a, c, e)._program.flow.needs[0].key == "x"
    assert len(flow(a, c, e)._program.flow.needs) == 1


def test_own_key_comes_from_the_context_and_that_of_a_sibling_from_the_sibling() -> None:
    assert edges(flow(own, c)) == {"own": {}, "c": {"a": "own"}}
    given = Pipeline("p").step("first", b)
    assert edges(flow(b, step(lambda b=0: b, id="t", provides="t"), start=given)) == {"b": {}, "t": {"b": "b"}}


def test_a_nested_pipeline_waits_for_what_its_contract_needs() -> None:
    inner = Pipeline("inner").step("c", c).step("rest", lambda **rest: None, provides="r")
    assert edges(flow(a, b, inner, e)) == {"a": {}, "b": {}, "inner": {"a": "a"}, "e": {"c": "inner"}}


def test_a_fork_is_a_step_of_a_pipeline_that_is_a_member() -> None:
    views = fork("views", mode="all", paths=[c, fork("inner", mode="all", paths=[a_of_b])])
    inner = Pipeline("inner").step("views", views, provides="views")
    assert edges(flow(b, a, inner)) == {"b": {}, "a": {}, "inner": {"a": "a", "b": "b"}}
    with pytest.raises(ConfigError, match="step 'f/views': what it returns is not known"):
        flow(a, b, views)
    with pytest.raises(
        ConfigError, match=r"step 'f/v' takes keys that it does not name.*; for a fork, give a pipeline"
    ):
        flow(a, b, step(views, id="v", provides="views"))


def test_what_is_provided_is_merged_as_of_any_parallel_step() -> None:
    assert flow(a, b, c).output_of() == {"a": int, "b": int, "c": int}


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ((a, own), "step 'f': 'a' and 'own' both provide 'a', so it is not known which of them to wait for"),
        (
            (a, lambda a: {"k": a}),
            "step 'f/2': what it returns is not known, and in a flow another function may wait for it",
        ),
        ((a, step(lambda **rest: 1, id="r", provides="r")), "step 'f/r' takes keys that it does not name"),
        ((a, step(lambda ctx, /: 1, id="w", provides="w")), "step 'f/w' takes keys that it does not name"),
        ((maybe_a, c), "step 'f/c' needs 'a', but step 'f/maybe_a' provides it only if it returns it"),
        ((text, c), "step 'f/c' takes 'a' as int, but it is str: step 'f/text' provides it"),
        ((a_of_b, b_of_c, c), "'a_of_b' waits for 'b' of 'b_of_c', and 'b_of_c' waits for 'c' of 'c', and 'c' waits"),
        ((d, c, a_of_b, b_of_c), "can't wait for each other: 'a_of_b' waits for 'b' of 'b_of_c'"),
    ],
    ids=["two", "unknown", "rest", "whole", "maybe", "type", "circle", "circle that others wait for"],
)
def test_what_can_not_work_is_refused_where_it_is_built(members, message) -> None:
    start = Pipeline("p").step("before", a)  # it does not help that the context has the key
    with pytest.raises(ConfigError) as caught:
        flow(*members, start=start)
    assert message in str(caught.value)


def test_a_default_applies_if_a_sibling_may_end_without_the_key() -> None:
    with_default = step(lambda a=5: a, id="t", provides="t")
    assert edges(flow(maybe_a, with_default)) == {"maybe_a": {}, "t": {"a": "maybe_a"}}
