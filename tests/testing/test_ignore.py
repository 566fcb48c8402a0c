"""`ignore=`: known findings are counted, and not reported."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.lowlevel

from trio_steps import ConfigError
from trio_steps.testing import (
    Ignore,
    Probe,
    enumerate_schedules,
    explore,
    replay,
    run_once,
    sweep_cancellation,
    sweep_faults,
    sweep_timeouts,
)
from trio_steps.testing._findings import Finding

HERE = Path(__file__)


def line_of(mark: str) -> int:
    return next(n for n, line in enumerate(HERE.read_text().splitlines(), 1) if line.endswith(f"# {mark}"))


async def numbers() -> Any:
    try:
        yield 1
    finally:
        await trio.lowlevel.checkpoint()


async def abandons(probe: Probe) -> None:
    async for _ in numbers():
        break
    await trio.sleep(1)


async def leaks(probe: Probe) -> None:
    probe.resource("conn")  # HERE
    await trio.sleep(1)


@pytest.mark.parametrize(
    "ignore",
    [
        "warning",
        ResourceWarning,
        Warning,
        Ignore("garbage collected"),
        Ignore(at="test_ignore.py"),
        Ignore("numbers", at="testing/test_ignore.py", invariant="warning"),
        ["lock", ResourceWarning],
    ],
    ids=str,
)
def test_ignored_warning_is_counted_and_not_reported(ignore: Any) -> None:
    report = explore(abandons, ignore=ignore, budget=20)
    assert report.ok
    assert report.ignored["warning"] > 1
    assert f"ignored: {report.ignored['warning']} of 'warning'" in str(report)


@pytest.mark.parametrize(
    "ignore",
    [
        "resource",
        DeprecationWarning,
        Ignore("nothing like it"),
        Ignore(at="test_ignore.py:1"),
        Ignore(at="ignore.py"),
        Ignore("numbers", invariant="lock"),
        [],
    ],
    ids=str,
)
def test_what_is_not_meant_is_reported(ignore: Any) -> None:
    report = explore(abandons, ignore=ignore, budget=5)
    assert [failure.invariant for failure in report.failures] == ["warning"]
    assert not report.ignored


def test_line_that_is_ignored_may_be_a_caller() -> None:
    def helper(probe: Probe) -> None:
        probe.resource("conn")

    async def program(probe: Probe) -> None:
        helper(probe)  # CALLER

    assert not run_once(program, ignore=Ignore(at=f"test_ignore.py:{line_of('CALLER')}")).findings
    assert not run_once(leaks, ignore=Ignore(at=f"tests/testing/test_ignore.py:{line_of('HERE')}")).findings


async def forgets_to_await(probe: Probe) -> None:
    sleep: Any = trio.sleep
    sleep(1)  # FORGOTTEN
    await trio.lowlevel.checkpoint()


@pytest.mark.parametrize(("program", "mark"), [(leaks, "HERE"), (forgets_to_await, "FORGOTTEN")])
@pytest.mark.parametrize("form", ["{name}", "./tests/testing/{name}", "tests\\testing\\{name}", "{file}"])
def test_line_may_be_given_with_any_part_of_its_path(program: Any, mark: str, form: str) -> None:
    at = form.format(name="test_ignore.py", file=__file__)
    for where in (at, f"{at}:{line_of(mark)}"):
        report = explore(program, ignore=Ignore(at=where), budget=5)
        assert report.ok, str(report)
        assert report.ignored
    assert not explore(program, ignore=Ignore(at=f"{at}:{line_of(mark) + 1}"), budget=5).ok


@pytest.mark.parametrize(
    "function", [explore, sweep_cancellation, sweep_timeouts, sweep_faults, enumerate_schedules, run_once]
)
def test_every_function_ignores(function: Any) -> None:
    assert not getattr(function(leaks, ignore="resource"), "failures", ())


def test_replay_ignores_what_it_is_told_to() -> None:
    token = explore(leaks, budget=5).failures[0].token
    run = replay(leaks, token, ignore="resource")
    assert (run.findings, [finding.invariant for finding in run.ignored]) == ((), ["resource"])


def test_value_that_a_timeout_leads_to_may_be_ignored() -> None:
    async def program(probe: Probe) -> str | None:
        with trio.move_on_after(5):
            await trio.sleep(1)
            return "in time"
        return None

    report = sweep_timeouts(program, ignore="timeout-value")
    assert (report.ok, report.ignored) == (True, {"timeout-value": 2})


@pytest.mark.parametrize(
    ("ignore", "text"),
    [
        ("warnings", "^there is no invariant 'warnings'; the invariants are cancellation, deadlock, "),
        (OSError, 'give the name of an invariant, ignore="warning"'),
        (5, r"^ignore=5: give the name"),
        (lambda: Ignore(), r"^Ignore\(\) would ignore everything"),
        (lambda: Ignore("("), r"this is not a regular expression"),
        (lambda: Ignore(invariant="leak"), "^there is no invariant 'leak'"),  # type: ignore[arg-type]
    ],
)
def test_what_can_not_be_ignored_is_refused(ignore: Any, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        explore(leaks, ignore=ignore() if callable(ignore) and not isinstance(ignore, type) else ignore)


def test_option_that_does_not_exist_is_refused() -> None:
    with pytest.raises(TypeError, match=r"^explore\(\) got an unexpected keyword argument 'budgt'$"):
        explore(leaks, budgt=5)  # type: ignore[call-arg]


# async generators that are closed late

CLOSED: list[int] = []


async def finally_around_it() -> Any:
    try:
        yield 1
    finally:
        CLOSED.append(1)


async def with_around_it() -> Any:
    with warnings.catch_warnings():
        yield 1


async def async_with_around_it() -> Any:
    async with trio.open_nursery():
        yield 1


async def except_that_sees_all() -> Any:
    try:
        yield 1
    except ValueError:
        pass
    except BaseException:
        CLOSED.append(1)
        raise


async def finally_around_an_except() -> Any:
    try:
        try:
            yield 1
        except ValueError:
            CLOSED.append(0)
    finally:
        CLOSED.append(1)


async def in_a_loop_with_a_finally() -> Any:
    for number in range(3):
        try:
            yield number
        finally:
            CLOSED.append(1)


async def nothing_around_it() -> Any:
    yield 1


async def except_that_does_not_see_it() -> Any:
    try:
        yield 1
    except (ValueError, OSError):
        CLOSED.append(0)


async def finally_behind_it() -> Any:
    try:
        await trio.lowlevel.checkpoint()
    finally:
        yield 1


async def finally_that_does_nothing() -> Any:
    try:
        yield 1
    finally:
        pass


async def loop_over_another() -> Any:
    async for number in nothing_around_it():
        yield number


@pytest.mark.parametrize(
    ("generator", "found"),
    [
        *[
            (generator, True)
            for generator in (
                finally_around_it, with_around_it, async_with_around_it, except_that_sees_all, finally_around_an_except,
                in_a_loop_with_a_finally,
            )
        ],
        *[
            (generator, False)
            for generator in (
                nothing_around_it, except_that_does_not_see_it, finally_behind_it, finally_that_does_nothing,
                loop_over_another,
            )
        ],
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)  # fmt: skip
def test_generator_that_is_closed_late_is_a_finding_if_it_had_clean_up_to_do(generator: Any, found: bool) -> None:
    async def program(probe: Probe) -> None:
        made = generator()
        await made.__anext__()
        del made
        await trio.sleep(1)

    invariants = [finding.invariant for finding in run_once(program).findings]
    assert ("warning" in invariants) is found


@pytest.mark.parametrize(
    ("invariant", "fits"), [("".join("lock"), True), ("deadlock", False), ("warning", False), ("cancellation", False)]
)
def test_pattern_for_an_invariant_fits_its_findings_only(invariant: Any, fits: bool) -> None:
    finding = Finding(invariant=invariant, message="x")
    assert Ignore(invariant="lock").fits(finding) is fits
    assert Ignore("x", invariant="lock").fits(finding) is fits
    assert Ignore("x").fits(finding)
    assert not Ignore("y", invariant=invariant).fits(finding)
