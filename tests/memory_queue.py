"""A store in memory whose runs are executed by workers only."""

from __future__ import annotations

from typing import Any

import attrs

from trio_steps.store import QueueStore, RunChange, RunClaimedError, RunRecord
from trio_steps.testing import MemoryStore


class MemoryQueue(QueueStore):
    def __init__(self) -> None:
        self.memory = MemoryStore()
        self.now = self.memory.now
        self.read = self.memory.read
        self.runs = self.memory.runs
        self.delete = self.memory.delete
        self.write_answers = self.memory.write_answers
        self.submit = self.memory.submit
        self.take = self.memory.take
        self.changed: list[str] = []  # answers that arrive just before an `amend`

    def __repr__(self) -> str:
        return "MemoryQueue()"

    async def cancel(self, run_id: str, /) -> bool:
        return await self.memory.cancel(run_id)

    async def look(self, run_id: str, /) -> RunRecord:
        await self.memory.come()
        return self.memory._there(run_id).record

    async def resume(self, run_id: str, /) -> None:
        await self.memory.come()
        stored = self.memory._there(run_id)
        if stored.record.status in ("failed", "stopped", "cancelled"):
            self.memory._runs[run_id] = attrs.evolve(stored, record=attrs.evolve(stored.record, status="submitted"))

    async def amend(self, before: RunRecord, change: RunChange, /) -> bool:
        await self.memory.come()
        if before.run_id in self.memory._claims:
            raise RunClaimedError(before.run_id)
        stored = self.memory._there(before.run_id)
        if self.changed:
            answers: Any = {self.changed.pop(): "true"}
            self.memory._runs[before.run_id] = attrs.evolve(stored, answers={**stored.answers, **answers})
            return False
        self.memory._runs[before.run_id] = change.applied_to(stored, before.run_id, self.now())
        return True
