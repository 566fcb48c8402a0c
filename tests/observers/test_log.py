"""Runs in the log: a line for each event, with key-value pairs, and nothing twice."""

from __future__ import annotations

import io
import json
import logging

import pytest
import structlog
import trio
from paths import ANY_SCOPE, cleans_up, never, raises, returns, shielded

from trio_steps import (
    CircuitBreaker,
    ErrorDiscarded,
    ForkPartialError,
    KeyOverridden,
    LogObserver,
    PathsCounted,
    Pipeline,
    RateLimit,
    Retry,
    StepCancelled,
    StepFailed,
    StepRetrying,
    StepSkipped,
    StepStarted,
    StepSucceeded,
    ValueDiscarded,
    gather,
    race,
    settle,
    step,
)

OF_A_RECORD = {*vars(logging.makeLogRecord({})), "message", "asctime"}

EVENTS = [
    (
        StepStarted(name="a/b", scope=ANY_SCOPE, time=1.0),
        "DEBUG",
        "a/b started",
        {"step": "a/b", "status": "started"},
    ),
    (
        StepSucceeded(name="a/b", scope=ANY_SCOPE, time=1.0, duration=1234.5, won=True),
        "INFO",
        "a/b succeeded after 1234.500 s",
        {"step": "a/b", "status": "succeeded", "duration": 1234.5, "won": True},
    ),
    (
        StepFailed(name="a/b", scope=ANY_SCOPE, time=1.0, duration=0.5, error=OSError("down")),
        "WARNING",
        "a/b failed after 0.500 s: OSError: down",
        {"step": "a/b", "status": "failed", "duration": 0.5, "error": "OSError: down"},
    ),
    (
        StepCancelled(name="a/b", scope=ANY_SCOPE, time=1.0, duration=0.0004, reason="path 'c' won"),
        "INFO",
        "a/b was cancelled after 0.000 s: path 'c' won",
        {"step": "a/b", "status": "cancelled", "duration": 0.0004, "reason": "path 'c' won"},
    ),
    (
        StepSkipped(name="a/b", scope=ANY_SCOPE, time=1.0, reason="its condition does not hold"),
        "INFO",
        "a/b did not run: its condition does not hold",
        {"step": "a/b", "status": "skipped", "reason": "its condition does not hold"},
    ),
    (
        StepRetrying(name="a/b", scope=ANY_SCOPE, time=1.0, attempt=2, error=OSError("busy"), delay=0.25),
        "WARNING",
        "a/b failed in attempt 2, and is tried again in 0.250 s: OSError: busy",
        {"step": "a/b", "status": "retrying", "attempt": 2, "error": "OSError: busy", "delay": 0.25},
    ),
    (
        PathsCounted(name="a/b", scope=ANY_SCOPE, time=1.0, total=7),
        "DEBUG",
        "a/b has 7 paths",
        {"step": "a/b", "status": "counted", "total": 7},
    ),
    (
        ValueDiscarded(name="a/b", scope=ANY_SCOPE, time=1.0, value="secret", disposed=False),
        "INFO",
        "a/b returned a value that no one receives: str, disposed of: False",
        {"step": "a/b", "status": "discarded", "value_type": "str", "disposed": False},
    ),
]


def fields(record):
    """The extra attributes of `record`."""
    return {key: value for key, value in vars(record).items() if key not in OF_A_RECORD}


def lines(caplog):
    return [(record.levelname, record.getMessage()) for record in caplog.records]


@pytest.mark.parametrize(("event", "level", "text", "extra"), EVENTS, ids=lambda value: type(value).__name__)
def test_event_is_a_line_with_key_values(event, level, text, extra, caplog):
    caplog.set_level(logging.DEBUG)
    LogObserver()(event)
    [record] = caplog.records
    assert (record.name, record.levelname, record.getMessage()) == ("trio_steps", level, text)
    assert fields(record) == extra
    assert record.exc_info is None


@pytest.mark.parametrize(
    "event",
    [
        ErrorDiscarded(name="a", scope=ANY_SCOPE, time=1.0, error=OSError("down")),
        KeyOverridden(name="a", scope=ANY_SCOPE, time=1.0, key="k", first="b", second="c"),
    ],
    ids=lambda event: type(event).__name__,
)
def test_event_that_the_library_logs_itself_is_left_out(event, caplog):
    caplog.set_level(logging.DEBUG)
    LogObserver()(event)
    assert lines(caplog) == []


def test_event_of_a_quiet_step_is_left_out(caplog):
    caplog.set_level(logging.DEBUG)
    LogObserver()(StepStarted(name="a", scope=ANY_SCOPE, time=1.0, quiet=True))
    assert lines(caplog) == []


@pytest.mark.parametrize("key", sorted({key for *_, extra in EVENTS for key in extra}))
def test_key_is_neither_one_of_a_record_nor_one_that_structlog_uses(key):
    assert key not in OF_A_RECORD
    assert key not in {"event", "level", "logger", "timestamp", "exception", "stack", "positional_args", "_record"}


def test_level_says_how_important_it_is_that_all_goes_well(caplog):
    caplog.set_level(logging.DEBUG)
    for event, *_ in EVENTS:
        LogObserver(level=logging.DEBUG)(event)
    assert [record.levelname for record in caplog.records] == [
        level.replace("INFO", "DEBUG") for _, level, *_ in EVENTS
    ]


def test_nothing_is_formatted_if_the_level_is_off(caplog):
    class Unspeakable(Exception):
        def __str__(self):
            raise AssertionError

    caplog.set_level(logging.ERROR)
    LogObserver()(StepFailed(name="a", scope=ANY_SCOPE, time=1.0, duration=0.5, error=Unspeakable()))
    assert lines(caplog) == []


def test_value_is_not_written(caplog):
    class Secret:
        def __repr__(self):
            raise AssertionError

    caplog.set_level(logging.DEBUG)
    LogObserver()(ValueDiscarded(name="a", scope=ANY_SCOPE, time=1.0, value=Secret(), disposed=True))
    assert lines(caplog) == [("INFO", "a returned a value that no one receives: Secret, disposed of: True")]


def test_message_of_somebody_else_is_one_line_and_not_too_long(caplog):
    error = OSError("one\n\x1b[31mERROR root two" + "x" * 1000)
    LogObserver()(StepFailed(name="a\nb", scope=ANY_SCOPE, time=1.0, duration=0.5, error=error))
    [record] = caplog.records
    assert record.step == "a b"
    assert record.error.startswith("OSError: one [31mERROR root twoxxx")
    assert len(record.error) == 499  # two of 500 characters became one space
    assert record.getMessage() == f"a b failed after 0.500 s: {record.error}"


def test_error_without_a_message_is_its_type(caplog):
    LogObserver()(StepFailed(name="a", scope=ANY_SCOPE, time=1.0, duration=0.5, error=OSError()))
    assert lines(caplog) == [("WARNING", "a failed after 0.500 s: OSError")]


async def test_run_is_logged_as_it_goes(caplog):
    caplog.set_level(logging.DEBUG)
    flaky = step(raises(1, OSError("busy")), retry=Retry(2, delay=0.5), id="flaky")
    with pytest.raises(ForkPartialError):
        await gather(flaky, never, concurrency=2, observers=[LogObserver()])
    assert lines(caplog) == [
        ("DEBUG", "gather started"),
        ("DEBUG", "gather has 2 paths"),
        ("DEBUG", "gather/flaky started"),
        ("DEBUG", "gather/flaky started attempt 1"),
        ("DEBUG", "gather/never started"),
        ("WARNING", "gather/flaky failed in attempt 1, and is tried again in 0.500 s: OSError: busy"),
        ("DEBUG", "gather/flaky started attempt 2"),
        ("WARNING", "gather/flaky failed after 2.500 s: OSError: busy"),
        ("INFO", "gather/never was cancelled after 2.500 s: fork 'gather': path 'flaky' failed: OSError('busy')"),
        (
            "WARNING",
            "gather failed after 2.500 s: ForkPartialError: fork 'gather': 1 of 2 paths failed (1 sub-exception)",
        ),
    ]


async def test_discarded_error_is_logged_once(caplog):
    await race(returns(1, "a"), cleans_up([], 1, error=OSError("late")), observers=[LogObserver()])
    assert lines(caplog) == [
        ("WARNING", "race/slow failed after 2.000 s: OSError: late"),
        ("WARNING", "race/slow: an error that its fork does not raise: OSError('late')"),
    ]


async def test_overridden_key_is_logged_once(caplog):
    flow = Pipeline("flow").step("both", lambda: {"k": 1}, lambda: {"k": 2}, merge_policy="warn")
    await flow.run({}, observers=[LogObserver()])
    assert [text for level, text in lines(caplog)] == [
        "both: the key 'k' of 'both/2' replaces that of 'both/1'",
    ]


async def test_step_with_log_false_is_not_logged(caplog):
    caplog.set_level(logging.DEBUG)
    flow = Pipeline("flow").step("secret", lambda: None, log=False)
    await flow.run({}, observers=[LogObserver()])
    assert [text for _, text in lines(caplog)] == ["flow started", "flow succeeded after 0.000 s"]


async def test_structlog_gets_the_key_values():
    output = io.StringIO()
    handler = logging.StreamHandler(output)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_log_level, structlog.stdlib.ExtraAdder()],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(sort_keys=True),
            ],
        )
    )
    logger = logging.getLogger("trio_steps")
    logger.addHandler(handler)
    try:
        await settle(raises(0.5, OSError("down")), shielded(2, "late"), timeout=1, observers=[LogObserver()])
    finally:
        logger.removeHandler(handler)
    first, *_ = map(json.loads, output.getvalue().splitlines())
    assert first == {
        "event": "settle/bad failed after 0.500 s: OSError: down",
        "level": "warning",
        "step": "settle/bad",
        "status": "failed",
        "duration": 0.5,
        "error": "OSError: down",
    }


async def test_waits_and_circuit_breakers_are_logged(caplog):
    caplog.set_level(logging.DEBUG)
    errors = [OSError("busy")]

    @step(rate=RateLimit(1, per=2.0), limiter=trio.CapacityLimiter(1), circuit_breaker=CircuitBreaker(1, 1.0))
    async def flaky():
        await trio.sleep(0.5)
        if errors:
            raise errors.pop()

    await settle(flaky, observers=[LogObserver()])
    await trio.sleep(1)
    await flaky.run(observers=[LogObserver()])
    told = [line for line in lines(caplog) if "its" in line[1]]
    assert told == [
        ("WARNING", "settle/flaky: its circuit breaker is open"),
        ("DEBUG", "flaky waited 0.500 s for its rate"),
        ("INFO", "flaky: its circuit breaker is closed"),
    ]
