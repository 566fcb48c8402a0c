"""Every option of an observer refuses values of a wrong kind when it is given, not at the first event.

An observer that raises at an event is dropped, so that a wrong value would cost all that it is there for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from junk import named, wrong
from opentelemetry import metrics, trace
from rich.console import Console

from trio_steps import ConfigError, LogObserver, Recorder
from trio_steps.otel import Metrics, Tracing
from trio_steps.terminal import LiveTree

if TYPE_CHECKING:
    from collections.abc import Callable


def text(**options: Any) -> object:
    return Recorder().render(**options)


def page(**options: Any) -> object:
    return Recorder().to_html(**options)


OPTIONS: dict[Callable[..., object], dict[str, str]] = {
    text: {"width": "0 1 -1 huge -huge", "color": "true false", "rows": "1 huge none", "encoding": "none"},
    page: {"title": "text empty none", "rows": "1 huge none"},
    LogObserver: {"level": "0 1 -1 huge -huge"},
    LiveTree: {"console": "none", "summary": "true false none", "interval": "1 1.5"},
    Tracing: {"tracer": "none"},
    Metrics: {"meter": "none"},
}
CASES = [
    pytest.param(make, option, right, id=f"{make.__name__}-{option}")
    for make, options in OPTIONS.items()
    for option, right in options.items()
]


@pytest.mark.parametrize(("make", "option", "right"), CASES)
def test_value_of_an_option_is_checked_at_once(make: Callable[..., object], option: str, right: str) -> None:
    for value in wrong(f"{right} text empty" if option == "encoding" else right):
        with pytest.raises(ConfigError, match=rf"^({option}=|{make.__name__}\().*: give ") as caught:
            make(**{option: value})
        assert len(str(caught.value)) < 400
    for value in named(right):
        make(**{option: value})


def test_level_given_by_its_name_says_what_to_give() -> None:
    with pytest.raises(ConfigError) as caught:
        LogObserver(level="INFO")  # type: ignore[arg-type]
    assert str(caught.value) == "LogObserver(level='INFO'): give a number, level=logging.DEBUG"


def test_tracer_meter_and_console_of_the_libraries_are_taken() -> None:
    Tracing(trace.get_tracer("mine"))
    Metrics(metrics.get_meter("mine"))
    LiveTree(console=Console())
