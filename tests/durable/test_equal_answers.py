"""An answer equal to the stored one changes nothing, however it is written; a different one is a conflict."""

from __future__ import annotations

from typing import Any

import pytest

from trio_steps import Pipeline
from trio_steps.store import AnswerConflictError, AnswerError
from trio_steps.testing import MemoryStore

asks: Pipeline[Any, Any] = Pipeline("p").wait_for("ask", provides="x").wait_for("more", provides="y")


@pytest.mark.parametrize(
    ("first", "same", "other"),
    [
        ({"a": 1, "b": [2]}, {"b": [2], "a": 1}, {"b": [2], "a": True}),
        ({8, 0}, {0, 8}, {0}),
        ([{8, 0}, float("nan")], [{0, 8}, float("nan")], [{0, 8}, 0.0]),
        (1, 1, 1.0),
        (0.0, 0.0, -0.0),
    ],
    ids=["dict", "set", "nested", "int", "float"],
)
async def test_equal_answer_changes_nothing_however_it_is_written(first: object, same: object, other: object) -> None:
    store = MemoryStore()
    await asks.run({}, store=store, run_id="r")
    await store.answer("r", {"ask": first, "x": same})
    before = await store.read("r")
    await store.answer("r", x=same)
    assert await store.read("r") == before
    assert repr((await asks.run(store=store, run_id="r", answers={"x": same}))["x"]) == repr(first)
    with pytest.raises(AnswerConflictError):
        await store.answer("r", x=other)
    with pytest.raises(AnswerConflictError):
        await asks.run(store=store, run_id="r", answers={"x": other})
    with pytest.raises(AnswerError, match="there are two answers"):
        await store.answer("r", {"more": first, "y": other})


async def test_other_answer_to_one_whose_text_can_not_be_read_is_a_conflict() -> None:
    store = MemoryStore()
    await asks.run({}, store=store, run_id="r")
    await store.write_answers("r", {"ask": "tru"})
    with pytest.raises(AnswerConflictError):
        await store.answer("r", x=True)
