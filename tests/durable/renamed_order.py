"""The pipeline that `test_machine` runs, before and after a renaming of everything in it; and a model of its runs."""

# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false

from __future__ import annotations

from typing import Any, Protocol, TypeAlias

import attrs
import trio

from trio_steps import Pipeline, otherwise, step, when

Order: TypeAlias = Pipeline[Any, Any]

RUNS = ("r", "s", "t")
STEPS = ("a", "route/x/x", "route/y/y", "both/m", "both/q/after", "last")
KEYS = {"a": "a", "route/x/x": "way", "route/y/y": "way", "both/m": "m", "both/q/after": "after", "last": "last"}
MAX_DEATHS = 3


class FailedError(Exception):
    """The failure of a step."""


@attrs.define
class Model:
    """What the model knows of a run: a naive reading of the docs.

    Attributes:
      place: which store has it.
      status: its status.
      done: the steps that are saved as done, by their oldest names.
      values: the last value of each step.
      taken: the case that the branch took.
      ok: the answer to ``ask``.
      deaths: how many processes have died in it.
    """

    place: int
    status: str
    done: set[str] = attrs.field(factory=set[str])
    values: dict[str, Any] = attrs.field(factory=dict[str, Any])
    taken: str | None = None
    ok: bool | None = None
    deaths: int = 0

    def result(self) -> dict[str, Any]:
        values = {KEYS[full]: self.values[full] for full in STEPS if full in self.done}
        return {"n": 1, "ok": self.ok, **values}


class Acts(Protocol):
    """What the steps of the pipeline do."""

    is_x: bool

    async def act(self, full: str) -> int:
        """Run the step with the oldest full name `full`."""
        ...


class World:
    """Holds the machine that is running, for the steps of the pipeline."""

    machine: Acts


def order(*, now: bool) -> Order:
    """Return the pipeline, before or after everything in it was renamed."""

    def name(old: str) -> str:
        return f"new-{old}" if now else old

    def was(old: str) -> dict[str, Any]:
        return {"was": old} if now else {}

    def gives(full: str) -> Any:
        async def give() -> dict[str, Any]:
            return {KEYS[full]: await World.machine.act(full)}

        return give

    async def is_x() -> bool:
        await trio.lowlevel.checkpoint()
        return World.machine.is_x

    x = Pipeline("x").step(name("x"), gives("route/x/x"), **was("x"))
    y = Pipeline("y").step(name("y"), gives("route/y/y"), **was("y"))
    q: Order = (
        Pipeline(name("q"), **was("q"))
        .wait_for(name("ask"), provides="ok", of=bool, **was("ask"))
        .step(name("after"), gives("both/q/after"), **was("after"))
    )
    return (
        Pipeline(name("order"), **was("order"))
        .step(name("a"), gives("a"), **was("a"))
        .branch_on(
            name("route"),
            when(is_x, x, name=name("x"), **was("x")),
            otherwise(y, name=name("y"), **was("y")),
            **was("route"),
        )
        .step(name("both"), step(gives("both/m"), id=name("m"), **was("m")), q, **was("both"))
        .step(name("last"), gives("last"), **was("last"))
    )


PIPELINES = (order(now=False), order(now=True))


def old_name(name: str) -> str:
    return name.replace("new-", "")
