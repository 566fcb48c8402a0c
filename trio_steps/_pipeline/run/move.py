"""Moves a run from one store to another, where it continues.

Problem: two stores have no transaction in common, and the process may die at any moment. The run must not run in both
stores, and must not be lost.

What is done. As long as the run is in both stores, it is marked in the old one: it is cancelled there, so that no
worker takes it, and says where it is being moved to. Moving it again continues from there. If the new store already has
a run of that id, it counts as the same run only if the old one is marked. A marked run is not run by its id, either.

Answers may arrive meanwhile, and are moved last. One that arrived even later would be deleted with the run. So the mark
is changed before the last look, and whoever has answered looks for that: either the last look has seen the answer, or
the one who gave it is told that it was not kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from trio_steps._core.errors import ConfigError
from trio_steps._durable.moving import marked, marks_of
from trio_steps._durable.protocol import RunChange

if TYPE_CHECKING:
    from .stored import RunStore


async def move(run_id: str, source: RunStore, target: RunStore) -> None:
    """Move a run that is not running and can continue. In `target` it is submitted.

    Raises:
      KeyError: there is no such run.
      ConfigError: it is finished, or `target` has a run of that id.
      RunClaimedError: it is running.
    """
    mark, last_mark = marks_of(target)
    async with source.claim(run_id) as claim:
        stored = await claim.read()
        if stored is None:
            raise KeyError(f"there is no run {run_id!r} in {source!r}")
        record = stored.record
        if record.status == "finished":
            raise ConfigError(f"the run {run_id!r} is finished; only a run that can continue is moved")
        is_there = await target.read(run_id) is not None  # this also checks that the store can be used at all
        if record.error not in (mark, last_mark):
            if is_there:
                raise ConfigError(f"{target!r} has a run {run_id!r} already; the one in {source!r} stays where it is")
            await claim.write(marked(record, mark))
        if not is_there:
            change = RunChange(
                pipeline=record.pipeline,
                version=record.version,
                status="submitted",
                step=record.step,
                parts=stored.parts,
                waiting=record.waiting,
                questions=stored.questions,
                answers=stored.answers,
            )
            if not await target.submit(run_id, change):
                await claim.write(
                    attrs.evolve(change, status=record.status, error=record.error, parts={}, questions=None)
                )
                raise ConfigError(f"{target!r} has just got a run {run_id!r}; the other one stays where it is")
        await claim.write(marked(record, last_mark))
        stored = await claim.read()
        if stored is not None and stored.answers:
            await target.write_answers(run_id, stored.answers)
    await source.delete(run_id)
