"""Instruction counts per path, which no neighbour can disturb: ``python -m benchmarks.instructions --check``.

`valgrind --tool=callgrind` counts the instructions that a fork executes, and those of what it is compared with. The
counts of one build of Python are the same in every run, to a part in a thousand; and the ratio of the two moves little
from build to build. So it is the ratio that ``baseline.json`` keeps for each version of Python, and that is compared:
5 % more than there is a regression.

All work is done by one process under valgrind. It calls `os.getppid`, which nobody else does, before and after each
piece, and valgrind dumps its counter there.
"""

from __future__ import annotations

import argparse
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
from typing import TYPE_CHECKING

import attrs
import trio

from .fanout import BOUNDED, OURS, OURS_LIMITER, UNBOUNDED, Heat

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .work import Way

BASELINE = Path(__file__).with_name("baseline.json")
ALLOWED = 0.05
PATHS = 500
WARM_UP = 3
"""Runs before the one that counts: Python specialises what runs often."""


@attrs.frozen(kw_only=True)
class Piece:
    """A target whose instructions are counted."""

    name: str
    heat: Heat
    of: str
    against: str = "bare Trio"


PIECES = (
    Piece(name="P1", heat=BOUNDED, of=OURS),
    Piece(name="P1, limiter", heat=BOUNDED, of=OURS_LIMITER),
    Piece(name="P3", heat=UNBOUNDED, of=OURS),
)


@attrs.frozen(kw_only=True)
class Count:
    """Instructions per path: of the fork, and of what it is compared with."""

    ours: float
    theirs: float

    @property
    def ratio(self) -> float:
        return self.ours / self.theirs


def version() -> str:
    """Return the key of a baseline: what the ratio depends on."""
    return (
        f"{platform.python_implementation()} {sys.version_info.major}.{sys.version_info.minor}, trio {trio.__version__}"
    )


def count(pieces: Sequence[Piece] = PIECES, paths: int = PATHS) -> dict[str, Count]:
    """Run `pieces` under valgrind, and return what they took.

    Raises:
      FileNotFoundError: there is no valgrind.
    """
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        raise FileNotFoundError("valgrind is not installed; it counts the instructions")
    with tempfile.TemporaryDirectory() as folder:
        command = [valgrind, "--tool=callgrind", "--dump-before=getppid", f"--callgrind-out-file={folder}/count"]
        names = [piece.name for piece in pieces]
        child = [sys.executable, "-m", "benchmarks.instructions", "--paths", str(paths), "--child", *names]
        environment = {**os.environ, "PYTHONHASHSEED": "0"}
        done = subprocess.run([*command, *child], env=environment, capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode:
            raise RuntimeError(f"valgrind failed:\n{done.stderr}")
        # the dumps of a piece: what came before it, the fork, what lay between, what it is compared with
        totals = [
            int(re.findall(r"^totals: (\d+)", Path(f"{folder}/count.{4 * number + part}").read_text(), re.MULTILINE)[0])
            for number in range(len(pieces))
            for part in (2, 4)
        ]
    return {
        piece.name: Count(ours=totals[2 * number] / paths, theirs=totals[2 * number + 1] / paths)
        for number, piece in enumerate(pieces)
    }


def run_child(names: Sequence[str], paths: int) -> None:
    """Do the work, in the process that valgrind watches."""
    for name in names:
        (piece,) = (piece for piece in PIECES if piece.name == name)
        for wanted in (piece.of, piece.against):
            (way,) = (way for way in piece.heat.ways if way.name == wanted)
            run_between_marks(way, piece.heat, paths)


def run_between_marks(way: Way, heat: Heat, paths: int) -> None:
    """Run `way` with a mark before and after the run that counts."""
    calls = heat.make_paths(paths, way.loop)

    async def once() -> None:
        limit = way.limit()
        os.getppid()
        await way.run(calls, limit)
        os.getppid()

    async def warm() -> None:
        for _ in range(WARM_UP):
            await way.run(calls, way.limit())

    for main in (warm, once):
        gc.collect()
        # whether Trio runs a batch of tasks backwards or forwards is chance; it has no public way to fix it
        trio._core._run._r.seed(0)  # noqa: SLF001
        trio.run(main)


def table(counts: dict[str, Count], baseline: dict[str, float]) -> str:
    """Return the counts as text, beside the ratios of the baseline."""
    lines = [f"{'instructions per path':<24}{'trio_steps':>12}{'bare Trio':>12}{'ratio':>8}{'baseline':>10}"]
    for name, one in counts.items():
        lines.append(f"{name:<24}{one.ours:12,.0f}{one.theirs:12,.0f}{one.ratio:8.3f}" + (
            f"{baseline[name]:10.3f} {one.ratio / baseline[name] - 1:+.1%}" if name in baseline else f"{'none':>10}"
        ))  # fmt: skip
    return "\n".join(lines)


def regressions(counts: dict[str, Count], baseline: dict[str, float]) -> list[str]:
    """Return the names of what takes more than the baseline allows."""
    return [name for name, one in counts.items() if name in baseline and one.ratio > baseline[name] * (1 + ALLOWED)]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.instructions", description=__doc__.partition("\n")[0])
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--check", action="store_true", help="exit with 1 if a ratio is 5 %% above the baseline")
    action.add_argument("--update", action="store_true", help="write the ratios to the baseline")
    parser.add_argument("--baseline", type=Path, default=BASELINE, metavar="FILE")
    parser.add_argument("--paths", type=int, default=PATHS, help=argparse.SUPPRESS)
    action.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.child is not None:
        run_child(options.child, options.paths)
        return 0
    kept = json.loads(options.baseline.read_text(encoding="utf-8")) if options.baseline.exists() else {}
    mine = {name: one["ratio"] for name, one in kept.get(version(), {}).items()}
    counts = count(paths=options.paths)
    print(version())
    print(table(counts, mine))
    if options.update:
        kept[version()] = {
            name: {"ours": round(one.ours), "theirs": round(one.theirs), "ratio": round(one.ratio, 4)}
            for name, one in counts.items()
        }
        options.baseline.write_text(json.dumps(kept, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    if options.check and not mine:
        print(f"there is no baseline for {version()}: make one with --update")
        return 2
    worse = regressions(counts, mine) if options.check else []
    for name in worse:
        print(f"{name}: more than {ALLOWED:.0%} above the baseline")
    return 1 if worse else 0


if __name__ == "__main__":
    raise SystemExit(main())
