"""The commands for stores, which show and change what is in one."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from datetime import timedelta
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Final, get_args

import trio

from trio_steps._core.errors import leaves
from trio_steps._durable.protocol import RunStatus
from trio_steps._observers.rows import plain
from trio_steps._pipeline.run.move import move
from trio_steps._pipeline.run.texts import attempts_of
from trio_steps.store import AnswerError, work

from .attended import Lines, exits, stopped_by_signal
from .common import DONE, FAILED, SIGNALLED, UsageError, existing_store, id_of_a_run, say, show, store_at, words
from .modules import pipeline_at
from .output import as_json

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from trio_steps.store import RunRecord, RunStore

_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_OPEN: Final[tuple[RunStatus, ...]] = ("submitted", "interrupted", "failed", "stopped")

_OTHER_ENDS: Final[dict[RunStatus, str]] = {
    "waiting": "waiting for an answer",
    "stopped": "stopped",
    "cancelled": "cancelled",
    "running": "lost to another worker, or not saved",
}


def add_commands(command: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the commands of this module."""

    def add(name: str, run: Callable[[argparse.Namespace], int], help: str, *, one: bool) -> argparse.ArgumentParser:
        added = command(name, run, help)
        if one:
            added.add_argument("run_id", type=id_of_a_run, metavar="RUN", help="the id of the run")
        added.add_argument("--store", metavar="STORE", required=True, help="where the runs are kept")
        return added

    runs = add("runs", _runs, "list the runs in a store, the latest first", one=False)
    runs.add_argument("--status", type=_statuses, help="only runs with this status, or several, separated by commas")
    runs.add_argument("--pipeline", help="only runs of this pipeline")
    runs.add_argument("--limit", type=_count, metavar="N", help="at most this many")
    runs.add_argument("--after", type=id_of_a_run, metavar="RUN", help="only runs after this one, for the next page")
    runs.add_argument("--json", action="store_true", help="print them as JSON")

    shown = add("show", _show, "show everything about a run", one=True)
    shown.add_argument("--json", action="store_true", help="print it as JSON")

    answer = add("answer", _answer, "give a run an answer that it waits for", one=True)
    answer.add_argument(
        "--set", metavar="KEY=JSON", action="append", required=True, help="an answer, such as approved=true"
    )

    add("cancel", _cancel, "cancel a run", one=True)
    add("delete", _delete, "delete a run", one=True)

    moved = add("move", _move, "move a run to another store, where a worker continues it", one=True)
    moved.add_argument("--to", metavar="STORE", required=True, help="the store to move it to")
    moved.add_argument(
        "--instead",
        action="store_true",
        help="move it although an earlier move had begun: the run never got there, or that store is lost",
    )

    prune = add("prune", _prune, "delete runs that are no longer needed", one=False)
    prune.add_argument("--older-than", type=_duration, metavar="TIME", help="runs last updated longer ago, such as 30d")
    prune.add_argument("--keep", type=_count, metavar="N", help="all but this many, the last updated")
    prune.add_argument("--status", type=_statuses, default=("finished",), help="runs with this status (finished)")

    worker = command("work", _work, "run the runs that are ready to continue, until it is stopped")
    worker.add_argument("pipelines", metavar="PIPELINE", nargs="+")
    worker.add_argument("--store", metavar="STORE", required=True, help="where the runs are kept")
    worker.add_argument("--concurrency", type=int, default=1, metavar="N", help="the number of runs at a time (1)")
    worker.add_argument("-q", "--quiet", action="store_true", help="show no progress")


def _statuses(text: str) -> tuple[RunStatus, ...]:
    known: dict[str, RunStatus] = {status: status for status in get_args(RunStatus)}
    try:
        return tuple(known[status] for status in text.split(","))
    except KeyError as error:
        raise argparse.ArgumentTypeError(f"there is no status {error}; there are {', '.join(known)}") from error


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of runs; give one such as 20")
    return int(text)


def _duration(text: str) -> timedelta:
    try:
        return timedelta(**{_UNITS[text[-1:]]: float(text[:-1])})
    except (KeyError, ValueError, OverflowError) as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time; give one such as 30d, 12h or 90s") from error


def _call(call: Callable[..., Any], *args: Any, **options: Any) -> Any:
    async def main() -> Any:
        return await call(*args, **options)

    try:
        return trio.run(main)
    except KeyError as error:
        raise UsageError(f"{error.args[0]}; trio-steps runs lists them") from error
    except AnswerError as error:
        raise UsageError(str(error)) from error


def _runs(args: argparse.Namespace) -> int:
    store = existing_store(args.store)
    records: tuple[RunRecord, ...] = _call(
        store.runs, status=args.status, pipeline=args.pipeline, limit=args.limit, after=args.after
    )
    if args.json:
        show(as_json(records))
        return DONE
    rows = [("RUN", "PIPELINE", "STATUS", "LAST STEP", "UPDATED", "NOTE")]
    for record in records:
        note = plain(record.error.splitlines()[0]) if record.error else ""
        if record.status == "waiting":
            note = f"for {', '.join(map(plain, record.waiting))}"
        rows.append(
            (
                plain(record.run_id),
                plain(record.pipeline),
                record.status,
                record.step or "-",
                _time(record.updated),
                note,
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        show("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    return DONE


def _show(args: argparse.Namespace) -> int:
    store: RunStore = existing_store(args.store)
    stored = _call(store.read, args.run_id)
    if stored is None:
        raise UsageError(f"there is no run {args.run_id!r} in {args.store!r}; trio-steps runs lists them")
    record = stored.record
    known: dict[str, Any] = {
        "run": record.run_id,
        "pipeline": record.pipeline,
        "version": record.version,
        "status": record.status,
        "started": record.started,
        "updated": record.updated,
        "last step": record.step,
        "died": record.deaths or None,
        "failed attempts": attempts_of(stored.parts) or None,
        "waits for": {name: until or "as long as it takes" for name, until in record.waiting.items()} or None,
        "answers": {name: json.loads(text) for name, text in stored.answers.items()} or None,
        "error": record.error,
    }
    if args.json:
        show(as_json(known))
        return DONE
    known["started"], known["updated"] = _time(record.started), _time(record.updated)
    if record.deaths:
        known["died"] = "once" if record.deaths == 1 else f"{record.deaths} times"
    if record.waiting:
        known["waits for"] = "; ".join(
            f"{name} ({'as long as it takes' if until is None else f'until {_time(until)}'})"
            for name, until in record.waiting.items()
        )
    said = {
        f"{name}:": value if isinstance(value, str) else as_json(value)
        for name, value in known.items()
        if value is not None
    }
    width = max(map(len, said))
    for name, text in said.items():
        lines = words(text).splitlines() if name == "error:" else [plain(text)]
        for start, line in zip_longest([name], lines, fillvalue=""):
            show(f"{start:{width}} {line}".rstrip())
    return DONE


def _time(time: datetime) -> str:
    return time.astimezone().isoformat(" ", "seconds")


def _answer(args: argparse.Namespace) -> int:
    answers: dict[str, object] = {}
    for text in args.set:
        key, equals, value = text.partition("=")
        try:
            answers[key] = json.loads(value)
        except ValueError as error:
            right = f"{key}={json.dumps(value)}" if equals else "approved=true"
            raise UsageError(f"--set {text}: give KEY=JSON, such as --set '{right}'") from error
    _call(existing_store(args.store).answer, args.run_id, answers)
    return DONE


def _cancel(args: argparse.Namespace) -> int:
    if not _call(existing_store(args.store).cancel, args.run_id):
        say(f"the run {args.run_id!r} is already over")
        return FAILED
    return DONE


def _delete(args: argparse.Namespace) -> int:
    _call(existing_store(args.store).delete, args.run_id)
    return DONE


def _move(args: argparse.Namespace) -> int:
    _call(move, args.run_id, existing_store(args.store), store_at(args.to), instead=args.instead)
    return DONE


def _prune(args: argparse.Namespace) -> int:
    pruned = _call(existing_store(args.store).prune, older_than=args.older_than, keep=args.keep, status=args.status)
    for run_id in pruned:
        show(plain(run_id))
    return DONE


def _work(args: argparse.Namespace) -> int:
    pipelines = [pipeline_at(target) for target in args.pipelines]
    store = store_at(args.store)
    counts: Counter[str] = Counter()

    def on_end(run_id: str, status: RunStatus, error: Exception | None) -> None:
        counts[status] += 1
        if not args.quiet:
            say(f"{plain(run_id)}: {status if error is None else words(error)}")

    async def main() -> int:
        scope = trio.CancelScope()
        with stopped_by_signal(scope, sys.stderr) as taken, scope:
            observers = [] if args.quiet else [Lines(sys.stderr, of_many=True)]
            await work(store, pipelines, concurrency=args.concurrency, observers=observers, on_end=on_end)
        return taken[0]

    try:
        number = trio.run(main)
    except BaseExceptionGroup as group:  # one of the workers, which all have the same trouble with the store
        errors = list(leaves(group))
        if exits(group):
            leaving = next(error for error in errors if isinstance(error, SystemExit))
            say(f"stopped, as a step called sys.exit: {words(leaving)}")
            return FAILED
        raise next((error for error in errors if isinstance(error, KeyboardInterrupt)), errors[0]) from None
    others = [f", {counts[status]} {words}" for status, words in _OTHER_ENDS.items() if counts[status]]
    say(f"{counts['finished']} finished, {counts['failed']} failed{''.join(others)}")
    return SIGNALLED + number
