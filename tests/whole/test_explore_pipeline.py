"""Pipelines, explored: cancelled at every point, reordered, and both; see `trio_steps.testing`.

Each program runs a pipeline, stops and resumes it if asked to, and, if it is cancelled, resumes it from the last
checkpoint that hooks received. All these runs share one set of records.
"""

from __future__ import annotations

import logging
import math
from functools import partial
from typing import TYPE_CHECKING, Any

import attrs
import pytest
import trio
import trio.testing

from trio_steps import Checkpoint, Pipeline, Retry, current_scope, fork, otherwise, when
from trio_steps.testing import Probe, RecordingObserver, sweep_cancellation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytest_plugins = ["_trio_steps_pytest"]  # in case the entry point is not installed

BUDGET, LARGE = 118, 184
"""How many runs: half of them cancel a program at every point. For a longer search, --steps-budget=2000, or 60s."""

INPUTS = {"items": [1, 2, 3]}


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logger = logging.getLogger("trio_steps")
    logger.disabled = True
    yield
    logger.disabled = False


class Work:
    """Steps that record which of them were started, are running, and have done their work.

    Their last checkpoint can't be cancelled, so their work gets done even if a cancellation has arrived.
    """

    def __init__(self) -> None:
        self.started: list[str] = []
        self.running: list[str] = []
        self.done: list[str] = []

    def step(self, seconds: float, *, failures: float = 0, **keys: object) -> Any:
        """A step that takes `seconds`, fails the first few times, and then returns `keys`."""

        async def run() -> dict[str, object]:
            name = self._start()
            try:
                await trio.sleep(seconds)
                await trio.lowlevel.cancel_shielded_checkpoint()
                self._end(name, failures)
            finally:
                self.running.remove(name)
            return keys

        return run

    def sync_step(self, **keys: object) -> Any:
        def run() -> dict[str, object]:
            self._end(self._start(), 0)
            self.running.pop()
            return keys

        return run

    def each(self, failures: float) -> Any:
        """A step for the elements of a collection; for the second element it fails the first few times."""

        async def run(item: int) -> int:
            name = self._start()
            try:
                await trio.sleep(item)
                await trio.lowlevel.cancel_shielded_checkpoint()
                self._end(name, failures if item == 2 else 0)
            finally:
                self.running.remove(name)
            return item * 10

        return run

    async def asks(self) -> bool:
        """A condition, recorded under the name of its step and a question mark."""
        self.started.append(current_scope().name + "?")
        await trio.sleep(1)
        return True

    def _start(self) -> str:
        name = current_scope().name
        self.started.append(name)
        self.running.append(name)
        return name

    def _end(self, name: str, failures: float) -> None:
        if self.started.count(name) <= failures:
            raise OSError(name)
        self.done.append(name)


def row(work: Work, name: str, **options: Any) -> Pipeline[Any, Any]:
    """A pipeline of an async step and a sync one."""
    return (
        Pipeline(name).step("x", work.step(1, **{f"{name}_x": 1}), **options).step("y", work.sync_step(**{name: [2]}))
    )


def all_at_once(work: Work) -> Pipeline[Any, Any]:
    group = [work.step(1, b=1), row(work, "nested"), work.sync_step(s=1), work.step(2, c=2)]
    return Pipeline("p").step("first", work.step(1, a=1)).step("group", *group).step("last", work.step(1, e=1))


def two_at_once(work: Work) -> Pipeline[Any, Any]:
    group = [row(work, "one"), row(work, "two"), work.step(1, b=1), work.step(1, c=1)]
    return Pipeline("p").step("group", *group, concurrency=2).step("last", work.sync_step(e=1))


def settled(work: Work) -> Pipeline[Any, Any]:
    fails = Pipeline("fails").step("x", work.step(1, x=1)).step("y", work.step(1, failures=math.inf))
    group = [work.step(1, b=1), work.step(1, failures=math.inf), row(work, "nested"), fails]
    return Pipeline("p").step("group", *group, mode="settle").step("last", work.step(1, e=1))


def settled_in_time(work: Work) -> Pipeline[Any, Any]:
    group = [work.step(1, b=1), row(work, "nested"), work.step(math.inf)]
    return Pipeline("p").step("group", *group, mode="settle", timeout=2.5).step("last", work.step(1, e=1))


def raced(work: Work) -> Pipeline[Any, Any]:
    group = [work.step(3, failures=math.inf), row(work, "nested"), work.step(0.5, failures=math.inf)]
    return Pipeline("p").step("race", *group, mode="race").step("last", work.step(1, e=1))


def branched(work: Work) -> Pipeline[Any, Any]:
    no = Pipeline("no").step("no", work.step(1, no=1))
    inner = Pipeline("inner").branch_on("route", when(work.asks, row(work, "taken"), name="yes"), otherwise(no))
    return (
        Pipeline("p")
        .branch_on("never", when(lambda: False, row(work, "never")))
        .step("group", inner, work.step(1.5, b=1))
        .branch_on("again", when(work.asks, inner))
        .step("nest", row(work, "nest"), condition=work.asks)
        .step("last", work.step(1, e=1), condition=work.asks)
    )


def for_each(work: Work) -> Pipeline[Any, Any]:
    def each(p: Pipeline[Any, Any], name: str, failures: float, **options: Any) -> Pipeline[Any, Any]:
        function = work.each(failures)
        return p.for_each(name, function, over="items", each="item", into=name, concurrency=2, **options)

    p = each(Pipeline("p"), "settled", math.inf, mode="settle")
    return each(p, "all", 1, retry=Retry(attempts=2, delay=1)).step("last", work.step(1, e=1))


def retried(work: Work) -> Pipeline[Any, Any]:
    retry = Retry(attempts=3, delay=1)
    group = [work.step(1, b=1), row(work, "nested"), work.step(1.5, failures=1, c=1)]
    nested = Pipeline("n").step("x", work.step(1, x=1)).step("y", work.step(1, failures=1, y=1))
    return (
        Pipeline("p")
        .step("group", *group, retry=retry)
        .step("race", work.step(1, failures=1, quick=1), work.step(2, failures=1), mode="race", retry=retry)
        .step("nest", nested, retry=retry, timeout=5)
        .step("last", work.step(1, e=1))
    )


def forgiven(work: Work) -> Pipeline[Any, Any]:
    skips = (
        Pipeline("skips")
        .step("x", work.step(1, x=1))
        .step("y", work.step(1, failures=math.inf), on_error="skip-remaining")
        .step("z", work.step(1, z=1))
    )
    group = [work.step(2, b=1), work.step(1, failures=math.inf)]
    return (
        Pipeline("p")
        .step("late", work.step(math.inf), timeout=1, on_error="continue")
        .step("group", *group, on_error="continue")
        .step("nest", skips)
        .step("last", work.step(1, e=1))
    )


def nested(work: Work) -> Pipeline[Any, Any]:
    deep = Pipeline("deep").step("row", row(work, "row")).transform("all", lambda row: {"deep": row, "gone": 1})
    paths = [partial(trio.sleep, 1), partial(trio.sleep, 2)]
    slept = fork("slept", mode="all", paths=paths, merge=lambda values: {"slept": len(values)})
    return (
        Pipeline("p")
        .step("outer", Pipeline("outer").step("deep", deep).step("slept", slept))
        .transform("only", lambda deep, slept: {"deep": deep, "slept": slept})
        .step("last", work.step(1, e=1))
    )


@attrs.frozen
class Shape:
    """A pipeline to explore, a step to stop after, and the steps that may run again after hooks were told of them.

    The paths in `timed` may time out before they are done: the result has all keys of such a path, or none.
    """

    build: Callable[[Work], Pipeline[Any, Any]]
    stop: str
    again: tuple[str, ...] = ()
    timed: dict[str, tuple[str, ...]] = attrs.field(factory=dict)  # path: the keys that it provides


SHAPES = {
    shape.build.__name__: shape
    for shape in (
        Shape(all_at_once, "group/1"),
        Shape(two_at_once, "group/one/x"),
        Shape(settled, "group/nested/x"),
        Shape(
            settled_in_time,
            "group/1",
            timed={"group/run": ("b",), "group/nested": ("nested_x", "nested")},
        ),
        Shape(raced, "race/nested/x", again=("race/",)),  # resumed before the race
        Shape(branched, "group/inner/route/yes/x"),
        Shape(for_each, "all/1", again=("all/",)),  # a new attempt runs everything again
        Shape(retried, "group/nested/x", again=("group/", "race/", "nest/")),
        Shape(forgiven, "nest/x"),
        Shape(nested, "outer/deep/row/x"),
    )
}


class Story:
    """A run, what its hooks were told, and how it continues if it is stopped or cancelled."""

    def __init__(self, shape: Shape, *, waits: bool, stops: bool) -> None:
        self.work = Work()
        self.pipeline = shape.build(self.work)
        self.told: list[str] = []
        self.told_too_late: list[str] = []
        self.errors: list[Exception] = []
        self._ended: list[str] = []
        self.observer = RecordingObserver()
        self.handed_out: list[tuple[Any, str]] = []
        self.settled: list[str] = []  # the steps that must not run again after a resume
        self._stop_after = shape.stop if stops else None
        self._again = shape.again
        self._timed = shape.timed
        self._waits = waits
        self._stopped = False
        self._started = 0  # how many steps had started when the run was stopped

    async def run(self) -> dict[str, object]:
        result = await self.pipeline.run(INPUTS, **self._hooks())
        if not self._stopped:
            return result
        assert len(self.work.started) == self._started, f"{self.work.started[self._started :]} began after stop()"
        return await self.resume()

    async def resume(self) -> dict[str, object]:
        """Resume from the last checkpoint that hooks received, if any."""
        self._stop_after = None
        self._ended = list(self.settled)
        if not self.handed_out:
            return await self.pipeline.run(INPUTS, **self._hooks())
        checkpoint = Checkpoint.from_json(self.handed_out[-1][1])
        claimed = [name for name in claims(checkpoint, "rejected", "skipped") if not name.startswith(self._again)]
        before, settled = len(self.work.started), {*self.settled, *claimed}
        result = await self.pipeline.resume(checkpoint, **self._hooks())
        for name in self.work.started[before:]:
            again = [other for other in settled if is_in(name, other)]
            assert not again, f"{name} ran again, though the checkpoint was handed out after {again} ended"
        return result

    def check(self, result: dict[str, object], expected: list[str]) -> None:
        late = {path: keys for path, keys in self._timed.items() if result.keys().isdisjoint(keys)}
        lacking = tuple(f"({key!r}," for keys in late.values() for key in keys)
        assert plain(result) == [item for item in expected if not item.startswith(lacking)]
        assert not self.work.running
        in_time = {name for name in self.work.done if not any(is_in(name, path) for path in late)}
        assert in_time <= set(self.told), "every step that is done was told of"
        for event, text in self.handed_out[:2]:
            assert event.checkpoint.to_json() == text, "a checkpoint shows the moment of its event"
        assert len({id(error) for error in self.errors}) == len(self.errors), "every failure is told once"

    def nobody_was_told_too_late(self) -> None:
        assert not self.told_too_late, f"hooks were told that {self.told_too_late} are done, after the cancellation"

    def _hooks(self) -> dict[str, Any]:
        return {"on_step_complete": self._completed, "on_error": self._failed, "observers": [self.observer]}

    async def _completed(self, event: Any) -> None:
        name = event.name
        self.told.append(name)
        if trio.current_effective_deadline() == -math.inf:
            self.told_too_late.append(name)
        self.handed_out.append((event, event.checkpoint.to_json()))
        if not name.startswith(self._again):
            self._ended += [name, *(f"{around}?" for around in containers(name))]
        self.settled = list(self._ended)
        claimed = claims(event.checkpoint)
        for one in {name, *claimed}:
            self._check_done(one)
            assert claimed.count(one) <= 1, f"{claimed} still has {one} of an attempt that failed"
        if name == self._stop_after and not self._stopped:
            self._stopped = True
            self._started = len(self.work.started)
            event.stop()
        if self._waits:
            await trio.sleep(0.25)

    def _check_done(self, name: str) -> None:
        running = [other for other in self.work.running if is_in(other, name)]
        assert not running, f"{name} is said to be done, but {running} run"
        assert name in self.work.done or name not in self.work.started, f"{name} is said to be done, and is not"

    def _failed(self, name: str, error: Exception) -> None:
        self.errors.append(error)
        if not name.startswith(self._again):
            self._ended.append(name)


def claims(checkpoint: Checkpoint, *others: str) -> list[str]:
    """The names of the steps that are done according to a checkpoint, or have an entry of one of the `others`."""
    return [
        entry.step if entry.case is None else f"{entry.step}/{entry.case}"
        for entry in checkpoint.entries
        if entry.kind in ("done", "transform", *others)
    ]


def is_in(name: str, around: str) -> bool:
    return name == around or name.startswith(f"{around}/")


def containers(name: str) -> list[str]:
    """The names of the steps that contain `name`."""
    parts = name.split("/")
    return ["/".join(parts[:length]) for length in range(1, len(parts))]


def plain(result: dict[str, object]) -> list[str]:
    return sorted(map(repr, result.items()))


def undisturbed(shape: Shape) -> list[str]:
    """The result of the pipeline without hooks, on plain Trio."""
    return plain(trio.run(shape.build(Work()).run, INPUTS, clock=trio.testing.MockClock(autojump_threshold=0)))


async def tell(story: Story, expected: list[str]) -> list[str]:
    """Run the story to its end, cancelled or not."""
    result = None
    try:
        result = await story.run()
    finally:
        assert not story.work.running, f"{story.work.running} still run"
        if result is None:
            with trio.CancelScope(shield=True):
                result = await story.resume()
        story.check(result, expected)
    return plain(result)


@pytest.mark.long
@pytest.mark.parametrize("stops", [False, True], ids=["runs", "stops"])
@pytest.mark.parametrize("name", SHAPES)
def test_pipeline_keeps_its_promises_wherever_it_is_cancelled(explore: Any, name: str, stops: bool) -> None:
    """The last checkpoint claims only steps that are done, and leads to the result; no step is done twice."""
    expected = undisturbed(SHAPES[name])

    async def program(probe: Probe) -> Any:
        return await tell(Story(SHAPES[name], waits=stops, stops=stops), expected)

    # `check` knows the results that a timeout that fires early may lead to
    values: Any = "any" if SHAPES[name].timed else "undisturbed"
    explore(program, budget=LARGE if name in ("branched", "retried") else BUDGET, values=values)


@pytest.mark.long
@pytest.mark.parametrize("name", SHAPES)
def test_no_hook_is_told_of_success_after_a_cancellation(name: str) -> None:
    expected = undisturbed(SHAPES[name])

    async def program(probe: Probe) -> Any:
        story = Story(SHAPES[name], waits=False, stops=False)
        probe.invariant(story.nobody_was_told_too_late)
        return await tell(story, expected)

    sweep_cancellation(program).raise_if_failed()


async def test_hook_is_not_told_of_a_step_that_ended_after_the_cancellation() -> None:
    """The smallest program that shows what the sweep of `all_at_once` found: ``trio,c3:9f50``."""
    told: list[str] = []
    with trio.CancelScope() as around:

        async def cancels() -> None:
            around.cancel()

        pipeline = Pipeline("p").step("first", cancels).step("second", trio.sleep_forever)
        await pipeline.run({}, on_step_complete=lambda event: told.append(event.name))
    assert around.cancelled_caught
    assert told == []


async def test_second_hook_is_not_told_when_the_first_has_cancelled_the_run() -> None:
    told: list[str] = []
    with trio.CancelScope() as around:
        pipeline = Pipeline("p", on_step_complete=lambda event: around.cancel()).step("first", trio.lowlevel.checkpoint)
        await pipeline.step("second", trio.sleep_forever).run(
            {}, on_step_complete=lambda event: told.append(event.name)
        )
    assert around.cancelled_caught
    assert told == []
