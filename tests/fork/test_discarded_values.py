"""No value and no error is lost, whatever drops it, and whatever interrupts that."""

from __future__ import annotations

import logging
from contextlib import nullcontext
from typing import Any

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st
from paths import cleans_up, never, on, raises, returns, set_after, shielded

from trio_steps import (
    ErrorDiscarded,
    ForkPartialError,
    NotAcceptedError,
    Retry,
    ValueDiscarded,
    fork,
    gather,
    race,
    settle,
    step,
)


class Best:
    """Returns the greatest value, and can tell its index."""

    def __init__(self, kept: Any = None) -> None:
        self.values: dict[int, Any] = {}
        self._kept = kept

    @property
    def kept(self) -> Any:
        return [max(self.values, key=lambda index: self.values[index])] if self._kept is None else self._kept

    def succeeded(self, index: int, value: Any) -> bool:
        self.values[index] = value
        return False

    def failed(self, index: int, error: Exception) -> bool:
        return False

    def exhausted(self, total: int) -> bool:
        return False

    def result(self) -> Any:
        return max(self.values.values())


class FirstError:
    """Raises the error of the first path that fails, unwrapped."""

    def __init__(self) -> None:
        self.error: Exception | None = None

    def succeeded(self, index: int, value: Any) -> bool:
        return False

    def failed(self, index: int, error: Exception) -> bool:
        self.error = error
        return True

    def exhausted(self, total: int) -> bool:
        return False

    def result(self) -> Any:
        assert self.error is not None
        raise self.error


def discarded(events: list[Any]) -> list[tuple[str, Any]]:
    return [(event.name, event.value) for event in events if isinstance(event, ValueDiscarded)]


def errors_discarded(events: list[Any]) -> list[tuple[str, BaseException]]:
    return [(event.name, event.error) for event in events if isinstance(event, ErrorDiscarded)]


# What a dropped error holds


def one_of_three(disposed: list[Any], delay: float = 1) -> Any:
    """Return a fork that fails and then holds two values."""
    return fork(
        "three",
        mode="all",
        paths=[returns(delay / 2, "a"), returns(delay / 2, "b"), raises(delay, OSError("down"))],
        dispose=disposed.append,
    )


async def test_values_in_the_error_of_an_attempt_go_to_the_dispose_of_the_fork() -> None:
    disposed: list[Any] = []
    times: list[float] = []

    async def dispose(value: Any) -> None:
        await trio.sleep(1)
        disposed.append(value)
        times.append(trio.current_time())

    paths = [returns(1, "a"), returns(1, "b"), raises(2, OSError("down"))]
    three = step(fork("three", mode="all", paths=paths, dispose=dispose), retry=Retry(2))
    with pytest.raises(ForkPartialError) as caught:
        await three()
    assert [result.value for result in caught.value.succeeded] == ["a", "b"]
    assert disposed == ["a", "b"]  # the values of the first attempt, before the second begins
    assert times == [3, 4]
    assert trio.current_time() == 6


async def test_values_in_the_error_of_a_path_that_a_won_race_drops_are_disposed_of() -> None:
    disposed: list[Any] = []
    events: list[Any] = []
    any_of = fork("any", mode="race", paths=[one_of_three(disposed), returns(2, "won")])
    assert await any_of.run(observers=[events.append]) == "won"
    assert disposed == ["a", "b"]
    assert discarded(events) == [("any/three/a", "a"), ("any/three/b", "b")]


async def test_values_in_a_late_error_are_disposed_of() -> None:
    disposed: list[Any] = []

    async def late() -> None:
        with trio.CancelScope(shield=True):
            await one_of_three(disposed)()

    assert await race(returns(0.25, "won"), late) == "won"
    assert disposed == ["a", "b"]


@pytest.mark.parametrize("then", ["cancelled", "merged"])
async def test_late_error_is_reported_once_whatever_comes_after_that(then: str) -> None:
    events: list[Any] = []
    scope = trio.CancelScope()

    def merge(_values: Any) -> None:
        raise OSError("merge")

    async def late() -> None:
        try:
            await trio.sleep_forever()
        finally:
            if then == "cancelled":
                scope.cancel()
            raise ValueError("late")

    f = fork("f", mode="quorum", need=1, paths=[returns(1, 1), late], merge=merge)
    with scope, pytest.raises(OSError, match="merge") if then == "merged" else nullcontext():
        await f.run(observers=[events.append])
    assert scope.cancelled_caught is (then == "cancelled")
    assert [(name, str(error)) for name, error in errors_discarded(events)] == [("f/late", "late")]


async def test_values_in_the_errors_of_a_quorum_that_is_reached_are_disposed_of() -> None:
    disposed: list[Any] = []
    two = fork("two", mode="quorum", need=2, paths=[one_of_three(disposed), returns(2, 1), returns(2, 2)])
    assert await two() == (1, 2)
    assert disposed == ["a", "b"]


async def test_values_that_an_error_of_a_result_holds_are_left_alone() -> None:
    disposed: list[Any] = []
    [rejected] = await settle(one_of_three(disposed))
    assert isinstance(rejected.error, ForkPartialError)
    assert [result.value for result in rejected.error.succeeded] == ["a", "b"]
    assert disposed == []


async def test_values_in_errors_are_disposed_of_when_the_fork_is_cancelled_from_outside() -> None:
    disposed: list[Any] = []
    with trio.move_on_after(2):
        await settle(one_of_three(disposed), never)
    assert disposed == ["a", "b"]


@pytest.mark.parametrize("mode", ["race", "quorum"])
async def test_refused_value_is_disposed_of_once_when_the_fork_is_cancelled_after_its_decision(mode: str) -> None:
    disposed: list[Any] = []
    events: list[Any] = []
    need: dict[str, Any] = {"need": 1} if mode == "quorum" else {}
    first = fork(
        "first",
        mode=mode,
        paths=[returns(1, "stale"), returns(2, "fresh"), cleans_up([], 2)],
        accept=lambda value: value == "fresh",
        dispose=disposed.append,
        **need,
    )
    with trio.move_on_after(3) as scope:
        await first.run(observers=[events.append])
    assert scope.cancelled_caught
    assert disposed == ["stale", "fresh"]
    assert [name for name, _ in errors_discarded(events)] == ["first/stale"]


async def test_values_in_errors_two_levels_down_go_to_the_fork_that_raised_them() -> None:
    inner: list[Any] = []
    outer: list[Any] = []
    middle = fork("middle", mode="all", paths=[returns(0.25, "m"), one_of_three(inner)], dispose=outer.append)
    assert await race(returns(2, "won"), middle) == "won"
    assert (inner, outer) == (["a", "b"], ["m"])


async def test_values_in_a_group_that_a_path_raises_are_disposed_of() -> None:
    disposed: list[Any] = []

    async def path() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(one_of_three(disposed))

    assert await race(path, returns(2, "won")) == "won"
    assert disposed == ["a", "b"]


async def test_value_that_a_step_of_a_path_refused_goes_to_the_dispose_of_the_fork() -> None:
    disposed: list[Any] = []

    async def stale() -> str:
        return "stale"

    path = step(stale, retry=Retry(2, accept=lambda value: value != "stale"))
    assert await race(path, returns(1, "fresh"), dispose=disposed.append) == "fresh"
    assert disposed == ["stale", "stale"]


async def test_refused_value_in_the_error_of_a_fork_is_held_by_it() -> None:
    disposed: list[Any] = []
    path = step(lambda: "stale", retry=Retry(1, accept=lambda value: value != "stale"))
    all_of = fork("all", mode="all", paths=[path], dispose=disposed.append)
    with pytest.raises(ForkPartialError) as caught:
        await all_of()
    [error] = caught.value.exceptions
    assert isinstance(error, NotAcceptedError)
    assert disposed == []
    assert await race(all_of, returns(1, "fresh")) == "fresh"
    assert disposed == ["stale"]


async def test_refused_value_in_a_group_that_a_path_raises_goes_to_the_dispose_of_its_fork() -> None:
    disposed: list[Any] = []

    async def path() -> None:
        raise ExceptionGroup("two", [NotAcceptedError("x", "stale"), OSError()])

    assert await race(path, returns(1, "fresh"), dispose=disposed.append) == "fresh"
    assert disposed == ["stale"]


async def test_error_is_given_back_once_even_if_it_is_dropped_in_two_pieces() -> None:
    disposed: list[Any] = []

    async def path() -> None:
        try:
            await one_of_three(disposed)()
        except ForkPartialError as error:
            both = error.split(OSError)
            raise ExceptionGroup("both", [error, both[0] or error]) from None

    assert await race(path, returns(2, "won")) == "won"
    assert disposed == ["a", "b"]


# What neither a result nor an error holds

END = st.sampled_from(["accepted", "refused", "predicate fails", "left open", "fails"])


@given(
    st.sampled_from(["race", "all", "settle", "quorum"]),
    st.lists(st.tuples(END, st.integers(0, 4), st.booleans()), min_size=1, max_size=5),
    st.sampled_from([None, 2]),
    st.sampled_from([None, 2]),
)
@settings(max_examples=200)
def test_each_value_is_in_the_result_in_the_error_or_given_to_dispose(mode, paths, limit, timeout) -> None:
    """In exactly one of them, whether its path won, was late, was refused, or has a bug."""
    returned: list[int] = []
    disposed: list[int] = []

    def path(value: int, how: str, seconds: int, shielded: bool) -> Any:
        async def run() -> int:
            with trio.CancelScope(shield=shielded):
                await trio.sleep(seconds)
            if how == "fails":
                raise OSError
            if how == "left open":
                await trio.open_nursery().__aenter__()
            returned.append(value)
            return value

        return run

    def accept(value: int) -> bool:
        if paths[value][0] == "predicate fails":
            raise KeyError
        return paths[value][0] != "refused"

    async def main() -> list[int]:
        arms = [path(value, *how) for value, how in enumerate(paths)]
        need: dict[str, Any] = {"need": 1 + len(arms) // 2} if mode == "quorum" else {}
        run = fork(
            "f",
            mode=mode,
            paths=arms,
            concurrency=limit,
            timeout=timeout,
            accept=accept,
            dispose=disposed.append,
            **need,
        )
        try:
            result = await run()
        except ForkPartialError as error:
            results = [*error.succeeded, *error.failed]
        else:
            if mode != "settle":
                return [result] if mode == "race" else list(result)
            results = list(result)
        refused = [one.error.value for one in results if isinstance(one.error, NotAcceptedError)]
        return [one.value for one in results if one.status == "fulfilled"] + refused

    found = trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    assert sorted(found + disposed) == sorted(returned)


# What a mode leaves out


async def test_values_that_a_mode_does_not_keep_are_disposed_of() -> None:
    disposed: list[Any] = []
    events: list[Any] = []
    best = fork("best", mode=Best, paths=[returns(1, 3), returns(2, 5), returns(3, 4)], dispose=disposed.append)
    assert await best.run(observers=[events.append]) == 5
    assert disposed == [3, 4]
    assert discarded(events) == [("best/3", 3), ("best/4", 4)]


async def test_values_of_a_mode_that_does_not_say_what_it_keeps_count_as_kept() -> None:
    disposed: list[Any] = []

    class Silent(Best):
        kept = None

    assert await fork("best", mode=Silent, paths=[returns(1, 3), returns(2, 5)], dispose=disposed.append)() == 5
    assert disposed == []


async def test_values_in_an_error_that_a_mode_does_not_keep_are_disposed_of() -> None:
    disposed: list[Any] = []
    assert await fork("best", mode=Best, paths=[one_of_three(disposed), returns(2, 5)])() == 5
    assert disposed == ["a", "b"]


async def test_values_not_kept_are_disposed_of_once_if_merge_fails_after_that() -> None:
    disposed: list[Any] = []

    def merge(_value: int) -> None:
        raise OSError("merge")

    best = fork("best", mode=Best, paths=[returns(1, 3), returns(2, 5)], merge=merge, dispose=disposed.append)
    with pytest.raises(OSError, match="merge"):
        await best()
    assert disposed == [3, 5]


async def test_error_that_a_mode_raises_unchanged_is_not_reported_and_the_values_are_disposed_of(
    caplog: pytest.LogCaptureFixture,
) -> None:
    disposed: list[Any] = []
    events: list[Any] = []
    error = OSError("bare")
    paths = [returns(1, "a"), raises(2, error), cleans_up([], error=ValueError("late"), id="late")]
    with pytest.raises(OSError, match="bare") as caught:
        await fork("f", mode=FirstError, paths=paths, dispose=disposed.append).run(observers=[events.append])
    assert caught.value is error
    assert disposed == ["a"]
    assert [name for name, _ in errors_discarded(events)] == ["f/late"]
    assert len(caplog.records) == 1


async def test_mode_that_raises_the_error_of_a_fork_inside_does_not_lose_its_own_values() -> None:
    inner: list[Any] = []
    outer: list[Any] = []
    first = fork("f", mode=FirstError, paths=[returns(0.25, "x"), one_of_three(inner)], dispose=outer.append)
    with pytest.raises(ForkPartialError) as caught:
        await first()
    assert [result.value for result in caught.value.succeeded] == ["a", "b"]
    assert (inner, outer) == ([], ["x"])


async def test_mode_that_raises_from_the_error_of_a_path_has_told_it(caplog: pytest.LogCaptureFixture) -> None:
    class Wrapped(FirstError):
        def result(self) -> Any:
            raise LookupError("no") from self.error

    with pytest.raises(LookupError):
        await fork("f", mode=Wrapped, paths=[raises(1, OSError())])()
    assert caplog.records == []


async def test_error_of_a_mode_is_reported_if_the_fork_is_cancelled_instead() -> None:
    events: list[Any] = []

    class Broken(FirstError):
        def result(self) -> Any:
            raise LookupError("no")

    with trio.move_on_after(2) as scope:
        path = cleans_up([], 3)
        await fork("f", mode=Broken, paths=[raises(1, OSError("first")), path]).run(observers=[events.append])
    assert scope.cancelled_caught
    assert [(name, type(error)) for name, error in errors_discarded(events)] == [
        ("f/bad", OSError),
        ("f", LookupError),
    ]


async def test_mode_that_raises_system_exit_loses_no_value() -> None:
    disposed: list[Any] = []

    class Exits(Best):
        def result(self) -> Any:
            raise SystemExit(3)

    with pytest.raises(SystemExit):
        await fork("f", mode=Exits, paths=[returns(1, "a"), returns(2, "b")], dispose=disposed.append)()
    assert disposed == ["a", "b"]


# Interrupted


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
async def test_interrupt_in_the_middle_of_disposing_waits_for_the_rest(interrupt: type[BaseException]) -> None:
    disposed: list[Any] = []

    async def dispose(value: Any) -> None:
        await trio.sleep(1)
        disposed.append(value)
        if len(disposed) == 1:
            raise interrupt

    with pytest.raises(interrupt):
        await race(returns(1, "won"), *[shielded(2, n) for n in range(3)], dispose=dispose)
    assert sorted(disposed, key=str) == [0, 1, 2, "won"]
    assert trio.current_time() == 6


async def test_second_interrupt_in_disposing_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    def dispose(value: Any) -> None:
        raise KeyboardInterrupt(value)

    with pytest.raises(KeyboardInterrupt) as caught, trio.move_on_after(2):
        await gather(returns(1, "a"), returns(1, "b"), never, dispose=dispose)
    assert caught.value.args == ("a",)
    assert [record.getMessage() for record in caplog.records] == [
        "gather/b: an error that its fork does not raise: KeyboardInterrupt('b')"
    ]


async def test_interrupt_in_disposing_does_not_lose_the_errors() -> None:
    events: list[Any] = []

    def dispose(_value: Any) -> None:
        raise KeyboardInterrupt

    pair = fork("f", mode="settle", paths=[returns(1, "a"), raises(1, OSError("down"))], merge=list, dispose=dispose)
    with pytest.raises(KeyboardInterrupt), trio.move_on_after(2):
        await fork("g", mode="all", paths=[pair, never], dispose=dispose).run(observers=[events.append])
    assert discarded(events) == [("g/f", [])] or [name for name, _ in discarded(events)] == ["g/f"]


# Two at once


async def test_crash_of_a_mode_beside_an_interrupt_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    class Crashes(Best):
        def succeeded(self, index: int, value: Any) -> bool:
            raise LookupError("bug")

    event = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(set_after, 1, event)
        with pytest.raises(KeyboardInterrupt):
            await fork("f", mode=Crashes, paths=[on(event, 1), on(event, KeyboardInterrupt(), id="ctrl-c")])()
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING] == [
        "f: an error that its fork does not raise: LookupError('bug')"
    ]


async def test_traceback_of_an_error_that_is_only_logged_begins_in_the_users_code(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def close(_: object) -> None:
        await trio.lowlevel.checkpoint()
        raise OSError("close")

    async def source() -> Any:
        try:
            yield shielded(1, "late")
            yield shielded(1, "late")
            await trio.sleep_forever()
        finally:
            raise OSError("source")

    assert await race(source(), dispose=close) == "late"
    frames = [record.exc_info[2].tb_frame.f_code.co_name for record in caplog.records if record.exc_info]  # type: ignore[union-attr]
    assert sorted(frames) == ["close", "source"]
