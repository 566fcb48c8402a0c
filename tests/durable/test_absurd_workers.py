"""Workers in separate processes are killed, stopped and cut off, and no step that was done is done again."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections import Counter
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import absurd_pipelines
import pytest
import trio
from postgresql_server import run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from postgresql_server import Database

pytestmark = pytest.mark.postgresql

LEASE = 2  # seconds

WORKER = """
import sys, trio, absurd_pipelines
from trio_steps.absurd import AbsurdStore
from trio_steps.store import work

url, lease, concurrency, deaths, *names = sys.argv[1:]
store = AbsurdStore(url, lease=int(lease))
pipelines = [getattr(absurd_pipelines, name) for name in names]
ended = lambda run_id, status, error: print(run_id, "ended", type(error).__name__, flush=True)
trio.run(lambda: work(store, pipelines, concurrency=int(concurrency), max_deaths=int(deaths), on_end=ended))
"""


class Workers:
    """Worker processes on one database.

    Attributes:
      processes: the processes that were started.
    """

    def __init__(self, database: Database, folder: Path, stack: ExitStack) -> None:
        self.database = database
        self.processes: list[subprocess.Popen[bytes]] = []
        self._folder = folder
        self._notes = folder / "notes"
        self._notes.touch()
        self._stack = stack

    def start(self, *names: str, lease: int = LEASE, concurrency: int = 1, deaths: int = 5) -> subprocess.Popen[bytes]:
        path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
        log = self._stack.enter_context((self._folder / f"{len(self.processes)}.log").open("wb"))
        process = subprocess.Popen(
            [sys.executable, "-c", WORKER, self.database.url, str(lease), str(concurrency), str(deaths), *names],
            env={**os.environ, "NOTES": str(self._notes), "PYTHONPATH": path},
            stdout=log,
            stderr=log,
        )
        self.processes.append(process)
        self._stack.callback(process.wait)
        self._stack.callback(process.kill)
        self._stack.callback(process.send_signal, signal.SIGCONT)
        return process

    def notes(self) -> list[tuple[str, str, int, float]]:
        found = [line.rsplit(" ", 3) for line in self._notes.read_text().splitlines()]
        return [(what, run_id, int(pid), float(when)) for what, run_id, pid, when in found]

    def log(self, number: int) -> str:
        return (self._folder / f"{number}.log").read_text()

    def whats(self) -> list[str]:
        return [what for what, *_ in self.notes()]

    async def noted(self, what: str, times: int = 1) -> None:
        while self.whats().count(what) < times:
            await trio.sleep(0.02)


@pytest.fixture
def workers(database: Database, tmp_path: Path) -> Iterator[Workers]:
    with ExitStack() as stack:
        yield Workers(database, tmp_path, stack)


async def finished(store: Any, run_id: str = "r") -> Any:
    while True:
        record = await store.look(run_id)
        if record.status == "finished":
            return record
        await trio.sleep(0.05)


def test_step_that_takes_longer_than_its_claim_keeps_it(workers: Workers) -> None:
    store = workers.database.store()

    async def main() -> None:
        for names in range(2):
            workers.start("patient", "blocking", deaths=names + 1)
        await absurd_pipelines.patient.submit(store=store, run_id="r")
        await absurd_pipelines.blocking.submit(store=store, run_id="b")
        assert (await finished(store)).deaths == 0
        assert (await finished(store, "b")).deaths == 0

    run(main)
    assert Counter(workers.whats()) == {
        "first": 2, "slow": 1, "slow-done": 1, "last": 2, "blocks": 1, "blocks-done": 1
    }  # fmt: skip


def test_run_of_a_worker_that_was_killed_goes_on_elsewhere(workers: Workers) -> None:
    store = workers.database.store()

    async def main() -> None:
        killed = workers.start("patient")
        await absurd_pipelines.patient.submit(store=store, run_id="r")
        await workers.noted("slow")
        killed.kill()
        assert (await store.look("r")).status == "running"  # nothing can tell yet that it is dead
        workers.start("patient")
        record = await finished(store)
        assert record.deaths == 1

    run(main)
    assert workers.whats() == ["first", "slow", "slow", "slow-done", "last"]
    assert workers.database.sql("select state, failure_reason->>'name' from absurd.r_patient order by attempt") == [
        ("failed", "$ClaimTimeout"),
        ("completed", None),
    ]


def test_worker_that_was_stopped_past_its_claim_is_fenced_when_it_wakes(workers: Workers) -> None:
    store = workers.database.store()

    async def main() -> None:
        stopped = workers.start("patient")
        await absurd_pipelines.patient.submit(store=store, run_id="r")
        await workers.noted("slow")
        stopped.send_signal(signal.SIGSTOP)
        workers.start("patient")
        await workers.noted("slow", times=2)
        stopped.send_signal(signal.SIGCONT)
        record = await finished(store)
        assert record.deaths == 1
        assert workers.log(0) == "r ended RunClaimedError\n"
        assert stopped.poll() is None  # it still works on other runs

    run(main)
    stopped, other = (process.pid for process in workers.processes)
    # it may finish its step, since it does not know yet that it was stopped; but it begins no other
    did = [what for what, _, pid, _ in workers.notes() if pid == stopped]
    assert did in (["first", "slow"], ["first", "slow", "slow-done"])
    assert [what for what, _, pid, _ in workers.notes() if pid == other] == ["slow", "slow-done", "last"]


def test_worker_that_is_stopped_by_a_signal_gives_its_run_back_at_once(workers: Workers) -> None:
    store = workers.database.store()
    command = [sys.executable, "-m", "trio_steps", "work", "absurd_pipelines:patient", "--store", workers.database.url]
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    env = {**os.environ, "NOTES": str(workers._notes), "PYTHONPATH": path}

    async def main() -> None:
        await absurd_pipelines.patient.submit(store=store, run_id="r")
        async with trio.open_nursery() as nursery:
            process: trio.Process = await nursery.start(
                partial(trio.run_process, command, env=env, capture_stderr=True, check=False)
            )
            await workers.noted("slow")
            process.terminate()
        assert process.returncode == 128 + signal.SIGTERM
        record = await store.look("r")
        assert (record.status, record.deaths) == ("interrupted", 0)
        workers.start("patient")
        await finished(store)

    run(main)
    assert workers.whats() == ["first", "slow", "slow", "slow-done", "last"]


def test_run_that_kills_its_workers_is_failed(workers: Workers) -> None:
    store = workers.database.store()

    async def main() -> None:
        await absurd_pipelines.deadly.submit(store=store, run_id="r")
        for number in range(3):
            process = workers.start("deadly", lease=1, deaths=2)
            if number < 2:
                await trio.to_thread.run_sync(process.wait)
        while (await store.look("r")).status != "failed":
            await trio.sleep(0.05)
        record = await store.look("r")
        assert (record.deaths, record.error) == (2, "the workers that ran it have died, 2 of them")

    run(main)
    assert workers.whats() == ["first"]


def test_worker_whose_connections_are_cut_goes_on(workers: Workers) -> None:
    store = workers.database.store()

    async def main() -> None:
        workers.start("patient")
        await absurd_pipelines.patient.submit(store=store, run_id="r")
        await workers.noted("slow")
        for _ in range(5):
            workers.database.cut_off()
            await trio.sleep(0.3)
        assert (await finished(store)).deaths == 0

    run(main)
    assert workers.whats() == ["first", "slow", "slow-done", "last"]


def test_four_workers_do_each_step_of_a_thousand_runs_once_but_for_those_that_one_died_in(workers: Workers) -> None:
    store = workers.database.store()
    runs = 1000

    async def submit(numbers: range) -> None:
        for number in numbers:
            await absurd_pipelines.three.submit(store=store, run_id=str(number))

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            for part in range(4):
                nursery.start_soon(submit, range(part, runs, 4))
            for _ in range(4):
                workers.start("three", concurrency=4)
            await workers.noted("c", times=runs // 4)
            workers.processes[0].kill()
        while len(await store.runs(status=("finished",))) < runs:
            await trio.sleep(0.5)

    run(main, seconds=150)
    records = run(store.runs)
    died = {record.run_id for record in records if record.deaths}
    assert len(died) <= 4
    done = Counter((run_id, what) for what, run_id, *_ in workers.notes())
    assert len(done) == 3 * runs
    assert {run_id for (run_id, _), times in done.items() if times > 1} <= died
    assert max(done.values()) <= 2
    # Absurd's own tools show all of it
    listed = workers.database.ctl("list-tasks", "--queue", "three", "--status", "completed", "--limit", "2000")
    assert listed.rstrip().endswith(f"Total: {runs} task(s)")
    assert len(re.findall(r"attempts=1/1", listed)) == runs - len(died)
    assert len(re.findall(r"attempts=2/2", listed)) == len(died)


def test_absurdctl_tells_what_a_run_waits_for_and_cancels_it(database: Database) -> None:
    store = database.store()

    async def main() -> None:
        await absurd_pipelines.three.submit(store=store, run_id="order-42")

    run(main)
    listed = database.ctl("list-tasks", "--queue", "three")
    assert "status=pending" in listed
    [(task,)] = database.sql("select task_id::text from absurd.t_three")
    assert '"run_id": "order-42"' in database.ctl("dump-task", "--task-id", task)
    database.ctl("cancel-task", task, "--queue", "three")
    assert run(store.look, "order-42").status == "cancelled"
