"""Moves a run from one store to another, where it continues.

Problem: two stores have no transaction in common, and the process may die at any moment. The run must not run in both
stores, and must not be lost.

What is done. As long as the run is in both stores, it is marked in the old one: it is cancelled there, so that no
worker takes it, and says where it is being moved to. Moving it there again continues from there. If the new store
already has a run of that id, it counts as the same run only if the old one is marked. A marked run is neither run by
its id nor moved anywhere else: the other store may be running it by now. If the new store does not have a marked run,
the run never got there, or has ended there and was deleted. No store can tell which. So it is not moved again, unless
someone says that it never got there, or that the store is lost.

Answers may arrive meanwhile, and are moved last. One that arrived even later would be deleted with the run. So the mark
is changed before the last look, and whoever has answered looks for that: either the last look has seen the answer, or
the one who gave it is told that it was not kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from trio_steps._core.errors import ConfigError
from trio_steps._durable.moving import has_left, is_leaving, marked, marks_of
from trio_steps._durable.protocol import RunChange

from .head import INPUTS

if TYPE_CHECKING:
    from .stored import RunStore


async def move(run_id: str, source: RunStore, target: RunStore, *, instead: bool = False) -> None:
    """Move a run that is not running and can continue. In `target` it is submitted.

    Args:
      run_id: the id of the run.
      source: the store that has it.
      target: the store to move it to.
      instead: move it although it was being moved before, because it never got there, or that store is lost.

    Raises:
      KeyError: there is no such run.
      ConfigError: it is finished, or `target` has a run of that id, or it is being moved to another store, or it was
        being moved to `target`, which does not have it.
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
        there = await target.read(run_id)  # this also checks that the store can be used at all
        is_marked = is_leaving(record) and not instead
        if is_marked and record.error not in (mark, last_mark):
            raise ConfigError(
                f"the run {run_id!r} can't be moved to {target!r}, as {record.error}; if that store is lost, say "
                "--instead"
            )
        if is_marked and there is None:  # others may have run and deleted it
            if has_left(record):
                raise ConfigError(
                    f"the run {run_id!r} was moved to {target!r} before, which does not have it any more; delete it in "
                    f"{source!r}, too; or if it was lost, say --instead"
                )
            raise ConfigError(
                f"the run {run_id!r} was being moved to {target!r}, which does not have it: it never got there, or has "
                f"ended there and was deleted; if it never got there, say --instead; if it ended, delete it in "
                f"{source!r}, too"
            )
        if there is not None and not (is_marked and there.parts.get(INPUTS) == stored.parts.get(INPUTS)):
            raise ConfigError(f"{target!r} has a run {run_id!r} already; the one in {source!r} stays where it is")
        if not is_marked:
            await claim.write(marked(record, mark))
        if there is None:
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
                stays = attrs.evolve(change, status=record.status, error=record.error, parts={}, questions=None)
                await claim.write(stays)
                raise ConfigError(f"{target!r} has just got a run {run_id!r}; the other one stays where it is")
        await claim.write(marked(record, last_mark))
        stored = await claim.read()
        if stored is not None and stored.answers:
            await target.write_answers(run_id, stored.answers)
    await source.delete(run_id)
