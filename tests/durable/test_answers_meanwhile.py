"""An answer arrives while the run is running: it continues at once, and its steps have their usual names."""

# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false

from __future__ import annotations

from typing import Any

import pytest
import trio

from trio_steps import Pipeline, current_scope
from trio_steps.store import work
from trio_steps.testing import MemoryStore


@pytest.mark.parametrize("worker", [False, True], ids=["run", "work"])
async def test_steps_after_an_answer_that_comes_meanwhile_have_their_names_and_keys(worker: bool) -> None:
    store = MemoryStore()
    seen: list[tuple[str, str]] = []

    def note(**keys: object) -> dict[str, object]:
        seen.append((current_scope().name, current_scope().key))
        return keys

    async def answer() -> None:
        await store.answer("r", ok=True)
        note()

    inner = Pipeline("in").wait_for("ask", provides="ok", of=bool).step("after", lambda: note(after=1))
    p: Pipeline[Any, Any] = Pipeline("p").step("both", answer, inner).step("last", lambda: note(last=1))
    told: list[str] = []
    if worker:
        await p.submit({}, store=store, run_id="r")
        async with trio.open_nursery() as nursery:
            await work(store, [p], on_end=lambda *_: nursery.cancel_scope.cancel())
    else:
        result = await p.run({}, store=store, run_id="r", on_step_complete=lambda event: told.append(event.name))
        assert result == {"ok": True, "after": 1, "last": 1}
        assert told == ["both/answer", "both/in/ask", "both/in/after", "both/in", "both", "last"]
    names = ["both/answer", "both/in/after", "last"]
    assert [name for name, _ in seen] == names
    assert [key for _, key in seen] == [f"p/r/{name}" for name in names]
    assert (await store.load("r")).result == {"ok": True, "after": 1, "last": 1}
