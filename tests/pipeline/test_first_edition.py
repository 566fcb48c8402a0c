"""A checkpoint and a run written by the first edition, whose private modules the text names, are resumed."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest
import trio
import trio.lowlevel

from trio_steps import (
    Checkpoint,
    CheckpointError,
    CircuitOpenError,
    ForkPartialError,
    Fulfilled,
    PathCancelledError,
    Pipeline,
    Rejected,
    StepInputError,
    StepTimeoutError,
    otherwise,
    step,
    when,
)
from trio_steps._values.codec import decode
from trio_steps.store import RunChange
from trio_steps.testing import MemoryStore

STORED = json.loads(Path(__file__).with_name("first_edition.json").read_text(encoding="utf-8"))


def done(*_):
    raise AssertionError("this was done before")


def order(**hooks):
    """Return the pipeline that was run, and stopped after ``both`` or in ``tidy``."""

    async def never():
        await trio.lowlevel.checkpoint()
        done()

    tidy = (
        Pipeline("tidy").step("round", lambda price: {"price": Decimal(str(price))}).step("flag", lambda: {"flag": 1})
    )
    return (
        Pipeline("order", **hooks)
        .step("fetch", lambda order: done(order))
        .step("collect", never)
        .for_each("checks", lambda item: done(item), over="items", each="item", into="checked", mode="settle")
        .step("both", step(never, id="alerts"), step(never, id="news"), mode="settle")
        .step("tidy", tidy)
        .branch_on(
            "route",
            when(lambda flag: flag, lambda q: q.step("ship", lambda: {"shipped": True}), name="fast"),
            otherwise(lambda q: q),
        )
        .step("end", lambda price, checked: {"end": (price, len(checked))})
    )


def check(result):
    assert result["end"] == (Decimal("9.90"), 3)
    assert result["news"] == ["n"]
    assert result["shipped"] is True
    assert result["nan"] != result["nan"]
    first, second, third = result["checked"]
    assert first == Fulfilled("1", 10)
    assert isinstance(second, Rejected)
    assert isinstance(third.error, StepTimeoutError)
    assert (third.kind, third.error.seconds) == ("timed_out", 5)
    partial = result["partial"]
    assert type(partial) is ForkPartialError
    assert [type(error) for error in partial.exceptions] == [FileNotFoundError]
    assert [(end.step_id, type(end.error)) for end in partial.failed] == [
        ("alerts", FileNotFoundError),
        ("slow", PathCancelledError),
    ]
    assert (result["cancelled"].reason, result["cancelled"].started) == ("the run was stopped", True)
    assert type(result["open"]) is CircuitOpenError
    assert type(result["late"]) is StepTimeoutError
    assert (type(result["missing"]), result["missing"].key) == (StepInputError, "user")
    assert str(result["late"]) == str(StepTimeoutError("s", 1.5))


@pytest.mark.parametrize("which", ["checkpoint", "inside"])
async def test_checkpoint_of_the_first_edition_is_resumed(which) -> None:
    checkpoint = Checkpoint.from_json(STORED[which])
    told = []
    result = await order().resume(checkpoint, on_step_complete=lambda event: told.append(event.name))
    check(result)
    assert told[0] == {"checkpoint": "tidy/round", "inside": "tidy/flag"}[which]
    assert "trio_steps._" not in checkpoint.to_json()


async def test_run_of_the_first_edition_goes_on() -> None:
    store = MemoryStore()
    parts = {int(number): text for number, text in STORED["parts"].items()}
    async with store.claim("r") as claim:
        await claim.write(RunChange(pipeline="order", status=STORED["status"], parts=parts))
    check(await order().run(store=store, run_id="r"))
    assert (await store.load("r")).record.status == "finished"
    check(await order().run(store=store, run_id="r"))


@pytest.mark.parametrize("name", ["trio_steps._errors:Nobody", "trio_steps._errors:trio", "trio_steps._x:Plan"])
def test_private_class_that_is_not_public_is_not_found(name) -> None:
    with pytest.raises(CheckpointError, match=f"the class '{name}' can't be found: trio_steps has no public class"):
        decode({"$": "error", "is": [name, 0, False], "of": []})
