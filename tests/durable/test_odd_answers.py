"""Odd questions and answers: types that say nothing, times beyond any calendar, invalid names."""

# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false

from __future__ import annotations

from typing import Any, TypedDict

import pytest

from trio_steps import Pipeline
from trio_steps.store import AnswerError, RunStore, SqliteStore
from trio_steps.testing import MemoryStore


class Address(TypedDict):
    city: str


@pytest.mark.parametrize("of", [None, Any, object, int | Any], ids=["none", "Any", "object", "int or Any"])
async def test_question_of_any_type_takes_every_answer(of: Any) -> None:
    for answer in (1, "one", [1], None, {"a": True}, float("inf")):
        p: Pipeline[Any, Any] = Pipeline("p").wait_for("ask", provides="x", of=of)
        assert await p.run({}, store=MemoryStore(), run_id="r", answers={"x": answer}) == {"x": answer}


async def test_answer_of_a_typed_dict_is_a_dict() -> None:
    p: Pipeline[Any, Any] = Pipeline("p").wait_for("ask", provides="x", of=Address | None)
    for answer in ({"city": "Ulm"}, None):
        assert await p.run({}, store=MemoryStore(), run_id="r", answers={"x": answer}) == {"x": answer}
    with pytest.raises(AnswerError, match="'ask' asks for dict or NoneType, not for 'Ulm'"):
        await p.run({}, store=MemoryStore(), run_id="r", answers={"x": "Ulm"})


@pytest.mark.parametrize("seconds", [float("inf"), 1e12])
@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_time_to_answer_that_no_calendar_has_is_no_limit(seconds: float, kind: str, tmp_path: Any) -> None:
    store: RunStore = MemoryStore() if kind == "memory" else SqliteStore(tmp_path / "runs.db", synchronous="normal")
    p: Pipeline[Any, Any] = Pipeline("p").wait_for("ask", provides="x", timeout=seconds)
    for _ in range(2):
        assert await p.run({}, store=store, run_id="r") == {}
        assert (await store.load("r")).record.waiting == {"ask": None}
    assert await p.run(store=store, run_id="r", answers={"x": 1}) == {"x": 1}


@pytest.mark.parametrize("answers", [{3: 1}, ["x"], "x", {"x": 1, None: 2}], ids=repr)
async def test_answers_that_are_no_mapping_of_names_are_refused_and_nothing_is_kept(answers: Any) -> None:
    store = MemoryStore()
    p: Pipeline[Any, Any] = Pipeline("p").wait_for("ask", provides="x")
    with pytest.raises(AnswerError, match=r'give a mapping of names, such as \{"approved": True\}'):
        await p.run({}, store=store, run_id="r", answers=answers)
    assert await store.runs() == ()
    await p.run({}, store=store, run_id="r")
    if isinstance(answers, dict):
        with pytest.raises(AnswerError, match="give a mapping of names"):
            await store.answer("r", answers)
    assert (await p.run(store=store, run_id="r")) == {}
