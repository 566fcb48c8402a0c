"""`work`: submitted runs are run, each once, by any worker."""

from __future__ import annotations

import logging

import pytest
import trio

from trio_steps import CheckpointError, ConfigError, Pipeline
from trio_steps.store import RunCancelledError, SqliteStore, work
from trio_steps.testing import MemoryStore


@pytest.fixture
def store():
    return MemoryStore()


async def statuses(store):
    return {record.run_id: record.status for record in await store.runs()}


async def worked(store, pipelines, seconds=10, **options):
    with trio.move_on_after(seconds):
        await work(store, pipelines, **options)


async def test_submitted_runs_are_run_so_many_at_a_time(store) -> None:
    running = most = 0

    async def slow(n):
        nonlocal running, most
        running += 1
        most = max(most, running)
        await trio.sleep(1)
        running -= 1
        return {"n": n}

    p = Pipeline("p").step("slow", slow)
    for n in range(6):
        assert await p.submit({"n": n}, store=store, run_id=str(n))
    assert not await p.submit({"n": 0}, store=store, run_id="0")
    ended = []
    await worked(
        store, [p], concurrency=2, on_end=lambda run_id, status, error: ended.append((trio.current_time(), error))
    )
    assert ended == [(1, None), (1, None), (2, None), (2, None), (3, None), (3, None)]
    assert (most, set((await statuses(store)).values())) == (2, {"finished"})


async def test_run_that_waits_is_taken_again_when_it_is_answered(store) -> None:
    p = Pipeline("p").wait_for("ask", provides="ok").step("after", lambda ok: {"after": ok})
    await p.submit({}, store=store, run_id="r")
    ended = []

    async def answer() -> None:
        await trio.sleep(3)
        assert await statuses(store) == {"r": "waiting"}
        await store.answer("r", ok=7)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(answer)
        await worked(store, [p], on_end=lambda *end: ended.append(end))
    assert (await store.load("r")).result == {"ok": 7, "after": 7}
    assert ended == [("r", "waiting", None), ("r", "finished", None)]


async def test_worker_tells_the_status_of_a_run_that_failed_was_stopped_or_was_cancelled(store) -> None:
    async def cancel() -> None:
        assert await store.cancel("cancelled")
        await trio.sleep_forever()

    def fail() -> None:
        raise OSError("no")

    pipelines = [
        Pipeline("failed").step("a", fail),
        Pipeline("stopped", on_step_complete=lambda event: event.stop()).step("a", lambda: None).step("b", fail),
        Pipeline("cancelled").step("a", cancel),
    ]
    for p in pipelines:
        await p.submit({}, store=store, run_id=p.id)
    ended = {}
    await worked(
        store, pipelines, on_end=lambda run_id, status, error: ended.__setitem__(run_id, (status, type(error)))
    )
    assert ended == {
        "failed": ("failed", OSError),
        "stopped": ("stopped", type(None)),
        "cancelled": ("cancelled", RunCancelledError),
    }
    assert await statuses(store) == {run_id: status for run_id, (status, _) in ended.items()}


async def test_run_that_fails_is_left_and_the_worker_goes_on(store, caplog) -> None:
    def fail():
        raise OSError("no")

    p = Pipeline("p").step("fail", fail)
    await p.submit({}, store=store, run_id="a")
    q = Pipeline("q").step("a", lambda: {"a": 1})
    await q.submit({}, store=store, run_id="b")
    with caplog.at_level(logging.WARNING):
        await worked(store, [p, q])
    assert await statuses(store) == {"a": "failed", "b": "finished"}
    assert [record.message for record in caplog.records] == ["the run 'a' failed"]


@pytest.mark.parametrize("tell", [{"on_end": lambda run_id, status, error: None}, {"observers": [lambda event: None]}])
async def test_run_that_fails_is_not_logged_if_somebody_is_told(store, caplog, tell) -> None:
    def fail():
        raise OSError("no")

    p = Pipeline("p").step("fail", fail)
    await p.submit({}, store=store, run_id="r")
    with caplog.at_level(logging.WARNING):
        await worked(store, [p], **tell)
    assert await statuses(store) == {"r": "failed"}
    assert caplog.records == []


async def test_run_that_does_not_fit_its_pipeline_any_more_is_failed_and_not_taken_again(store) -> None:
    p = Pipeline("p").step("a", lambda: {"a": 1}).wait_for("ask", provides="ok").step("b", lambda: {"b": 1})
    await p.submit({}, store=store, run_id="r")
    await worked(store, [p])
    await store.answer("r", ok=True)
    changed = Pipeline("p").step("new", lambda: {"new": 1}).step("a", lambda: {"a": 1})
    ended = []
    await worked(store, [changed], on_end=lambda run_id, status, error: ended.append((run_id, type(error))))
    assert ended == [("r", CheckpointError)]
    record = (await store.load("r")).record
    assert (record.status, record.step, record.waiting) == ("failed", "a", {"ask": None})
    assert record.error.startswith("CheckpointError: step 'new': the step was inserted before 'a'")
    assert (await p.run(store=store, run_id="r"))["b"] == 1


async def test_run_whose_failure_can_not_be_saved_is_not_taken_again_at_once(store, monkeypatch, caplog) -> None:
    class Odd(MemoryStore):
        def keep(self, claim, change):
            raise OSError("disk full")

    await Pipeline("p").submit({}, store=store, run_id="r")
    monkeypatch.setattr(MemoryStore, "keep", Odd.keep)
    ended = []
    await worked(
        store, [Pipeline("p")], seconds=2.25, on_end=lambda run_id, status, error: ended.append(trio.current_time())
    )
    assert ended == [0.5, 1, 1.5, 2]
    assert {record.message for record in caplog.records} == {"the end of the run 'r' could not be saved"}


async def test_worker_that_is_stopped_gives_its_runs_back(store) -> None:
    tries = []

    async def slow():
        tries.append(1)
        await trio.sleep(5 if len(tries) == 1 else 0)

    p = Pipeline("p").step("slow", slow)
    await p.submit({}, store=store, run_id="r")
    await worked(store, [p], seconds=1)
    assert await statuses(store) == {"r": "interrupted"}
    await worked(store, [p])
    assert await statuses(store) == {"r": "finished"}


async def test_run_that_somebody_cancels_stays_cancelled(store) -> None:
    async def slow():
        await trio.sleep_forever()

    p = Pipeline("p").step("slow", slow)
    await p.submit({}, store=store, run_id="r")
    ended = []

    async def cancel() -> None:
        await trio.sleep(2)
        assert await store.cancel("r")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(cancel)
        await worked(store, [p], on_end=lambda run_id, status, error: ended.append(str(error)))
    assert await statuses(store) == {"r": "cancelled"}
    assert ended == ["the run 'r' was cancelled from outside, by store.cancel('r')"]


async def test_run_of_another_version_or_pipeline_is_left_alone(store) -> None:
    await Pipeline("p", version="1").submit({}, store=store, run_id="old")
    await Pipeline("other").submit({}, store=store, run_id="other")
    await worked(store, [Pipeline("p", version="2")])
    assert await statuses(store) == {"old": "submitted", "other": "submitted"}
    await worked(store, [Pipeline("p", version="2", versions={"1"})])
    assert await statuses(store) == {"old": "finished", "other": "submitted"}


async def test_run_that_too_many_processes_have_died_of_is_failed(store) -> None:
    p = Pipeline("p").step("a", lambda: {"a": 1})
    await p.submit({}, store=store, run_id="r")
    for _ in range(3):
        async with store.claim("r") as claim:
            stored = await claim.read()
            await p.run({}, store=store, run_id="other", on_step_complete=lambda event: None)
            await claim.write(change_of(stored))
            store.restart()
    await worked(store, [p], max_deaths=3)
    [record] = [record for record in await store.runs() if record.run_id == "r"]
    assert (record.status, record.deaths) == ("failed", 3)
    assert record.error == "the processes that ran it have died, 3 of them"


def change_of(stored):
    from trio_steps.store import RunChange

    return RunChange(pipeline=stored.record.pipeline, status="running")


async def test_workers_share_the_runs_of_one_file(tmp_path) -> None:
    ran = []
    p = Pipeline("p").step("note", lambda n: ran.append(n))
    stores = [SqliteStore(tmp_path / "runs.db", synchronous="normal") for _ in range(3)]
    for n in range(12):
        await p.submit({"n": n}, store=stores[0], run_id=str(n))
    ended = []
    async with trio.open_nursery() as nursery:

        def on_end(run_id, status, error):
            ended.append(error)
            if len(ended) == 12:
                nursery.cancel_scope.cancel()

        for store in stores:
            nursery.start_soon(lambda store=store: work(store, [p], concurrency=2, on_end=on_end))
    assert (sorted(ran), ended) == (list(range(12)), [None] * 12)


@pytest.mark.parametrize(
    ("pipelines", "options", "error"),
    [
        ([Pipeline("p"), Pipeline("p")], {}, "two pipelines are called 'p'"),
        ([], {}, "give the pipelines"),
        ([print], {}, "give pipelines"),
        ([Pipeline("p")], {"concurrency": 0}, "1 or more"),
    ],
)
async def test_work_that_makes_no_sense_is_refused(store, pipelines, options, error) -> None:
    with pytest.raises(ConfigError, match=error):
        await work(store, pipelines, **options)


async def test_run_that_is_deleted_while_it_is_submitted_anew_is_submitted(store) -> None:
    submit = store.submit
    there = []

    async def submit_and_delete(run_id, change):
        is_new = await submit(run_id, change)
        there.append(not is_new)
        if not is_new:
            await store.delete(run_id)
        return is_new

    p = Pipeline("p").step("a", lambda: {"a": 1})
    assert await p.submit(store=store, run_id="r")
    store.submit = submit_and_delete
    assert await p.submit(store=store, run_id="r")
    assert there == [True, False]
    assert [(record.run_id, record.status) for record in await store.runs()] == [("r", "submitted")]
