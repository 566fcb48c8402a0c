"""P16: what `work` takes for many short runs on PostgreSQL, against the worker of absurd-sdk for the same tasks.

It needs a database with Absurd in it, and absurd-sdk, and so is run by itself:
``python -m benchmarks.workers postgresql://…``. Both have so many runs of three steps to do that were submitted before,
eight at a time, in turn: ours on a Trio loop, with its calls in worker threads; theirs in a pool of eight threads.
"""

from __future__ import annotations

import statistics
import sys
import threading
import time
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import psycopg
import trio
from absurd_sdk import Absurd
from psycopg.sql import SQL, Identifier

from trio_steps import Pipeline
from trio_steps.absurd import AbsurdStore
from trio_steps.store import work

if TYPE_CHECKING:
    from absurd_sdk import TaskContext

    from trio_steps.store import RunStatus

RUNS = 1_000
AT_ONCE = 8
ROUNDS = 5
LIMIT = 1.1


def charge(order: int) -> dict[str, str]:
    return {"receipt": f"R-{order}"}


def pack(receipt: str) -> dict[str, str]:
    return {"parcel": receipt[::-1]}


def ship(parcel: str) -> dict[str, int]:
    return {"shipped": len(parcel)}


def result(number: int) -> dict[str, Any]:
    receipt = f"R-{number}"
    return {"order": number, "receipt": receipt, "parcel": receipt[::-1], "shipped": len(receipt)}


async def ours(url: str, runs: int) -> float:
    """Return the seconds from the beginning of `work` to the end of the last run."""
    name = "ours-" + uuid4().hex[:8]
    order = Pipeline(name).step("charge", charge).step("pack", pack).step("ship", ship)
    store = AbsurdStore(url)

    async def submit(numbers: Any) -> None:
        for number in numbers:
            await order.submit({"order": number}, store=store, run_id=f"{name}-{number}")

    async with trio.open_nursery() as nursery:
        numbers = iter(range(runs))
        for _ in range(AT_ONCE):
            nursery.start_soon(submit, numbers)
    left = runs

    def on_end(_: str, __: RunStatus, error: Exception | None) -> None:
        nonlocal left
        assert error is None
        left -= 1
        if not left:
            nursery.cancel_scope.cancel()

    began = time.perf_counter()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: work(store, [order], concurrency=AT_ONCE, on_end=on_end))
    seconds = time.perf_counter() - began
    for number in range(runs):
        assert (await store.load(f"{name}-{number}")).result == result(number)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("select absurd.drop_queue(%s)", (name,))
    return seconds


def theirs(url: str, runs: int) -> float:
    """Return the same of absurd-sdk."""
    name = "theirs-" + uuid4().hex[:8]
    app = Absurd(url, queue_name=name)
    app.create_queue()
    ended = 0
    lock = threading.Lock()

    @app.register_task(name, default_max_attempts=1)
    def order(params: Any, context: TaskContext) -> Any:
        nonlocal ended
        number = params["order"]
        values = {"order": number}
        values |= context.step("charge", lambda: charge(number))
        values |= context.step("pack", lambda: pack(values["receipt"]))
        values |= context.step("ship", lambda: ship(values["parcel"]))
        with lock:
            ended += 1
            if ended == runs:
                app.stop_worker()
        return values

    for number in range(runs):
        app.spawn(name, {"order": number})
    began = time.perf_counter()
    app.start_worker(concurrency=AT_ONCE, claim_timeout=30)
    seconds = time.perf_counter() - began
    with psycopg.connect(url, autocommit=True) as connection:
        tasks = SQL("select completed_payload from {} where state = 'completed'").format(
            Identifier("absurd", f"t_{name}")
        )
        made = [payload for (payload,) in connection.execute(tasks).fetchall()]
        assert sorted(made, key=lambda values: values["order"]) == [result(number) for number in range(runs)]
        steps = SQL("select count(*) from {}").format(Identifier("absurd", f"c_{name}"))
        assert connection.execute(steps).fetchall() == [(3 * runs,)]
    app.drop_queue()
    app.close()
    return seconds


def main(url: str, runs: str = str(RUNS), rounds: str = str(ROUNDS)) -> int:
    taken = [(trio.run(ours, url, int(runs)), theirs(url, int(runs))) for _ in range(int(rounds))]
    mine, other = (statistics.median(each) for each in zip(*taken, strict=True))
    ratio = statistics.median(one / another for one, another in taken)
    print(f"P16 {runs} runs of 3 steps on PostgreSQL, {AT_ONCE} at a time: {mine:.2f} s")
    print(f"    the worker of absurd-sdk with {AT_ONCE} threads: {other:.2f} s")
    print(f"    {ratio:.2f} x that, the target is {LIMIT} x")
    return int(ratio > LIMIT)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
