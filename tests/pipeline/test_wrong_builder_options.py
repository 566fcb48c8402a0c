"""Every option of a pipeline and its methods refuses values of a wrong kind, at that line, and says which option."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from junk import named, wrong

from trio_steps import CheckpointError, ConfigError, Pipeline, otherwise, when

if TYPE_CHECKING:
    from collections.abc import Callable


def gives() -> dict[str, int]:
    return {"k": 1}


def first(**options: Any) -> object:
    return Pipeline("p", **options)


def step(**options: Any) -> object:
    return Pipeline("p").step("s", gives, **options)


def parallel(**options: Any) -> object:
    return Pipeline("p").step("s", gives, lambda: None, **options)


def each(**options: Any) -> object:
    return Pipeline("p").for_each("s", lambda x: x, **{"over": "xs", "each": "x", "into": "ys", **options})


def rounds(**options: Any) -> object:
    return Pipeline("p").repeat("s", Pipeline("b").step(gives), **{"until": lambda: True, "at_most": 2, **options})


def waits(**options: Any) -> object:
    return Pipeline("p").wait_for("s", **{"provides": "answer", **options})


def case(**options: Any) -> object:
    return Pipeline("p").branch_on("s", when(lambda: True, Pipeline("b").step(gives), **options))


def last(**options: Any) -> object:
    return Pipeline("p").branch_on("s", otherwise(Pipeline("b").step(gives), **options))


def branch(**options: Any) -> object:
    return Pipeline("p").branch_on("s", otherwise(Pipeline("b").step(gives)), **options)


def transform(**options: Any) -> object:
    return Pipeline("p").transform("s", lambda k=1: {"k": k}, **options)


POLICIES = {
    "timeout": "1 1.5 infinity none",
    "total_timeout": "1 1.5 infinity none",
    "limiter": "limiter none",
    "max_waiting": "none",
    "retry": "none",
    "circuit_breaker": "none",
    "rate": "none",
}
EVERY = {**POLICIES, "on_error": "", "log": "true false", "share": "tuple", "was": "text tuple"}
MERGED = {**EVERY, "merge_policy": ""}
OPTIONS: dict[Callable[..., object], dict[str, str]] = {
    first: {
        "share": "tuple",
        "observers": "empty tuple",
        "on_step_complete": "none function async",
        "on_error": "none function async",
        "codec": "none",
        "strict": "false",  # True needs inputs
        "version": "text none",
        "versions": "tuple",
        "was": "text tuple",
    },
    step: {**MERGED, "mode": "none", "concurrency": "none", "provides": "text none"},
    parallel: {**MERGED, "mode": "none", "concurrency": "1 huge none limiter", "provides": "none"},
    each: {
        **MERGED,
        "over": "text",
        "each": "",  # no other name is a parameter
        "into": "text",
        "mode": "",
        "concurrency": "1 huge none limiter",
    },
    rounds: {**MERGED, "at_most": "1 huge", "on_limit": ""},
    waits: {
        "provides": "text",
        "timeout": "1 1.5 infinity none",
        "on_error": "",
        "merge_policy": "",
        "log": "true false",
        "was": "text tuple",
    },
    branch: MERGED,
    transform: EVERY,
    case: {"was": "text tuple"},
    last: {"was": "text tuple"},
}
WHERE = {first: r"(Pipeline\('p'(\): |, ))?", case: r"when\(…\): ", last: r"otherwise\(…\): "}
CASES = [
    pytest.param(make, option, right, id=f"{make.__name__}-{option}")
    for make, options in OPTIONS.items()
    for option, right in options.items()
]


@pytest.mark.parametrize(("make", "option", "right"), CASES)
def test_wrong_value_of_an_option_is_refused_with_the_step_and_the_option(
    make: Callable[..., object], option: str, right: str
) -> None:
    where = WHERE.get(make, r"(step|for_each|repeat|wait_for) 's': ")
    for value in wrong(right):
        with pytest.raises(ConfigError, match=rf"^{where}{option}\b") as caught:
            make(**{option: value})
        assert len(str(caught.value)) < 700


@pytest.mark.parametrize(("make", "option", "right"), CASES)
def test_right_value_of_an_option_is_taken(make: Callable[..., object], option: str, right: str) -> None:
    for value in named(right):
        make(**{option: value})


@pytest.mark.parametrize("make", [step, parallel, each, rounds, waits, branch, transform])
def test_condition_is_a_bool_or_a_function(make: Callable[..., object]) -> None:
    for value in wrong("true false none function async"):
        with pytest.raises(ConfigError, match=r"^step 's': give a function or another callable, not"):
            make(condition=value)


def test_name_of_a_step_that_waits_is_required() -> None:
    for value in wrong("text"):
        with pytest.raises(ConfigError, match="can't be the name of a step: a name is a non-empty string"):
            Pipeline("p").wait_for(value, provides="answer")


def test_mode_that_is_false_is_not_taken_for_none() -> None:
    with pytest.raises(ConfigError) as caught:
        Pipeline("p").step("s", gives, gives, mode="")  # type: ignore[call-overload]
    assert str(caught.value) == 'step \'s\': mode=\'\': use "all", "settle", "race" or "flow"'


def test_share_takes_several_keys_of_text() -> None:
    for share in (("k",), ["k"], {"k"}, frozenset({"k"})):
        Pipeline("p", share=share).step("s", gives)
    with pytest.raises(ConfigError) as caught:
        Pipeline("p", share=None)  # type: ignore[call-overload]
    assert str(caught.value) == 'share=None: give the keys, which are strings, in a tuple, share=("rows",)'


async def test_state_and_observers_of_a_run_are_checked_before_the_first_step() -> None:
    ran: list[str] = []
    made = Pipeline("p").step("s", lambda: ran.append("s"))
    for value in wrong("none mapping"):
        with pytest.raises(ConfigError, match=r"^state="):
            await made.run(state=value)
    for value in wrong("empty tuple"):
        with pytest.raises(ConfigError, match=r"^observers="):
            await made.run(observers=value)
    assert not ran


def test_run_checks_its_hooks_and_its_store_when_it_is_called() -> None:
    made = Pipeline("p").step("s", gives)
    for option in ("on_step_complete", "on_error"):
        for value in wrong("none function async"):
            with pytest.raises(ConfigError, match=rf"^{option}="):
                made.run(**{option: value})
    for value in wrong("none"):
        with pytest.raises(ConfigError, match=r"^run\(store="):
            made.run(store=value)
        with pytest.raises(CheckpointError, match=r"^resume\(.*\): give a Checkpoint"):
            made.resume(value)
