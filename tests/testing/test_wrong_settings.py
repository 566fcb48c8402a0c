"""Every option of the functions that run a program refuses values of a wrong kind before the first run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import trio
from junk import named, wrong

from trio_steps import ConfigError
from trio_steps.testing import (
    FakeStep,
    Ignore,
    check_determinism,
    enumerate_schedules,
    explore,
    linearizable,
    replay,
    run_once,
    sweep_cancellation,
    sweep_faults,
    sweep_timeouts,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_steps.testing import Probe


async def program(_: Probe) -> None:
    ran.append(1)
    await trio.lowlevel.checkpoint()


ran: list[int] = []


class Register:
    def read(self) -> int:
        return 0


def linear(**options: Any) -> object:
    return linearizable(**{"make": Register, "model": Register, "operations": ["read"], "plans": 1, **options})


EVERY = {
    "allow": "tuple empty",
    "ignore": "tuple empty",
    "values": "function",
    "clock": "true false",
    "max_steps": "1 huge",
    "max_seconds": "0 1 1.5 infinity",
}
BUDGET = "1"
OPTIONS: dict[Callable[..., object], dict[str, str]] = {
    explore: {
        **EVERY,
        "budget": "1 huge infinity none",
        "seconds": "0 1 1.5 infinity",
        "seed": "0 1 -1",
        "reduce": "true false",
    },
    sweep_cancellation: {**EVERY, "budget": "1 huge"},
    sweep_timeouts: {**EVERY, "budget": "1 huge"},
    sweep_faults: {**EVERY, "budget": "1 huge", "exc": "function async"},
    enumerate_schedules: {**EVERY, "budget": "1 huge", "policy": "", "reduce": "true false"},
    run_once: {**EVERY, "seed": "0 1 -1 none", "cancel_at": "0 1 huge none"},
    check_determinism: {**EVERY, "seed": "0 1 -1", "runs": "1 huge"},
    linear: {
        "plans": "1 huge",
        "seed": "0 1 -1",
        "operations": "text empty",
        "make": "function async",
        "model": "function async",
        "budget": "1 huge infinity none",
    },
}
CASES = [
    pytest.param(run, option, right, id=f"{run.__name__}-{option}")
    for run, options in OPTIONS.items()
    for option, right in options.items()
]


@pytest.mark.parametrize(("run", "option", "right"), CASES)
def test_wrong_value_of_an_option_is_refused_by_name_before_the_first_run(
    run: Callable[..., object], option: str, right: str
) -> None:
    ran.clear()
    arguments = () if run is linear else (program,)
    for value in wrong(right):
        with pytest.raises(ConfigError, match=rf"^{option}\b|there is no invariant|an operation has drawn"):
            run(*arguments, **{option: value})
    assert not ran


@pytest.mark.parametrize(
    ("run", "option", "right"),
    [case for case in CASES if case.values[0] in (explore, sweep_cancellation) and case.values[1] != "ignore"],
)
def test_right_value_of_an_option_is_taken(run: Callable[..., object], option: str, right: str) -> None:
    for value in named(right):
        run(program, **{option: value})


def test_token_that_is_no_text_is_refused() -> None:
    for value in wrong("text empty"):
        with pytest.raises(ConfigError, match=r" is not a token: give the text in the report of the failure$"):
            replay(program, value)


def test_pattern_of_what_to_ignore_is_text() -> None:
    for value in wrong("text empty none"):
        with pytest.raises(ConfigError, match=r"^Ignore\(pattern=.*give a regular expression"):
            Ignore(value)
        with pytest.raises(ConfigError, match=r"^Ignore\(at=.*give a line"):
            Ignore(at=value)


def test_program_may_be_an_object_with_arguments_of_its_own() -> None:
    """Only the arguments of a partial are searched for locks."""

    class Program:
        args = None

        async def __call__(self, _: Probe) -> None:
            await trio.lowlevel.checkpoint()

    assert not explore(Program(), budget=5).failures


def test_fake_step_waits_a_number_of_seconds() -> None:
    for value in wrong("0 1 1.5 infinity"):
        with pytest.raises(ConfigError, match=r"^the delay of a FakeStep must be a number of seconds, 0 or more, not "):
            FakeStep(value, None)
    for row in wrong(""):
        with pytest.raises(ConfigError, match=r"^FakeStep\.rows\(.*\): give a delay and a result, \(0\.5, \"page\"\)"):
            FakeStep.rows((0, None), row)
