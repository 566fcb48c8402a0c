"""Durable runs under `explore`: cancelled anywhere, in any order, while others answer, cancel and move them."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
import trio

from trio_steps import Pipeline, otherwise, when
from trio_steps._pipeline.run.move import move
from trio_steps.store import AnswerError, work
from trio_steps.testing import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from trio_steps.testing import Probe

pytestmark = pytest.mark.long

BUDGET = 300
RESULT = {"n": 1, "a": 1, "way": "x", "m": 2, "ok": True, "after": True, "end": 3}


class Order:
    """A pipeline of steps that take a second each, and how often each of them was done."""

    def __init__(self) -> None:
        self.done: Counter[str] = Counter()
        x = Pipeline("x").step("way", self.gives("way", "x"))
        q: Pipeline[Any, Any] = (
            Pipeline("q").wait_for("ask", provides="ok", of=bool).step("after", self.gives("after", True))
        )
        self.pipeline: Pipeline[Any, Any] = (
            Pipeline("order")
            .step("a", self.gives("a", 1))
            .branch_on("route", when(self.holds, x, name="x"), otherwise(Pipeline("y"), name="y"))
            .step("both", self.gives("m", 2), q)
            .step("end", self.gives("end", 3))
        )

    async def holds(self) -> bool:
        await trio.sleep(1)
        return True

    def gives(self, key: str, value: object) -> Any:
        async def give() -> dict[str, object]:
            await trio.sleep(1)
            self.done[key] += 1
            return {key: value}

        return give

    async def run(self, store: MemoryStore, **options: Any) -> object:
        return await self.pipeline.run({"n": 1}, store=store, run_id="r", **options)

    async def finish(self, *stores: MemoryStore) -> dict[str, object]:
        """Bring the run to its end, wherever it is. No step may be done twice."""
        with trio.CancelScope(shield=True):
            [store] = [store for store in stores if await store.runs()]
            stored = await store.read("r")
            assert stored is not None
            answers = {} if stored.answers else {"ok": True}
            result = await self.pipeline.run(store=store, run_id="r", answers=answers)
            assert result == RESULT
            assert set(self.done.values()) == {1}, self.done
            return dict(result)


async def test_undisturbed_run_has_that_result() -> None:
    order, store = Order(), MemoryStore()
    await order.run(store)
    assert await order.finish(store) == RESULT


def test_run_that_is_cancelled_anywhere_continues_and_does_nothing_twice(explore: Any) -> None:
    async def program(probe: Probe) -> object:
        order, store = Order(), MemoryStore()
        try:
            await order.run(store)
        finally:
            with trio.CancelScope(shield=True):
                if not await store.runs():  # it was cancelled before it had begun
                    await order.pipeline.submit({"n": 1}, store=store, run_id="r")
            result = await order.finish(store)
        return sorted(result.items(), key=repr)

    explore(program, budget=BUDGET)


async def answered(store: MemoryStore) -> None:
    """Answer the run, unless it is over or is moved just now."""
    with suppress(AnswerError, KeyError):
        await store.answer("r", ok=True)


async def cancelled(store: MemoryStore) -> None:
    """Cancel the run, if it is there."""
    with suppress(KeyError):
        await store.cancel("r")


def test_run_that_two_workers_take_and_others_answer_and_cancel_does_nothing_twice(explore: Any) -> None:
    async def program(probe: Probe) -> object:
        order, store = Order(), MemoryStore()
        await order.pipeline.submit({"n": 1}, store=store, run_id="r")

        async def worker() -> None:
            with trio.move_on_after(7):
                await work(store, [order.pipeline], on_end=lambda *_: None)

        async def other(act: Callable[[MemoryStore], Awaitable[None]], seconds: float) -> None:
            await trio.sleep(seconds)
            await act(store)

        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(worker)
                nursery.start_soon(worker)
                nursery.start_soon(other, answered, 2)
                nursery.start_soon(other, cancelled, 3)
        finally:
            result = await order.finish(store)
        return sorted(result.items(), key=repr)

    explore(program, budget=BUDGET)


def test_run_that_is_moved_while_others_answer_and_cancel_it_is_in_one_store_and_does_nothing_twice(
    explore: Any,
) -> None:
    async def program(probe: Probe) -> object:
        order, old, new = Order(), MemoryStore(), MemoryStore()
        with trio.CancelScope(shield=True):
            await order.run(old)

        async def worker() -> None:
            with trio.move_on_after(3):
                await work(new, [order.pipeline], on_end=lambda *_: None)

        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(move, "r", old, new)
                nursery.start_soon(answered, old)
                nursery.start_soon(answered, new)
                nursery.start_soon(cancelled, new)
                nursery.start_soon(worker)
        finally:
            with trio.CancelScope(shield=True):
                if await old.runs():
                    await move("r", old, new)
            result = await order.finish(new)
        return sorted(result.items(), key=repr)

    explore(program, budget=BUDGET)
