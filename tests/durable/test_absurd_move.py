"""A run that began in SQLite continues in Absurd."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio

from trio_steps import Pipeline, current_scope
from trio_steps._cli.commands import main
from trio_steps.store import SqliteStore, work

if TYPE_CHECKING:
    from pathlib import Path

    from postgresql_server import Database

    from trio_steps.store import RunStatus

pytestmark = pytest.mark.postgresql


def test_run_that_is_moved_goes_on_with_its_answer_and_its_keys(database: Database, tmp_path: Path) -> None:
    keys: list[str] = []

    def note() -> None:
        keys.append(current_scope().key)

    order = Pipeline("order").step("charge", note).wait_for("approval", provides="approved", of=bool).step("ship", note)
    old, new = SqliteStore(tmp_path / "runs.db"), database.store()

    async def begin() -> None:
        await order.run({"n": 1}, store=old, run_id="order-42")
        await old.answer("order-42", approved=True)

    trio.run(begin)
    assert main(["move", "order-42", "--store", str(tmp_path / "runs.db"), "--to", database.url]) == 0

    async def go_on() -> None:
        assert await old.runs() == ()
        async with trio.open_nursery() as nursery:

            def ended(run_id: str, status: RunStatus, error: Exception | None) -> None:
                assert (run_id, status, error) == ("order-42", "finished", None)
                nursery.cancel_scope.cancel()

            with trio.fail_after(60):
                await work(new, [order], on_end=ended)
        saved = await new.load("order-42")
        assert (saved.record.status, saved.result) == ("finished", {"n": 1, "approved": True})
        assert saved.inputs == {"n": 1}

    trio.run(go_on)
    assert keys == ["order/order-42/charge", "order/order-42/ship"]
