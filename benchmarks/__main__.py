"""``python -m benchmarks``: measure, judge, and exit with 1 when a target is missed."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from . import durable, fanout, gated, growth, imports, inputs, latency, memory, pipelines, report, small, svg, width
from .measure import ROUNDS, DifferentResultError, Row, Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

MODULES = (small, fanout, pipelines, inputs, memory, growth, durable, imports, gated)
KEYS = tuple(sorted({key for module in MODULES for key in module.KEYS}, key=lambda key: int(key[1:])))
CLOCKS = {"cpu": time.process_time, "wall": time.perf_counter}

MISSED, WRONG_USE, DIFFERENT = 1, 2, 3


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure what forks cost against bare Trio and peers; exit with 1 when a target is missed.",
    )
    parser.add_argument(
        "--quick", action="store_true", help="smaller P5 to P7, P10 and latency study: within two minutes"
    )
    parser.add_argument("--only", choices=KEYS, action="append", help="this target; can be given more than once")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"default {ROUNDS}; fewer are no measurement")
    parser.add_argument("--scale", type=float, default=1.0, help="of all sizes, to try things out; default 1")
    parser.add_argument("--gc", choices=("on", "off"), default="on", help="the collector, while a sample runs")
    parser.add_argument("--clock", choices=CLOCKS, default="cpu", help="CPU time (default), or wall time")
    parser.add_argument(
        "--out", type=Path, default=Path("benchmarks/results"), metavar="FOLDER", help="for JSON and SVG"
    )
    parser.add_argument(
        "--page",
        type=Path,
        metavar="FILE",
        help="put the tables into this page of the docs too, and pictures beside it",
    )
    parser.add_argument(
        "--soak", type=float, metavar="SECONDS", help="run forks for so long, and see that nothing grows"
    )
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    if options.soak is not None:
        return soak(options.soak)
    settings = Settings(
        rounds=options.rounds,
        quick=options.quick,
        scale=options.scale,
        gc=options.gc == "on",
        clock=CLOCKS[options.clock],
    )
    if options.page is not None and options.only is not None:
        print("--page takes a run of everything: leave out --only", file=sys.stderr)
        return WRONG_USE
    if options.page is not None:  # to find out now that a table has no place, not at the end
        report.fill(options.page.read_text(encoding="utf-8"), {"width": "", "targets": "", "latency": ""})
    try:
        return run(options.only or KEYS, settings, options.out, options.page, study=options.only is None)
    except DifferentResultError as error:
        print(f"no figure, for the results differ: {error}", file=sys.stderr)
        return DIFFERENT


def run(keys: Sequence[str], settings: Settings, out: Path, page: Path | None, *, study: bool) -> int:
    """Measure `keys`, and with `study` latency too; print and write all of it."""
    start = time.perf_counter()
    rows: list[Row] = []
    for module in MODULES:
        for row in module.measure(keys, settings):
            rows.append(row)
            print(f"measured {row.key} {row.what}", file=sys.stderr)
    rows.sort(key=lambda row: (row.key != "P11", int(row.key[1:])))  # the everyday targets first
    studies: list[latency.Study] = []
    if study:
        requests = latency.QUICK_REQUESTS if settings.quick and page is None else latency.REQUESTS
        studies = latency.study(max(10, round(requests * settings.scale)), latency.SEED)
    found = [] if page is None else width.curves(settings)
    about = report.surroundings(settings, time.perf_counter() - start)
    tables = {"targets": f"{report.headline(about)}\n\n{report.table(rows)}\n\n{report.summary(rows)}"}
    pictures = {"targets": svg.targets(rows)}
    results = {"about": about, "targets": [report.as_json(row) for row in rows]}
    if {"P1", "P3"} <= set(keys):
        pictures["fanout"] = svg.fanout(rows)
    if studies:
        tables["latency"] = latency.table(studies, latency.SEED)
        pictures["latency"] = svg.latency(studies)
        results["latency"] = latency.as_json(studies, latency.SEED)
    if found:
        tables["width"] = width.table(found)
        pictures["width"] = width.drawing(found)
    print("\n\n".join(tables.values()))
    out.mkdir(parents=True, exist_ok=True)
    for name, picture in pictures.items():
        (out / f"{name}.svg").write_text(picture, encoding="utf-8")
    (out / "results.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    if page is not None:
        page.write_text(report.fill(page.read_text(encoding="utf-8"), tables), encoding="utf-8")
        for name in ("width", "fanout", "latency"):
            (page.parent / f"{page.stem}-{name}.svg").write_text(pictures[name], encoding="utf-8")
    return 0 if all(row.met for row in rows) else MISSED


def soak(seconds: float) -> int:
    """Soak, and say what has grown."""
    soaked = memory.soak(seconds)
    for what, level in (("start", soaked.before), ("end", soaked.after)):
        rss = "RSS unknown" if level.rss is None else f"RSS {level.rss / memory.MIB:.2f} MiB"
        print(f"{what:<6}{level.objects:>10,} tracked objects   {rss}")
    print(f"{soaked.forks:,} forks; {'nothing has grown' if soaked.steady else 'IT GROWS'}")
    return 0 if soaked.steady else MISSED


if __name__ == "__main__":
    raise SystemExit(main())
