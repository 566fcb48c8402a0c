"""Faults: an error at each checkpoint in turn."""

from __future__ import annotations

from contextlib import suppress

import trio
import trio.testing
from programs import invariants

from trio_steps.testing import (
    FaultInjectedError,
    Probe,
    replay,
    sweep_faults,
)
from trio_steps.testing._search import minimise as minimise

# faults


def test_fault_is_raised_at_every_checkpoint_that_can_be_cancelled() -> None:
    raised: list[str] = []

    async def program(probe: Probe) -> None:
        try:
            await trio.sleep(1)
        except OSError as error:
            raised.append(str(error))
            raise
        with trio.CancelScope(shield=True):
            await trio.lowlevel.cancel_shielded_checkpoint()

    report = sweep_faults(program, OSError("disk"))
    assert report.ok
    assert raised == ["disk"]
    assert report.points == 1
    assert "1 could fail" in report.what


def test_fault_that_leaks_is_found_and_replayed() -> None:
    async def program(probe: Probe) -> None:
        conn = probe.resource("conn")
        await trio.sleep(1)
        conn.close()

    failure = sweep_faults(program).failures[0]
    assert "given a fault" in str(failure)
    assert ",f0:" in failure.token
    run = replay(program, failure.token, exc=KeyError)
    assert invariants(run) == ["resource"]
    assert isinstance(run.error, KeyError)
    assert isinstance(replay(program, failure.token).error, FaultInjectedError)


def test_fault_that_becomes_another_error_counts_as_the_fault() -> None:
    async def program(probe: Probe) -> None:
        try:
            await trio.sleep(1)
        except OSError as error:
            raise LookupError from error

    assert sweep_faults(program, OSError).ok


async def falls_back(probe: Probe) -> str:
    try:
        await trio.sleep(1)
    except OSError:
        return "fallback"
    return "value"


def test_value_that_only_a_fault_leads_to_is_found_unless_any_may_be_returned() -> None:
    failure = sweep_faults(falls_back, OSError).failures[0]
    assert "given a fault, the program returned 'fallback'; undisturbed, it returns 'value'" in str(failure)
    assert 'give values="any"' in str(failure)
    assert sweep_faults(falls_back, OSError, values="any").ok
    assert invariants(replay(falls_back, failure.token, exc=OSError)) == ["outcome"]
    assert invariants(replay(falls_back, failure.token, exc=OSError, values="any")) == []


def test_fault_that_the_program_gets_over_is_no_finding() -> None:
    async def program(probe: Probe) -> str:
        for _ in range(2):
            with suppress(OSError):
                await trio.sleep(1)
                return "value"
        return "gave up"

    report = sweep_faults(program, OSError)
    assert (report.ok, report.points) == (True, 1)


def test_fault_in_a_cancelled_scope_stays_a_cancellation() -> None:
    async def program(probe: Probe) -> None:
        with trio.CancelScope() as scope:
            scope.cancel()
            await trio.sleep(1)

    assert sweep_faults(program, OSError).ok


def test_fault_leaves_tasks_of_trio_itself_alone() -> None:
    async def looks_in() -> None:
        await trio.lowlevel.checkpoint_if_cancelled()

    async def program(probe: Probe) -> None:
        trio.lowlevel.spawn_system_task(looks_in)
        await trio.sleep(1)

    report = sweep_faults(program, OSError)
    assert (report.ok, report.points) == (True, 1)  # the sleep, and not what the system task calls
