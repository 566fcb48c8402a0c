"""Paths on a real Dask cluster: a scheduler and two workers, each in its own process, on loopback.

The functions are defined inside the tests, so that they are sent by value: no worker has to import this module.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import trio
from places import docs_page

from trio_steps import Retry, race, settle, step
from trio_steps.executors import on_executor

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Executor
    from pathlib import Path

pytestmark = [pytest.mark.dask, pytest.mark.filterwarnings("default")]


class Cluster:
    """The processes of a cluster, and a client."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self._stack = stack
        self._file = folder / "scheduler.json"
        self._address = f"--scheduler-file={self._file}"
        quiet = "--no-dashboard"
        self.scheduler = self._start("scheduler", "--host=127.0.0.1", "--port=0", quiet)
        self.workers = [
            self._start(
                "worker", "--host=127.0.0.1", "--nthreads=1", "--no-nanny", quiet, f"--local-directory={folder}"
            )
            for _ in range(2)
        ]
        from distributed import Client

        self.client: Any = Client(scheduler_file=str(self._file), timeout=30, set_as_default=False)
        self._stack.callback(self.client.close)
        self.client.wait_for_workers(2, timeout=30)

    def _start(self, what: str, *options: str) -> subprocess.Popen[bytes]:
        log = self._stack.enter_context((self.folder / f"{what}.log").open("ab"))
        command = [sys.executable, "-m", "dask", what, self._address, *options]
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder)
        self._stack.callback(process.wait)
        self._stack.callback(process.kill)
        return process

    @property
    def pool(self) -> Executor:
        pool: Executor = self.client.get_executor(pure=False)
        return pool


@contextmanager
def cluster_in(folder: Path) -> Iterator[Cluster]:
    with ExitStack() as stack:
        yield Cluster(folder, stack)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster_in(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


def until(path: Path) -> None:
    while not path.exists():
        time.sleep(0.01)


async def there(path: Path) -> None:
    while not await trio.Path(path).exists():
        await trio.sleep(0.01)


def test_retry_calls_the_function_anew(cluster: Cluster, tmp_path: Path) -> None:
    tries = tmp_path / "tries"

    def flaky(path: Path) -> int:
        with path.open("a", encoding="utf-8") as file:
            file.write("x")
        count = path.stat().st_size
        if count < 3:
            raise OSError(f"try {count}")
        return count

    tried = step(partial(on_executor(cluster.pool, flaky), tries), retry=Retry(3, delay=0.01, on=OSError), id="flaky")
    assert trio.run(tried) == 3
    assert tries.read_text(encoding="utf-8") == "xxx"


def test_race_with_a_stagger_is_won_by_the_second_of_two_equal_calls(cluster: Cluster, tmp_path: Path) -> None:
    gate = tmp_path / "gate"

    def slow_at_first(gate: Path) -> str:
        first = gate.with_name("first")
        try:
            first.touch(exist_ok=False)
        except FileExistsError:
            return "second"
        while not gate.exists():
            time.sleep(0.01)
        gate.with_name("over").touch()
        return "first"

    call = partial(on_executor(cluster.pool, slow_at_first), gate)

    async def when_the_first_runs() -> str:
        await there(tmp_path / "first")
        return await call()

    async def main() -> str:
        return await race(call, when_the_first_runs, stagger=0.05)

    assert trio.run(main) == "second"
    gate.touch()
    until(tmp_path / "over")  # what a worker has begun runs to its end, although its result is lost


def test_timeout_of_one_of_two_equal_calls_leaves_the_other_alone(cluster: Cluster, tmp_path: Path) -> None:
    gate = tmp_path / "gate"

    def wait(gate: Path) -> str:
        while not gate.exists():
            time.sleep(0.01)
        return "done"

    call = partial(on_executor(cluster.pool, wait), gate)

    async def hasty() -> str:
        try:
            return await step(call, timeout=0.1, id="hasty")()
        finally:
            gate.touch()

    async def main() -> Any:
        return await settle(hasty, call)

    hasty_end, patient_end = trio.run(main)
    assert isinstance(hasty_end.error, trio.TooSlowError)
    assert patient_end.value == "done"


def test_call_whose_worker_is_killed_is_made_again_by_another_worker(tmp_path: Path) -> None:
    def dies_at_first(first: Path) -> int:
        try:
            first.touch(exist_ok=False)
        except FileExistsError:
            return os.getpid()
        os.kill(os.getpid(), signal.SIGKILL)
        return 0

    with cluster_in(tmp_path) as cluster:
        survivor = trio.run(on_executor(cluster.pool, dies_at_first), tmp_path / "first")
        dead = [worker for worker in cluster.workers if worker.pid != survivor]
        assert [worker.wait(30) for worker in dead] == [-signal.SIGKILL]


def test_call_whose_scheduler_is_killed_fails_and_says_so(tmp_path: Path) -> None:
    def wait_for_ever(began: Path) -> None:
        began.touch()
        time.sleep(600)

    began = tmp_path / "began"
    with cluster_in(tmp_path) as cluster:

        async def kill() -> None:
            await there(began)
            cluster.scheduler.kill()

        async def main() -> Any:
            return await settle(partial(on_executor(cluster.pool, wait_for_ever), began), kill)

        call, _ = trio.run(main)
    assert isinstance(call.error, CancelledError)
    assert "was cancelled by its executor, not from here" in str(call.error)


def test_factory_is_called_for_a_new_cluster_after_the_scheduler_has_died(tmp_path: Path) -> None:
    folders = [tmp_path / "1", tmp_path / "2"]
    with ExitStack() as stack:
        clusters: list[Cluster] = []

        def connect() -> Executor:
            folder = folders[len(clusters)]
            folder.mkdir()
            clusters.append(stack.enter_context(cluster_in(folder)))
            return clusters[-1].pool

        call = on_executor(connect, abs)

        async def main() -> int:
            assert await call(-1) == 1
            clusters[0].scheduler.kill()
            await trio.to_thread.run_sync(clusters[0].client.close)
            return await step(partial(call, -2), retry=Retry(2, delay=0.01), id="abs")()

        assert trio.run(main) == 2
    assert len(clusters) == 2


PAGE = docs_page("executors.md")
PROGRAMS = re.findall(
    r"^```\{code-block\} python\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", PAGE, re.DOTALL | re.MULTILINE
)


def test_program_of_the_page_does_what_it_says(tmp_path: Path) -> None:
    [(program, output)] = [found for found in PROGRAMS if "import Client" in found[0]]
    script = tmp_path / "program.py"
    script.write_text(program, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout == output


def test_program_of_the_page_about_machines_does_what_it_says(tmp_path: Path) -> None:
    page = docs_page("more-than-one-machine.md")
    blocks = re.findall(r"^```\{code-block\} python\n(.*?)^```\n\n```text\n(.*?)^```\n", page, re.DOTALL | re.MULTILINE)
    [(program, output)] = [found for found in blocks if "import Client" in found[0]]
    (tmp_path / "program.py").write_text(program, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "program.py"], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout == output


def test_call_can_see_that_it_has_lost(cluster: Cluster, tmp_path: Path) -> None:
    [(recipe, _)] = [found for found in PROGRAMS if "get_worker" in found[0]]

    def run(recipe: str, folder: Path) -> int:
        class Pages:
            def __iter__(self) -> Iterator[str]:
                (folder / "began").touch()
                while True:
                    time.sleep(0.01)
                    yield "page"

        names: dict[str, Any] = {}
        exec(recipe, names)
        done: int = names["patient"](Pages())
        (folder / "stopped").touch()
        return done

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(on_executor(cluster.pool, run), recipe, tmp_path)
            await there(tmp_path / "began")
            nursery.cancel_scope.cancel()

    trio.run(main)
    until(tmp_path / "stopped")
