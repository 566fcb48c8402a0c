"""The Ray adapter of the page on executors. The test runs where Ray is installed."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import trio
from places import docs_page

from trio_steps import settle
from trio_steps.executors import on_executor

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.ray, pytest.mark.filterwarnings("default")]

PAGE = docs_page("executors.md")
[RECIPE] = re.findall(
    r"^```\{code-block\} python\n(.*?class RayExecutor.*?)^```\n",
    PAGE.rpartition("## On a cluster: Ray")[2],
    re.DOTALL | re.MULTILINE,
)


@pytest.fixture(scope="module")
def pool() -> Iterator[Any]:
    ray = pytest.importorskip("ray")
    ray.init(num_cpus=2, include_dashboard=False, logging_level="ERROR")
    names: dict[str, Any] = {"__name__": "__main__"}  # so that its function is sent by value, not by name
    exec(RECIPE, names)
    yield names["RayExecutor"](force=True)
    ray.shutdown()


def test_results_and_errors_come_back_as_what_they_are(pool: Any) -> None:
    def boom() -> None:
        raise OSError("the disk is full")

    async def main() -> Any:
        return await settle(partial(on_executor(pool, abs), -1), on_executor(pool, boom))

    works, fails = trio.run(main)
    assert works.value == 1
    assert isinstance(fails.error, OSError)
    assert "the disk is full" in str(fails.error)


def test_call_that_is_cancelled_is_killed(pool: Any, tmp_path: Path) -> None:
    def for_ever(began: Path) -> None:
        import time

        began.touch()
        time.sleep(600)

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(on_executor(pool, for_ever), tmp_path / "began")
            while not await trio.Path(tmp_path / "began").exists():
                await trio.sleep(0.01)
            nursery.cancel_scope.cancel()

    trio.run(main)
