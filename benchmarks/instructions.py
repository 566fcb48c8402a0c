"""Instruction counts per path, which other processes can't disturb: ``python -m benchmarks.instructions --check``.

`valgrind --tool=callgrind` counts the instructions that a fork executes, and those of what it is compared with. The
counts of one build of Python are the same in every run, to half a per cent (the order in which Trio runs a batch of
tasks is left to chance, as it is for users), and their ratio varies little from build to build. So ``baseline.json``
keeps the ratio for each version of Python, and 5 % more than that is a regression.

All work is done by one process under valgrind. It calls `os.getppid`, which no one else does, before and after each
piece, and valgrind dumps its counter there.
"""

from __future__ import annotations

import argparse
import functools
import gc
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import attrs
import trio

from .fanout import BOUNDED, OURS, OURS_LIMITER, RACES, UNBOUNDED, Heat
from .inputs import PICKLE, SHAPES, WAYS, runs_in
from .pipelines import LARGE, SMALL, adding_paths, checkpoints, parallel, row_of
from .small import BUILT, LIMITED, STREAM, STREAMED, THREE, TWO

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

BASELINE = Path(__file__).with_name("baseline.json")
ALLOWED = 0.05
FORKS = 200
"""How many small forks are counted: the order in which Trio runs their tasks is left to chance."""

Make: TypeAlias = "Callable[[int], Callable[[], Awaitable[object]]]"
"""Is told the number of paths or steps, and returns what runs them."""


@attrs.frozen(kw_only=True)
class Piece:
    """A target whose instructions are counted: our work, and what it is compared with.

    Attributes:
      units: how many paths or steps that is.
    """

    name: str
    unit: str
    units: int
    ours: Make
    theirs: Make


def work_of(heat: Heat, name: str) -> Make:
    """Return the work of one contender of `heat`."""
    way = heat.way(name)

    def make(count: int) -> Callable[[], Awaitable[object]]:
        paths = heat.make_paths(count, way.loop)
        return lambda: way.run(paths, way.limit())

    return make


def bounded(name: str, of: str) -> Piece:
    return Piece(
        name=name, unit="path", units=BOUNDED.size, ours=work_of(BOUNDED, of), theirs=work_of(BOUNDED, "bare Trio")
    )


def steps(count: int) -> Callable[[], Awaitable[object]]:
    return functools.partial(row_of(count).run, SMALL)


def parallel_step(count: int) -> Callable[[], Awaitable[object]]:
    return functools.partial(parallel(adding_paths(count, "trio")).run, {})


def copies_of(shape: str, name: str) -> Make:
    """Return the work of one way to copy a value of `shape`, as many times as it is told."""

    def make(count: int) -> Callable[[], Awaitable[object]]:
        async def work() -> None:
            for _ in range(count):
                WAYS[name](SHAPES[shape])

        return work

    return make


def small(name: str, heat: Heat, of: str = OURS) -> Piece:
    return Piece(
        name=f"P11, {name}", unit="fork", units=FORKS, ours=forks_of(heat, of), theirs=forks_of(heat, "bare Trio")
    )


def forks_of(heat: Heat, name: str) -> Make:
    """Return the work of one contender of `heat`, as many times as it is told."""
    way = heat.way(name)

    def make(count: int) -> Callable[[], Awaitable[object]]:
        paths = heat.make_paths(heat.size, way.loop)

        async def work() -> None:
            for _ in range(count):
                await way.run(paths, way.limit())

        return work

    return make


PIECES = (
    bounded("P1", OURS),
    bounded("P1, limiter", OURS_LIMITER),
    Piece(
        name="P3",
        unit="path",
        units=UNBOUNDED.size,
        ours=work_of(UNBOUNDED, OURS),
        theirs=work_of(UNBOUNDED, "bare Trio"),
    ),
    Piece(
        name="P4, the last",
        unit="path",
        units=RACES[1].size,
        ours=work_of(RACES[1], OURS),
        theirs=work_of(RACES[1], "bare Trio"),
    ),
    small("gather", THREE),
    small("built", THREE, BUILT),
    small("race", TWO),
    small("settle", LIMITED),
    Piece(name="P12", unit="run", units=50, ours=runs_in(LARGE), theirs=runs_in(SMALL)),
    Piece(
        name="P13, small",
        unit="copy",
        units=1_000,
        ours=copies_of("one small dict of dicts", OURS),
        theirs=copies_of("one small dict of dicts", PICKLE),
    ),
    Piece(
        name="P14",
        unit="path",
        units=STREAMED.size,
        ours=work_of(STREAMED, STREAM),
        theirs=work_of(STREAMED, OURS),
    ),
    Piece(name="P8", unit="path", units=UNBOUNDED.size, ours=parallel_step, theirs=work_of(UNBOUNDED, OURS)),
    Piece(name="P6", unit="step", units=1_000, ours=steps, theirs=lambda count: functools.partial(checkpoints, count)),
)


@attrs.frozen(kw_only=True)
class Count:
    """Instructions per path, or step: ours, and those of what it is compared with."""

    ours: float
    theirs: float

    @property
    def ratio(self) -> float:
        return self.ours / self.theirs


def version() -> str:
    """Return the key of a baseline: the versions that the ratio depends on."""
    return (
        f"{platform.python_implementation()} {sys.version_info.major}.{sys.version_info.minor}, trio {trio.__version__}"
    )


def count(pieces: Sequence[Piece] = PIECES) -> dict[str, Count]:
    """Run `pieces` under valgrind, and return what they took.

    Raises:
      FileNotFoundError: valgrind is not installed.
      RuntimeError: it failed.
    """
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        raise FileNotFoundError("valgrind is not installed; it counts the instructions")
    with tempfile.TemporaryDirectory() as folder:
        command = [valgrind, "--tool=callgrind", "--dump-before=getppid", f"--callgrind-out-file={folder}/count"]
        child = [sys.executable, "-m", "benchmarks.instructions", "--child", *(piece.name for piece in pieces)]
        environment = {**os.environ, "PYTHONHASHSEED": "0"}
        done = subprocess.run([*command, *child], env=environment, capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode:
            raise RuntimeError(f"valgrind failed:\n{done.stderr}")
        marks = len(list(Path(folder).glob("count.*")))
        if marks != 4 * len(pieces):
            raise RuntimeError(
                f"there are {marks} marks where {4 * len(pieces)} were set: who else calls os.getppid()?"
            )

        def total(dump: int) -> int:
            text = Path(f"{folder}/count.{dump}").read_text(encoding="utf-8")
            return int(re.findall(r"^totals: (\d+)", text, re.MULTILINE)[0])

        # four dumps a piece: what came before it, ours, what lay between, what it is compared with
        return {
            piece.name: Count(ours=total(4 * number + 2) / piece.units, theirs=total(4 * number + 4) / piece.units)
            for number, piece in enumerate(pieces)
        }


def run_child(names: Sequence[str], units: int | None = None) -> None:
    """Do the work, in the process that valgrind watches: as many paths or steps as a piece has, or `units`."""
    pieces = {piece.name: piece for piece in PIECES}
    for name in names:
        for make in (pieces[name].ours, pieces[name].theirs):
            run_between_marks(make(units or pieces[name].units))


def run_between_marks(work: Callable[[], Awaitable[object]]) -> None:
    """Do `work`, with a mark before and after it."""

    async def once() -> None:
        os.getppid()
        await work()
        os.getppid()

    async def warm_up() -> None:
        await work()  # Python specialises code that runs often

    for main in (warm_up, once):
        gc.collect()
        trio.run(main)


def table(counts: dict[str, Count], baseline: dict[str, float]) -> str:
    """Return the counts as text, beside the ratios of the baseline."""
    units = {piece.name: piece.unit for piece in PIECES}
    lines = [f"{'instructions':<20}{'trio_steps':>12}{'against':>12}{'ratio':>8}{'baseline':>10}"]
    for name, one in counts.items():
        kept = f"{baseline[name]:10.3f} {one.ratio / baseline[name] - 1:+.1%}" if name in baseline else f"{'none':>10}"
        lines.append(f"{f'{name}, per {units[name]}':<20}{one.ours:12,.0f}{one.theirs:12,.0f}{one.ratio:8.3f}{kept}")
    return "\n".join(lines)


def regressions(counts: dict[str, Count], baseline: dict[str, float]) -> list[str]:
    """Return the names of the targets that take more than the baseline allows."""
    return [name for name, one in counts.items() if name in baseline and one.ratio > baseline[name] * (1 + ALLOWED)]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.instructions", description=(__doc__ or "").partition("\n")[0]
    )
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--check", action="store_true", help="exit with 1 if a ratio is 5 %% above the baseline")
    action.add_argument("--update", action="store_true", help="write the ratios to the baseline")
    parser.add_argument("--also", nargs="+", default=[], metavar="PYTHON", help="do the same with these interpreters")
    parser.add_argument("--baseline", type=Path, default=BASELINE, metavar="FILE")
    action.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.child is not None:
        run_child(options.child)
        return 0
    kept: dict[str, dict[str, dict[str, float]]] = {}
    if options.baseline.exists():
        kept = json.loads(options.baseline.read_text(encoding="utf-8"))
    mine = {name: one["ratio"] for name, one in kept.get(version(), {}).items()}
    counts = count()
    print(f"{version()}\n{table(counts, mine)}", flush=True)
    status = 0
    if options.update:
        kept[version()] = {
            name: {"ours": round(one.ours), "theirs": round(one.theirs), "ratio": round(one.ratio, 4)}
            for name, one in counts.items()
        }
        options.baseline.write_text(json.dumps(kept, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    elif options.check and not mine:
        print(f"there is no baseline for {version()}: make one with --update", flush=True)
        status = 2
    elif options.check:
        for name in regressions(counts, mine):
            print(f"{name}: more than {ALLOWED:.0%} above the baseline", flush=True)
            status = 1
    given = [f"--baseline={options.baseline}", *(["--update"] * options.update), *(["--check"] * options.check)]
    for python in options.also:
        done = subprocess.run([python, "-m", "benchmarks.instructions", *given], check=False)  # noqa: S603
        status = max(status, done.returncode)
    return status


if __name__ == "__main__":
    raise SystemExit(main())
