"""P15 on PostgreSQL: what a durable step of 1 kB adds to a run, against Absurd's own checkpoint call.

It needs a database with Absurd in it, and so is run by itself: ``python -m benchmarks.absurd postgresql://…``. Both
write the same text, in a transaction of its own for each step, in turn, over a connection that is open.
"""

from __future__ import annotations

import functools
import statistics
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING
from uuid import uuid4

import psycopg
import trio

from trio_steps import Pipeline
from trio_steps.absurd import AbsurdStore
from trio_steps.store import work

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

STEPS = 200
ROUNDS = 9
LIMIT = 1.3
TEXT = "x" * 1000


def pipeline(name: str) -> Pipeline:
    made = Pipeline(name)
    for number in range(STEPS):
        made = made.step(f"s{number}", lambda: {"text": TEXT})
    return made


async def ours(url: str, made: Pipeline) -> float:
    """Return the seconds between the first and the last save of a run, less those of the same run without a store."""
    times: list[float] = []
    store = AbsurdStore(url)
    watched = functools.partial(work, store, [made], observers=[lambda _: times.append(time.perf_counter())])
    run_id = uuid4().hex
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watched)
        await made.run(store=store, run_id=run_id)
        nursery.cancel_scope.cancel()
    await store.delete(run_id)
    began = time.perf_counter()
    await made.run(observers=[lambda _: None])
    return times[-2] - times[0] - (time.perf_counter() - began)


@contextmanager
def checkpoints(url: str, text: str) -> Iterator[Callable[[int], object]]:
    """Claim a task of its own, and give the call of Absurd's that saves `text` as its checkpoint of a number."""
    queue = "bare_" + uuid4().hex[:8]
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("select absurd.create_queue(%s)", (queue,))
        connection.execute("select absurd.spawn_task(%s, 'bare', '1')", (queue,))
        claim = "select task_id, run_id from absurd.claim_task(%s, 'me', 300, 1)"
        [(task, run)] = connection.execute(claim, (queue,)).fetchall()
        save = "select absurd.set_task_checkpoint_state(%s, %s, %s, to_jsonb(%s::text), %s, null)"
        yield lambda number: connection.execute(save, (queue, task, f"s{number}", text, run))
        connection.execute("select absurd.drop_queue(%s)", (queue,))


def bare(url: str, text: str) -> float:
    """Return the seconds of as many calls of Absurd's."""
    with checkpoints(url, text) as save:
        began = time.perf_counter()
        for number in range(STEPS):
            save(number)
        return time.perf_counter() - began


async def threaded(url: str, text: str) -> float:
    """Return the seconds of as many calls of Absurd's, each in a worker thread as any Trio program has to make them."""
    with checkpoints(url, text) as save:
        began = time.perf_counter()
        for number in range(STEPS):
            await trio.to_thread.run_sync(save, number)
        return time.perf_counter() - began


def main(url: str) -> int:
    made = pipeline("bench")
    text = '{"format": 1, "journal": [{"changes": {"text": "' + TEXT + '"}}]}'
    rounds = [(trio.run(ours, url, made), trio.run(threaded, url, text), bare(url, text)) for _ in range(ROUNDS)]
    mine, call, plain = (statistics.median(each) / STEPS for each in zip(*rounds, strict=True))
    ratio = statistics.median(one / other for one, other, _ in rounds)
    print(f"P15 a durable step of 1 kB on PostgreSQL: {mine * 1e6:.0f} µs a step")
    print(f"    Absurd's own checkpoint call, in a thread: {call * 1e6:.0f} µs; without one: {plain * 1e6:.0f} µs")
    print(f"    {ratio:.2f} x the call, the target is {LIMIT} x")
    return int(ratio > LIMIT)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
