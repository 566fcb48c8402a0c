"""Exceptions that misbehave are results like any other, and no text about them is long."""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

import pytest
import trio
from paths import never, returns

from trio_steps import (
    Event,
    ForkPartialError,
    Recorder,
    SettleResult,
    StepFailed,
    fork,
    gather,
    race,
    settle,
    step,
)
from trio_steps._core.errors import notes_of


class BadRepr(Exception):
    def __repr__(self) -> str:
        raise RuntimeError("repr")

    __str__ = __repr__


class BadSetattr(Exception):
    def __setattr__(self, name: str, value: object) -> None:
        raise RuntimeError(name)


class BadGetattr(Exception):
    def __getattr__(self, name: str) -> Any:
        raise KeyError(name)


class NoneGetattr(Exception):
    def __getattr__(self, name: str) -> Any:
        return None


class BadNotes(Exception):
    def __init__(self, notes: Any = None) -> None:
        self.__notes__ = notes


class BadTraceback(Exception):
    def with_traceback(self, tb: Any) -> Any:
        raise RuntimeError("with_traceback")


class BadEq(Exception):
    def __eq__(self, other: object) -> bool:
        raise RuntimeError("eq")

    __hash__ = None  # type: ignore[assignment]

    def __bool__(self) -> bool:
        raise RuntimeError("bool")


class BadGroup(ExceptionGroup[Exception]):
    def derive(self, excs: Any, /) -> Any:
        raise RuntimeError("derive")


class BadBaseGroup(BaseExceptionGroup[BaseException]):
    def derive(self, excs: Any, /) -> Any:
        raise RuntimeError("derive")


class BadChain(Exception):
    @property
    def __cause__(self) -> Any:  # type: ignore[override]
        raise RuntimeError("cause")

    @property
    def __traceback__(self) -> Any:  # type: ignore[override]
        raise RuntimeError("traceback")


class Empty(Exception):
    """A container of errors that has none is false."""

    def __len__(self) -> int:
        return 0


ODD: list[Any] = [
    BadChain,
    Empty,
    BadRepr,
    BadSetattr,
    BadGetattr,
    NoneGetattr,
    BadNotes,
    partial(BadNotes, [1, 2]),
    partial(BadNotes, "text"),
    BadTraceback,
    BadEq,
    partial(BadGroup, "group", [ValueError()]),
]


@pytest.mark.parametrize("limit", [None, 1])
@pytest.mark.parametrize("make", ODD, ids=range(len(ODD)))
async def test_odd_error_is_the_result_of_its_path(make: Any, limit: int | None) -> None:
    odd = make()

    async def path() -> None:
        await trio.sleep(1)
        raise odd

    for bad in (path, step(path, timeout=9)):
        results: tuple[SettleResult[Any], ...] = await settle(returns(0, "ok"), bad, concurrency=limit)
        assert [result.status for result in results] == ["fulfilled", "rejected"]
        assert results[1].error is odd
        with pytest.raises(ForkPartialError) as caught:
            await gather(returns(0, "ok"), bad, concurrency=limit)
        assert caught.value.exceptions[0] is odd


async def test_group_of_errors_that_is_no_exception_itself_is_a_failed_path() -> None:
    def path() -> None:
        raise BadBaseGroup("group", [ValueError("v"), OSError("o")])

    [rejected] = await settle(path)
    assert isinstance(rejected.error, ExceptionGroup)
    assert [type(error) for error in rejected.error.exceptions] == [ValueError, OSError]
    assert rejected.error.message == "BadBaseGroup, which can't be split: RuntimeError('derive')"


async def test_group_that_cannot_be_split_loses_neither_the_error_nor_the_interrupt() -> None:
    async def path() -> None:
        raise BadBaseGroup("group", [ValueError("v"), KeyboardInterrupt()])

    events: list[Any] = []
    with pytest.raises(KeyboardInterrupt):
        await fork("f", mode="all", paths=[path, never]).run(observers=[events.append])
    [error] = [event.error for event in events if type(event).__name__ == "ErrorDiscarded"]
    assert [type(leaf) for leaf in error.exceptions] == [ValueError]


async def test_fork_that_is_cancelled_while_a_path_handles_a_ring_of_errors_ends() -> None:
    async def path() -> None:
        try:
            error = ValueError("x")
            error.__context__ = other = KeyError("y")
            other.__context__ = error
            raise error
        except ValueError:
            await trio.sleep_forever()

    with trio.move_on_after(1) as scope:
        await gather(path)
    assert scope.cancelled_caught
    assert trio.current_time() == 1


async def test_interrupt_in_a_ring_of_causes_ends_the_fork_and_what_is_in_it_is_not_told_once_more() -> None:
    error, interrupt = ValueError("in the ring"), KeyboardInterrupt()
    error.__cause__, interrupt.__cause__ = interrupt, error

    async def interrupts() -> None:
        await trio.sleep(1)
        raise interrupt

    def bad(error: Exception) -> Any:
        def path() -> None:
            raise error

        return path

    events: list[Any] = []
    with pytest.raises(KeyboardInterrupt):
        await fork("f", mode="settle", paths=[bad(error), bad(OSError("not in it")), interrupts]).run(
            observers=[events.append]
        )
    told = [repr(event.error) for event in events if type(event).__name__ == "ErrorDiscarded"]
    assert told == ["OSError('not in it')"]


async def test_reason_is_short_whatever_the_error_holds() -> None:
    payload = b"\xff" * 20_000_000

    async def decode() -> None:
        await trio.lowlevel.checkpoint()
        payload.decode()

    with pytest.raises(ForkPartialError) as caught:
        await gather(decode, never)
    reason = caught.value.failed[1].error.reason  # type: ignore[attr-defined]
    assert reason.startswith("fork 'gather': path 'decode' failed: UnicodeDecodeError('utf-8', b'")
    assert len(reason) < 400


async def test_source_error_with_a_bad_repr_is_reported_in_the_reason() -> None:
    def source() -> Any:
        yield never
        raise BadRepr

    with pytest.raises(ForkPartialError) as caught:
        await gather(source())
    assert [type(error) for error in caught.value.exceptions] == [BadRepr]
    assert "its source of paths failed: <BadRepr whose repr fails>" in str(caught.value.failed[0].error)


async def nest(depth: int) -> None:
    if not depth:
        raise OSError("deep")
    await gather(step(partial(nest, depth - 1), id="level"))


async def test_forks_nested_300_deep_fail_with_text_in_proportion() -> None:
    with pytest.raises(ForkPartialError) as caught:
        await nest(300)
    error: BaseException = caught.value
    texts: list[str] = []
    for _ in range(300):
        assert isinstance(error, ForkPartialError)
        texts += [str(error), *error.__notes__, repr(error.failed[0].step_id)]
        [error] = error.exceptions
    assert repr(error) == "OSError('deep')"
    assert max(map(len, texts)) < 1000
    assert len(error.__notes__) == 1


async def test_one_error_object_from_8000_paths_takes_time_in_proportion() -> None:
    error = OSError("shared")

    async def path() -> None:
        await trio.lowlevel.checkpoint()
        raise error

    async def settle_all(paths: int) -> tuple[SettleResult[Any], ...]:
        return await settle([path] * paths, concurrency=10)

    results = await settle_all(8000)
    assert len(results) == 8000
    assert len(error.__notes__) < 20


@pytest.mark.parametrize("limit", [None, 1])
async def test_stop_iteration_of_a_sync_path_keeps_its_type_whenever_it_runs(limit: int | None) -> None:
    stop = StopIteration(1)

    def path() -> None:
        raise stop

    settles = fork("f", mode="settle", paths=[path, returns(0, "ok")], concurrency=limit)
    for _ in range(3):  # the first run of a function has a fence around it
        (rejected, _) = await settles()
        assert rejected.error is stop


async def test_stop_iteration_of_a_sync_step_is_the_error_that_its_caller_gets() -> None:
    stop = StopIteration(1)
    events = list[Event]()

    def path() -> None:
        raise stop

    with pytest.raises(RuntimeError) as caught:
        await step(path).run(observers=[events.append])
    assert caught.value.__cause__ is stop
    assert notes_of(caught.value) == ["in step 'path'"]
    assert [event.error for event in events if isinstance(event, StepFailed)] == [caught.value]


@pytest.mark.parametrize("make", [BadRepr, lambda: KeyError(BadRepr())], ids=["itself", "inside"])
async def test_recorder_draws_and_events_show_an_error_with_a_bad_repr(make: Any) -> None:
    odd = make()
    recorder, events = Recorder(), list[Event]()

    async def path() -> None:
        raise odd

    with pytest.raises(ForkPartialError):
        await fork("f", mode="all", paths=[path, trio.sleep_forever]).run(observers=[recorder, events.append])
    assert "path 'path' failed" in str(recorder)
    assert "whose repr fails" in repr([event for event in events if isinstance(event, StepFailed)])


@pytest.mark.parametrize("make", ODD, ids=range(len(ODD)))
async def test_odd_error_of_merge_is_raised_unchanged(make: Any) -> None:
    odd = make()

    def merge(_: object) -> None:
        raise odd

    with pytest.raises(type(odd)) as caught:
        await fork("f", mode="all", paths=[returns(0, "ok")], merge=merge)()
    assert caught.value is odd


@pytest.mark.parametrize("make", ODD, ids=range(len(ODD)))
async def test_odd_error_of_a_loser_is_logged_with_its_traceback(
    make: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = make()
    monkeypatch.setattr(logging.Formatter, "formatException", lambda *_: "no text, which some of them refuse")

    async def loses() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise odd

    assert await race(returns(1, "ok"), loses) == "ok"
    [record] = caplog.records
    assert record.exc_info
    assert record.exc_info[1] is odd
    assert record.exc_info[2] is not None
