"""P6 to P8: what a step of a pipeline costs, whatever the size of its context, and what a parallel step costs.

A run has its own costs: above all, its input is copied. So the cost of a step is taken from a long row of steps, which
share these, and the cost of a run of one step is shown beside it.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import attrs
import trio

from trio_steps import Pipeline

from .fanout import OURS, UNBOUNDED, is_present, peer
from .measure import Contender, Loop, Row, Settings, Target, judge, run_in, take_turns, timed
from .work import PAUSE, Path, ProbeError, Way, check_needs_all, contender, same

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence

KEYS = ("P6", "P7", "P8")

# P6 and P7: a row of sync steps

STEPS = 10_000

Context = dict[str, Any]


def advance(count: int) -> dict[str, int]:
    return {"count": count + 1}


def advance_and_look(count: int, key_0: object) -> dict[str, int]:
    """Name a nested dict too: the function gets a copy of it."""
    del key_0
    return {"count": count + 1}


def context_of(keys: int) -> Context:
    """Return a context of so many keys: a count, and nested dicts."""
    return {
        "count": 0,
        **{f"key_{number}": {"id": number, "in": {"the": {"end": number}}} for number in range(keys - 1)},
    }


SMALL, LARGE = context_of(5), context_of(1_000)


def row_of(steps: int, function: Callable[..., object] = advance) -> Pipeline[Any, Any]:
    row: Pipeline[Any, Any] = Pipeline("row")
    for number in range(steps):
        row = row.step(f"step-{number}", function)
    return row


async def checkpoints(count: int) -> int:
    for _ in range(count):
        await trio.lowlevel.checkpoint()
    return count


async def by_hand(count: int, pause: Path) -> Context:
    """Do the same as a row of steps, but copy nothing."""
    context = dict(SMALL)
    for _ in range(count):
        context.update(advance(context["count"]))
        await pause()
    return context


def serial(
    name: str,
    how: str,
    run: Callable[[], Awaitable[object]],
    steps: int,
    expected: object,
    loop: Loop = "trio",
    runs: int = 1,
) -> Contender:
    """Return a contender that runs so many steps one after the other, `runs` times per sample."""

    async def work() -> object:
        for _ in range(runs - 1):
            await run()
        return await run()

    def sample(settings: Settings) -> float:
        seconds, result = timed(loop, work, settings)
        same(name, "result", result, expected)
        return seconds / steps / runs

    return Contender(name=name, how=how, sample=sample, check=lambda: None)


ROW, ROW_IN_LARGE = "P6", "P7"
NAMING, BY_HAND = "trio_steps, naming a nested dict", "bare Trio, by hand"
ONE_IN_SMALL, ONE_IN_LARGE = "trio_steps, a run of one step, 5 keys", "trio_steps, a run of one step, 1,000 keys"


def of_steps(settings: Settings) -> list[Contender]:
    """Return the contenders of P6 and P7: they share the row of steps, which takes long to build."""
    steps = settings.size(STEPS, STEPS // 2)
    few = steps // 10
    row, naming, one = row_of(steps), row_of(few, advance_and_look), row_of(1)

    def ours(
        name: str, how: str, pipeline: Pipeline[Any, Any], context: Context, count: int, runs: int = 1
    ) -> Contender:
        run = functools.partial(pipeline.run, context)
        return serial(name, how, run, count, context | {"count": count}, runs=runs)

    def hand(name: str, pause: Path, loop: Loop = "trio") -> Contender:
        how = "function, update, checkpoint; nothing copied"
        return serial(name, how, functools.partial(by_hand, steps, pause), steps, SMALL | {"count": steps}, loop)

    contenders = [
        ours(ROW, "", row, SMALL, steps),
        serial("bare Trio", "a checkpoint and nothing else", functools.partial(checkpoints, steps), steps, steps),
        ours(ROW_IN_LARGE, "", row, LARGE, steps),
        ours(NAMING, "each step has a copy of it", naming, SMALL, few),
        ours(ONE_IN_SMALL, "with all that a run costs once", one, SMALL, 1, runs=200),
        ours(ONE_IN_LARGE, "its input is copied", one, LARGE, 1, runs=5),
        hand(BY_HAND, PAUSE["trio"]),
        hand("asyncio", PAUSE["asyncio"], "asyncio"),
    ]
    if is_present("anyio"):
        contenders.append(hand("anyio", peer("anyio.lowlevel").checkpoint))
    return contenders


NO_PIPELINE = "has neither a context nor a checkpoint of its own"

STEP_TARGETS = (
    Target(key="P6", what="sync step, 5-key context, its checkpoint included", of=ROW, against="bare Trio", limit=1.75,
           unit="step", beside=(NAMING, ONE_IN_SMALL, BY_HAND)),
    Target(key="P7", what="the same, 1,000 keys of nested dicts", of=ROW_IN_LARGE, against=ROW, limit=1.2,
           unit="step", beside=(ONE_IN_LARGE,)),
)  # fmt: skip


def step_rows(settings: Settings) -> list[Row]:
    check_steps()
    contenders = of_steps(settings)
    taken = take_turns(contenders, settings)
    peers: dict[str, str] = dict.fromkeys(("trio-util", "aioresult", "aiometer"), NO_PIPELINE)
    of_a_step, in_large = STEP_TARGETS
    return [*judge([of_a_step], contenders, taken, peers), *judge([in_large], contenders, taken, None)]


def check_steps() -> None:
    """Assert what a row of steps promises.

    No step changes what others see; other tasks get a turn after each step; a cancellation takes effect between any
    two; and a step's own error is raised.

    Raises:
      DifferentResultError: a promise is broken.
    """
    run_in("trio", _check_copies_and_turns)
    run_in("trio", _check_cancellation)
    run_in("trio", _check_error)


CHECKED = "trio_steps, a row of steps"


class Turns(trio.abc.Instrument):
    """Counts how often the present task gave way to others, and was resumed."""

    def __init__(self) -> None:
        self.taken = 0
        self._task = trio.lowlevel.current_task()

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.taken += task is self._task


async def _check_copies_and_turns() -> None:
    seen: list[bool] = []

    def meddle(count: int, key_0: Context) -> dict[str, int]:
        seen.append(key_0 == SMALL["key_0"] != {})
        key_0.clear()
        return advance(count)

    turns = Turns()
    trio.lowlevel.add_instrument(turns)
    given = context_of(5)
    result = await row_of(10, meddle).run(given)
    same(CHECKED, "result", result, SMALL | {"count": 10})
    same(CHECKED, "caller's input", given, SMALL)
    same(CHECKED, "list of who saw what it was given unchanged", seen, [True] * 10)
    same(CHECKED, "number of turns that others had", turns.taken, 10)


async def _check_cancellation() -> None:
    ran: list[int] = []

    def cancel(count: int) -> dict[str, int]:
        ran.append(count)
        if count == 4:
            scope.cancel()
        return advance(count)

    with trio.CancelScope() as scope:
        await row_of(10, cancel).run(SMALL)
    same(CHECKED, "list of steps before a cancellation", ran, [0, 1, 2, 3, 4])


async def _check_error() -> None:
    def fail(count: int) -> None:
        raise ProbeError(count)

    told = "none"
    try:
        await row_of(1, fail).run(SMALL)
    except Exception as error:  # noqa: BLE001 - whatever it is
        told = repr(error)
    same(CHECKED, "error", told, "ProbeError(0)")


# P8: a parallel step


def adds(key: str, path: Path) -> Path:
    async def add() -> Context:
        return {key: await path()}

    return add


def adding_paths(count: int, loop: Loop) -> list[Path]:
    """Return paths of one checkpoint each, which add a key each."""
    pause = PAUSE[loop]

    def adding(index: int) -> Path:
        key = f"key_{index}"

        async def path() -> Context:
            await pause()
            return {key: index}

        return path

    return [adding(index) for index in range(count)]


def parallel(paths: Sequence[Path]) -> Pipeline[Any, Any]:
    return Pipeline("parallel").step("add", *paths, mode="all")


async def run_parallel(paths: Sequence[Path], _limit: Any) -> Any:
    return await parallel([adds(f"key_{index}", path) for index, path in enumerate(paths)]).run({})


PARALLEL = Way(name=OURS, how="", run=run_parallel, read=lambda context: list(context.values()))


async def collect(way: Way, paths: Sequence[Path], limit: Any) -> Context:
    """Run the paths in the `way` of a peer, and collect the keys that they add."""
    context: Context = {}
    for added in way.read(await way.run(paths, limit)):
        context.update(added)
    return context


def all_keys(count: int) -> Context:
    return {f"key_{index}": index for index in range(count)}


def of_parallel_step(settings: Settings) -> tuple[Target, list[Contender]]:
    size = settings.size(UNBOUNDED.size)
    step = parallel(adding_paths(size, "trio"))

    async def ours(_paths: Sequence[Path], _limit: Any) -> Any:
        return await step.run({})

    gather = f"P3, {size:,} paths"
    target = Target(
        key="P8", what=f"parallel step of {size:,} functions, a key each", of=OURS, against=gather, limit=1.3
    )
    way = Way(name=OURS, how="", run=ours, read=dict)
    peers = [
        contender(
            attrs.evolve(other, run=functools.partial(collect, other), read=dict, how=f"{other.how}, then update"),
            lambda _way: None,  # UNBOUNDED has checked it
            size,
            all_keys,
            adding_paths,
        )
        for other in UNBOUNDED.present()
        if other.name != OURS
    ]
    return target, [
        contender(way, lambda _way: check_needs_all(PARALLEL), size, all_keys),
        attrs.evolve(
            contender(UNBOUNDED.way(OURS), check_needs_all, size, lambda count: list(range(count))), name=gather
        ),
        *peers,
    ]


def parallel_rows(settings: Settings) -> list[Row]:
    target, contenders = of_parallel_step(settings)
    return judge([target], contenders, take_turns(contenders, settings), UNBOUNDED.cannot)


def measure(keys: Collection[str], settings: Settings) -> Iterator[Row]:
    """Measure those of `keys` that are measured here."""
    if "P6" in keys or "P7" in keys:
        yield from (row for row in step_rows(settings) if row.key in keys)
    if "P8" in keys:
        yield from parallel_rows(settings)
