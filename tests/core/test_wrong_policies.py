"""Every option of a step and of its policies refuses values of a wrong kind, at once, and says which option."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from junk import named, wrong

from trio_steps import CircuitBreaker, ConfigError, RateLimit, Retry, observing, step

if TYPE_CHECKING:
    from collections.abc import Callable


async def fetch() -> int:
    return 1


def retry(**options: Any) -> Retry:
    return Retry(**{"attempts": 3, **options})


def breaker(**options: Any) -> CircuitBreaker:
    return CircuitBreaker(**{"failure_threshold": 3, "cooldown": 1.0, **options})


def rate(**options: Any) -> RateLimit:
    return RateLimit(**{"count": 3, "per": 1.0, **options})


def made(**options: Any) -> Any:
    return step(fetch, **options)


OPTIONS: dict[Callable[..., object], dict[str, str]] = {
    made: {
        "id": "text none",
        "timeout": "1 1.5 infinity none",
        "total_timeout": "1 1.5 infinity none",
        "limiter": "limiter none",
        "max_waiting": "none",  # without a limiter
        "retry": "none",
        "circuit_breaker": "none",
        "rate": "none",
        "provides": "text none",
        "was": "text tuple",
    },
    retry: {
        "attempts": "1 huge",
        "backoff": "",
        "delay": "0 1 1.5 infinity function",
        "max_delay": "0 1 1.5 infinity",
        "jitter": "0 1",
        "on": "tuple function",
        "accept": "none function",
    },
    breaker: {
        "failure_threshold": "1 huge",
        "cooldown": "0 1 1.5 infinity",
        "on_open": "",
        "on": "tuple function",
    },
    rate: {"count": "1", "per": "1 1.5", "burst": "1 none"},
}
CASES = [
    pytest.param(make, option, right, id=f"{make.__name__}-{option}")
    for make, options in OPTIONS.items()
    for option, right in options.items()
]


@pytest.mark.parametrize(("make", "option", "right"), CASES)
def test_wrong_value_of_an_option_is_refused_by_name(make: Callable[..., object], option: str, right: str) -> None:
    for value in wrong(right):
        with pytest.raises(ConfigError, match=rf"^(\w+\()?{option}\b") as caught:
            make(**{option: value})
        assert len(str(caught.value)) < 600


@pytest.mark.parametrize(("make", "option", "right"), CASES)
def test_right_value_of_an_option_is_taken(make: Callable[..., object], option: str, right: str) -> None:
    for value in named(right):
        make(**{option: value})


def test_observing_refuses_what_can_not_observe() -> None:
    for value in wrong("function"):
        with pytest.raises(ConfigError, match="give a sync function of an event"), observing(value):
            raise AssertionError
