"""P12 and P13: how a run's cost grows with its input, and what it costs to copy the values that a step names."""

from __future__ import annotations

import copy
import functools
import pickle
from typing import TYPE_CHECKING, Any

from trio_steps import Pipeline
from trio_steps._values.copying import copy_value

from .measure import Collected, Contender, Row, Settings, Target, judge, take_turns
from .pipelines import LARGE, SMALL, Context, advance, advance_and_look, serial
from .work import same

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterator

KEYS = ("P12", "P13")

# P12

STEPS = 10
RUNS = 200
IN_SMALL, IN_LARGE = "5 keys", "1,000 keys"

RUN = Target(
    key="P12", what="run of 10 steps, 1,000 keys, one is named", of=IN_LARGE, against=IN_SMALL, limit=1.3, unit="run"
)


def ten_steps() -> Pipeline[Any, Any]:
    """Return a pipeline of ten steps, one of which names a nested dict of its input."""
    row: Pipeline[Any, Any] = Pipeline("ten")
    for number in range(STEPS):
        row = row.step(f"step-{number}", advance_and_look if number == STEPS // 2 else advance)
    return row


def runs_in(context: Context) -> Callable[[int], Callable[[], Awaitable[object]]]:
    """Return a function that makes so many runs with the `context`."""
    pipeline = ten_steps()

    def make(count: int) -> Callable[[], Awaitable[object]]:
        async def work() -> None:
            for _ in range(count):
                await pipeline.run(context)

        return work

    return make


def run_row(settings: Settings) -> Iterator[Row]:
    runs = settings.size(RUNS)
    pipeline = ten_steps()
    contenders = [
        serial(name, "", functools.partial(pipeline.run, context), 1, context | {"count": STEPS}, runs=runs)
        for name, context in ((IN_LARGE, LARGE), (IN_SMALL, SMALL))
    ]
    yield from judge([RUN], contenders, take_turns(contenders, settings), None)


# P13

BYTES = 2**18
"""About how many bytes of pickles a sample writes: small values are copied many times."""

SHAPES: dict[str, Any] = {
    "dicts in dicts": {f"key_{number}": {"id": number, "in": {"the": {"end": number}}} for number in range(1_000)},
    "lists in lists": [[number, [number, [number]]] for number in range(1_000)],
    "a flat list": list(range(10_000)),
    "rows": [{"id": number, "name": f"name {number}", "price": number * 1.5} for number in range(1_000)],
    "one small dict of dicts": {"id": 1, "in": {"the": {"end": 1}}},
}
OURS, PICKLE, DEEPCOPY = "trio_steps", "pickle", "copy.deepcopy"


def through_pickle(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value, pickle.HIGHEST_PROTOCOL))  # noqa: S301 - it was written here


WAYS: dict[str, Callable[[Any], Any]] = {OURS: copy_value, PICKLE: through_pickle, DEEPCOPY: copy.deepcopy}


def copies(name: str, value: Any) -> Contender:
    """Return a contender that copies `value` often enough to be timed."""
    way = WAYS[name]

    def check() -> None:
        copied = way(value)
        same(name, "copy", copied, value)
        same(name, "copy, being the same object,", copied is value, expected=False)

    def sample(settings: Settings) -> float:
        count = range(max(1, round(BYTES * settings.scale) // len(pickle.dumps(value))))
        with Collected(settings):
            start = settings.clock()
            for _ in count:
                way(value)
            return (settings.clock() - start) / len(count)

    return Contender(name=name, how="", sample=sample, check=check)


def copy_row(shape: str, settings: Settings) -> Row:
    """Compare with both, and return the row of the one that is faster."""
    contenders = [copies(name, SHAPES[shape]) for name in WAYS]
    targets = [
        Target(key="P13", what=f"copy of {shape}", of=OURS, against=other, limit=1.2, unit="copy")
        for other in (PICKLE, DEEPCOPY)
    ]
    return max(judge(targets, contenders, take_turns(contenders, settings), None), key=lambda row: row.figure.median)


def measure(keys: Collection[str], settings: Settings) -> Iterator[Row]:
    """Measure those of `keys` that are measured here."""
    if "P12" in keys:
        yield from run_row(settings)
    if "P13" in keys:
        for shape in SHAPES:
            yield copy_row(shape, settings)
