"""What type checkers know about durable runs. Checked by mypy and pyright, never run."""

from __future__ import annotations

from typing import Any, TypedDict, assert_type

from trio_steps import Pipeline
from trio_steps.store import RunStore, SavedRun, SqliteStore


class Order(TypedDict):
    order: int


class Done(TypedDict):
    order: int
    paid: bool


def pay(order: int) -> bool:
    return order > 0


checkout = Pipeline("checkout", inputs=Order).step("pay", pay, provides="paid").outputs(Done)
store = SqliteStore("runs.db", synchronous="normal")
any_store: RunStore = store


async def durable_runs() -> None:
    assert_type(await checkout.run({"order": 1}, store=store, run_id="1"), Done)
    assert_type(await Pipeline("p").run(store=any_store, run_id="1"), dict[str, Any])
    assert_type(await checkout.run(store=store, run_id="1"), Done)  # it has its input already
    assert_type(await checkout.run(store=store, run_id="1", answers={"approved": True}), Done)
    await checkout.run(store=store)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    await checkout.run({"order": "1"}, store=store, run_id="1")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]


async def records() -> None:
    assert_type(await store.load("1"), SavedRun)
    assert_type([record.run_id for record in await store.runs()], list[str])
    await store.prune(keep=1, status=("finished", "interrupted"))
    await store.prune(keep=1, status=("gone",))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    SqliteStore("runs.db", synchronous="off")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
