"""What a custom mode is told, and when; and the errors for a mode that breaks the contract."""

from __future__ import annotations

import gc
from typing import Any

import pytest
import trio
from paths import never, returns

from trio_steps import ConfigError, PathsCounted, StepSucceeded, fork


class Told:
    """Is decided by the first success, and remembers its calls."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def succeeded(self, index: int, value: Any) -> bool:
        self.calls.append(("succeeded", index, value))
        return True

    def failed(self, index: int, error: Exception) -> bool:
        self.calls.append(("failed", index))
        return False

    def exhausted(self, total: int) -> bool:
        self.calls.append(("exhausted", total))
        return False

    def result(self) -> Any:
        return self.calls


async def test_mode_is_told_nothing_after_it_has_decided() -> None:
    async def source() -> Any:
        yield returns(1, "a")
        with trio.CancelScope(shield=True):
            await trio.sleep(5)

    events: list[Any] = []
    result = await fork("f", mode=Told, paths=lambda: source()).run(observers=[events.append])
    assert result == [("succeeded", 0, "a")]
    assert not any(isinstance(event, PathsCounted) for event in events)
    assert isinstance(events[-1], StepSucceeded)
    assert (events[-1].name, trio.current_time()) == ("f", 5)


async def test_mode_that_knows_enough_from_the_number_of_paths_starts_none() -> None:
    class Counts(Told):
        def exhausted(self, total: int) -> bool:
            super().exhausted(total)
            return True

    assert await fork("f", mode=Counts, paths=[never, never])() == [("exhausted", 2)]
    assert trio.current_time() == 0


async def test_source_that_ends_after_the_deadline_does_not_change_the_reason() -> None:
    async def source() -> Any:
        yield step_that_takes(5)
        with trio.CancelScope(shield=True):
            await trio.sleep(2)

    class Patient(Told):
        settles_deadline = True

        def __init__(self, ledger: Any) -> None:
            super().__init__()
            self.ledger = ledger

        def result(self) -> Any:
            return self.ledger.reason

    def step_that_takes(seconds: float) -> Any:
        return returns(seconds, "late")

    reason = await fork("f", mode=Patient, paths=lambda: source(), timeout=1)()
    assert reason == "fork 'f': timed out after 1 s"
    assert trio.current_time() == 2


@pytest.mark.parametrize("method", ["succeeded", "failed", "exhausted", "result"])
async def test_mode_with_an_async_method_is_refused_before_anything_runs(method: str) -> None:
    async def answer(*_args: Any) -> bool:
        return False

    bad: Any = type("Bad", (Told,), {method: answer})
    ran: list[str] = []
    with pytest.raises(ConfigError, match=rf"fork 'f': {method} of <.*Bad.*> is async.*def {method}\(self, …\)"):
        await fork("f", mode=bad, paths=[lambda: ran.append("path")])()
    assert ran == []


async def test_mode_without_a_method_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"but \{\} has no succeeded"):
        await fork("f", mode=dict, paths=[never])()  # type: ignore[call-overload]


@pytest.mark.parametrize("method", ["succeeded", "result"])
async def test_mode_that_answers_with_a_coroutine_is_told_so_and_no_value_is_lost(method: str) -> None:
    async def later() -> bool:
        return False

    disposed: list[Any] = []
    bad: Any = type("Bad", (Told,), {method: lambda *_args: later()})
    with pytest.raises(TypeError, match=f"mode of fork 'f': {method} returned a coroutine"):
        await fork("f", mode=bad, paths=[returns(1, "a"), never], dispose=disposed.append)()
    assert disposed == ["a"]
    gc.collect()  # a coroutine that was never awaited would be reported here


@pytest.mark.parametrize("state", [None, {"x": 1}])
@pytest.mark.parametrize("winner", [1, 7, "a"])
async def test_winner_that_has_not_succeeded_is_an_error_and_no_value_is_lost(winner: Any, state: Any) -> None:
    disposed: list[Any] = []
    bad: Any = type("Bad", (Told,), {"winner": winner})
    paths = [returns(1, "a"), never]
    with pytest.raises(RuntimeError, match=f"mode of fork 'f': winner={winner!r} is not a path that has succeeded"):
        await fork("f", mode=bad, paths=paths, dispose=disposed.append).run(state=state)
    assert disposed == ["a"]


async def test_mode_without_a_winner_leaves_the_state_alone() -> None:
    state: dict[str, object] = {"x": 1}
    nobody: Any = type("Nobody", (Told,), {"winner": None})
    await fork("f", mode=nobody, paths=[returns(1, "a")]).run(state=state)
    assert state == {"x": 1}
