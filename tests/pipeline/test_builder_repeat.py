"""How a repeat is built, and what is refused where it is built."""

from __future__ import annotations

from typing import NotRequired, TypedDict

import pytest

from trio_steps import ConfigError, LoopLimitError, Pipeline, otherwise


class Draft(TypedDict):
    draft: str
    score: int


class MaybeDraft(TypedDict):
    draft: NotRequired[str]


def only(draft: str) -> Draft:
    return {"draft": draft, "score": 1}


class Wrong(TypedDict):
    draft: int


class In(TypedDict):
    topic: str
    draft: str


def write(topic: str, draft: str) -> Draft:
    return {"draft": draft + topic, "score": len(draft)}


def maybe(topic: str) -> MaybeDraft:
    return {}


def wrong(draft: str) -> Wrong:
    return {"draft": len(draft)}


def good(score: int) -> bool:
    return score > 3


def built(body, until=good, at_most=3, start=None, **options):
    start = Pipeline("p", inputs=In) if start is None else start
    return start.repeat("refine", body, until=until, at_most=at_most, **options)


BODY = Pipeline("body").step("write", write)


def test_what_a_round_provides_is_there_afterwards() -> None:
    p = built(BODY)
    assert p.output_of() == {"topic": str, "draft": str, "score": int}
    assert p.step("use", lambda draft, score: None).input_of("use") == p.output_of()


def test_names_and_the_tree_leave_out_the_number_of_the_round() -> None:
    p = built(lambda p: p.step("write", write).step("again", lambda draft: None))
    assert p.step_names == ("refine", "refine/write", "refine/again")
    assert p.describe() == "p\n  refine (repeat, 3 times at most)\n    write\n    again"
    assert p.input_of("refine/again").keys() == {"topic", "draft", "score"}


def test_a_body_that_is_built_apart_needs_what_its_contract_needs() -> None:
    with pytest.raises(ConfigError, match="step 'refine/write' needs 'draft', which nothing provides"):
        built(BODY, start=Pipeline("p", inputs=TypedDict("Topic", {"topic": str})))
    p = built(BODY, start=Pipeline("p"))
    assert {need.key for need in p._program.flow.needs} == {"topic", "draft"}


def test_until_sees_the_context_after_a_round() -> None:
    needs = built(BODY, until=lambda score, enough: score > enough, start=Pipeline("p"))._program.flow.needs
    assert [(need.key, need.step) for need in needs][-1] == ("enough", "refine")
    assert "score" not in [need.key for need in needs]
    with pytest.raises(ConfigError, match="step 'refine' needs 'scores', which nothing provides; did you mean 'score'"):
        built(BODY, until=lambda scores: True)


def test_what_a_round_provides_has_to_fit_the_next_one() -> None:
    with pytest.raises(ConfigError, match="step 'refine/wrong' takes 'draft' as str, but it is int"):
        built(lambda p: p.step("wrong", wrong), until=lambda: True)
    assert built(lambda p: p.step("wrong", wrong), until=lambda: True, at_most=1).output_of()["draft"] is int
    with pytest.raises(ConfigError, match="step 'refine/if/yes/wrong' takes 'draft' as str, but it is int"):
        built(lambda p: p.branch_on("if", otherwise(lambda p: p.step("wrong", wrong), name="yes")), until=lambda: True)


def test_what_a_round_may_provide_may_be_there() -> None:
    p = Pipeline("p", inputs=TypedDict("Topic", {"topic": str}))
    p = built(lambda p: p.step("maybe", maybe), until=lambda draft=None: draft, start=p)
    with pytest.raises(ConfigError, match="step 'use' needs 'draft', but step 'refine/maybe' provides it only if"):
        p.step("use", lambda draft: None)
    ends = built(lambda p: p.step("write", write, on_error="skip-remaining"), until=lambda: True)
    with pytest.raises(ConfigError, match=r"'score', but step 'refine/write' provides it only if .* does not fail"):
        ends.step("use", lambda score: None)


def test_a_failure_that_is_forgiven_takes_its_keys_away() -> None:
    with pytest.raises(ConfigError, match="needs 'score', but step 'refine/write' provides it only if it succeeds"):
        built(BODY, on_error="continue").step("use", lambda score: None)


def test_a_transform_inside_replaces_what_its_round_sees() -> None:
    p = built(lambda p: p.step("write", write).transform("only", only))
    assert p.output_of().keys() == {"topic", "draft", "score"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"at_most": 0}, "repeat 'refine': at_most=0: give the number of rounds that there may be, at least 1"),
        ({"at_most": True}, "at_most=True: give the number of rounds"),
        ({"at_most": 2.0}, "at_most=2.0: give the number of rounds"),
        ({"on_limit": "stop"}, 'on_limit=\'stop\': use "raise" or "continue"'),
        ({"until": True}, "until=True: give a function of the context, until=lambda done: done"),
        ({"body": Pipeline("empty")}, "repeat 'refine': its body has no steps"),
        ({"body": lambda p: p}, "repeat 'refine': its body has no steps"),
        ({"body": 5}, "repeat 'refine': its body is 5; give a pipeline, or a function of one, lambda p: p.step(…)"),
        ({"body": lambda p: None}, "repeat 'refine': its body has a function that returns None"),
    ],
    ids=["0", "bool", "float", "on_limit", "until", "empty", "nothing added", "number", "None"],
)
def test_what_can_not_work_is_refused_where_it_is_built(change, message) -> None:
    with pytest.raises(ConfigError) as caught:
        built(**{"body": BODY, **change})
    assert message in str(caught.value)


def test_a_repeat_has_one_body() -> None:
    with pytest.raises(ConfigError, match="give it one pipeline, or function of one"):
        Pipeline("p").repeat("refine", until=good, at_most=1)


def test_the_limit_says_what_to_do() -> None:
    error = LoopLimitError("refine", 3)
    assert (error.step, error.at_most) == ("refine", 3)
    assert str(error) == (
        "'refine' ran 3 rounds, which is at_most=3, and until=… does not hold yet: allow more, or give "
        'on_limit="continue" to keep what the rounds have changed'
    )
    assert "ran 1 round," in str(LoopLimitError("refine", 1))


def test_keys_that_are_not_copied_are_not_copied_in_rounds() -> None:
    p = built(BODY, start=Pipeline("p", share=("draft",)), until=lambda draft: True)
    body = p._program.nodes[0].body
    assert body.until.share == {"draft"}
    assert body.nodes[0].body.share == {"draft"}
    outer = Pipeline("outer", share=("topic",)).step("in", p)._program.nodes[0].body[0].body
    assert outer.until.share == {"draft", "topic"}


def test_for_each_takes_what_a_repeat_in_its_pipeline_takes() -> None:
    inner = Pipeline("inner").repeat("r", Pipeline("b").step("s", lambda: None), until=lambda x: x, at_most=1)
    assert Pipeline("p").for_each("e", inner, over="xs", each="x", into="ys").step_names[-1] == "e/*/r/s"
