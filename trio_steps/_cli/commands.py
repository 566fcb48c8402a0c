"""The command line, ``trio-steps``: run pipelines, go on with durable runs, and look at both.

Results are for programs and go to standard output, as JSON; what goes on is for people and goes to standard error.
"""

from __future__ import annotations

import argparse
import importlib
import io
import json
import os
import shlex
import signal
import sqlite3
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast
from uuid import uuid4

import trio

from trio_steps._core.errors import ConfigError, listed
from trio_steps._durable.protocol import RunClaimedError
from trio_steps._observers.recorder import Recorder
from trio_steps._observers.rows import plain
from trio_steps._pipeline.entry import program_of
from trio_steps._pipeline.pipeline import Pipeline
from trio_steps._pipeline.run.durable import error_text
from trio_steps.store import SqliteStore, StoreError

from .attended import attended
from .output import as_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import ModuleType

    from .attended import End


AnyPipeline = Pipeline[Any, Any]

DONE: Final = 0
FAILED: Final = 1
USAGE: Final = 2
CLAIMED: Final = 3
SIGNALLED: Final = 128  # and the number of the signal, as shells have it: 130 for Ctrl-C, 143 for SIGTERM

_EPILOG: Final = """\
PIPELINE is module:name, such as shop.orders:checkout, where `name` is a Pipeline at the top of the module. Modules are
looked for in the current directory first.

exit status:
  0    done
  1    the run has failed, or the check has found a mistake
  2    the command line makes no sense
  3    the run is running already, here or in another process
  130  interrupted by Ctrl-C (143: by SIGTERM), after clean-up

examples:
  trio-steps run shop:checkout --input '{"order": 42}'
  trio-steps run shop:checkout --input @order.json --store runs.db --run-id order-42
  trio-steps resume shop:checkout --store runs.db --run-id order-42
  trio-steps graph shop:checkout > checkout.mmd
"""


class _UsageError(Exception):
    """The command line makes no sense."""


class _ModuleError(Exception):
    """A module can't be imported, because of a mistake in it."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv`, by default that of the process, and return the exit status."""
    try:
        args = _parser().parse_args(argv)
    except SystemExit as error:  # argparse has said what there is to say
        return cast("int", error.code)
    _open_streams()
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        return cast("int", args.command(args))
    except (_UsageError, ConfigError) as error:
        _say(f"trio-steps: {error}")
        return USAGE
    except RunClaimedError as error:
        _say(f"trio-steps: {error}")
        return CLAIMED
    except KeyboardInterrupt:
        return SIGNALLED + signal.SIGINT
    except (_ModuleError, StoreError, sqlite3.Error, OSError) as error:
        _say(f"trio-steps: {error_text(error) if isinstance(error, sqlite3.Error) else error}")
        return FAILED


def _open_streams() -> None:
    """Let the standard streams take whatever is written to them.

    One that was closed when the process began takes, or gives, nothing. A character that the encoding of another one
    does not have is written as an escape.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115 - it stays open, like the others
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _say(text: object) -> None:
    with suppress(OSError):  # nobody listens any more
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="trio-steps",
        description="Run pipelines of trio_steps, go on with durable runs, and look at both.",
        epilog=_EPILOG,
        formatter_class=raw,
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def command(name: str, run: Callable[[argparse.Namespace], int], help: str) -> argparse.ArgumentParser:
        text = help[0].upper() + help[1:] + "."
        added = commands.add_parser(name, help=help, description=text, epilog=_EPILOG, formatter_class=raw)
        added.set_defaults(command=run)
        return added

    def add_running(added: argparse.ArgumentParser) -> None:
        added.add_argument("--timeline", metavar="FILE", type=Path, help="write a timeline of the run, as HTML")
        added.add_argument("-q", "--quiet", action="store_true", help="show no progress")
        added.add_argument("--traceback", action="store_true", help="show where an error came from")

    run = command("run", _run, "run a pipeline, and print its result as JSON")
    run.add_argument("pipeline", metavar="PIPELINE")
    run.add_argument("--input", metavar="JSON|@FILE|-", help="the input, a JSON object; - is standard input")
    run.add_argument("--store", metavar="FILE", help="keep each step in this SQLite file, so that the run can go on")
    run.add_argument("--run-id", metavar="ID", help="what to call the run; one that is there already goes on")
    add_running(run)

    resume = command("resume", _resume, "go on with a run where it was, and print its result as JSON")
    resume.add_argument("pipeline", metavar="PIPELINE")
    resume.add_argument("--store", metavar="FILE", required=True, help="the file that the run is kept in")
    resume.add_argument("--run-id", metavar="ID", required=True, help="what the run is called")
    add_running(resume)

    runs = command("runs", _runs, "list the runs in a store, the last one first")
    runs.add_argument("--store", metavar="FILE", required=True, help="the file that the runs are kept in")
    runs.add_argument("--json", action="store_true", help="print them as JSON")

    graph = command("graph", _graph, "print a pipeline as a diagram")
    graph.add_argument("pipeline", metavar="PIPELINE")
    graph.add_argument("--format", choices=("mermaid", "dot"), default="mermaid", help="which language (mermaid)")
    graph.add_argument("--direction", choices=("down", "right"), default="down", help="where it leads (down)")

    check = command("check", _check, "import modules, and tell what each pipeline in them takes, does and gives")
    check.add_argument("modules", metavar="MODULE", nargs="+")
    return parser


# Modules and pipelines


def _import(name: str) -> ModuleType:
    if name.endswith(".py") or os.sep in name:
        raise _UsageError(f"{name!r} is a file; give the name of the module, such as 'shop' for shop.py")
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            raise _UsageError(f"there is no module {error.name!r}, here or installed") from error
        raise _ModuleError(_located(name, error)) from error
    except Exception as error:
        raise _ModuleError(_located(name, error)) from error


def _located(name: str, error: Exception) -> str:
    """Return `error`, which came out of importing the module `name`, and the line that is to blame."""
    where = "" if isinstance(error, ConfigError) else f"{type(error).__qualname__}: "
    text = f"the module {name!r} can't be imported: {where}{error}"
    frames = traceback.extract_tb(error.__traceback__)
    own = str(Path(__file__).parent.parent) + os.sep
    for frame in reversed(frames):
        if not frame.filename.startswith(("<frozen", own)) and frame.filename != importlib.__file__:
            return f"{text}\n  {frame.filename}:{frame.lineno}\n    {frame.line}"
    return text


def _pipelines(module: ModuleType) -> dict[str, AnyPipeline]:
    return {name: value for name, value in vars(module).items() if isinstance(value, Pipeline)}


def _pipeline(target: str) -> AnyPipeline:
    module_name, colon, path = target.partition(":")
    if not colon or not path or not module_name:
        raise _UsageError(f"{target!r}: give module:pipeline, such as shop:checkout")
    module = _import(module_name)
    found: Any = module
    for part in path.split("."):
        found = getattr(found, part, None)
    if not isinstance(found, Pipeline):
        there = listed(f"{module_name}:{name}" for name in _pipelines(module))
        raise _UsageError(f"{target!r} is no pipeline; the module has {there}")
    return cast("AnyPipeline", found)  # type: ignore[redundant-cast]  # pyright finds its types unknown


# Running


def _run(args: argparse.Namespace) -> int:
    if args.store is None and args.run_id is not None:
        raise _UsageError(f"--run-id {args.run_id}: give also the file to keep the run in, --store runs.db")
    pipeline = _pipeline(args.pipeline)
    inputs = [] if args.input is None else [_input(args.input)]
    options: dict[str, Any] = {}
    if args.store is not None:
        run_id = args.run_id
        if run_id is None:
            run_id = f"{pipeline.id}-{uuid4().hex[:8]}"
            _say(f"the run is called {run_id}")
        options = {"store": SqliteStore(args.store), "run_id": run_id}
    return _execute(pipeline, inputs, options, args)


def _resume(args: argparse.Namespace) -> int:
    store = _existing_store(args.store)
    pipeline = _pipeline(args.pipeline)
    if args.run_id not in [record.run_id for record in trio.run(store.runs)]:
        raise _UsageError(f"there is no run {args.run_id!r} in {args.store!r}; trio-steps runs lists them")
    return _execute(pipeline, [], {"store": store, "run_id": args.run_id}, args)


def _existing_store(path: str) -> SqliteStore:
    if not Path(path).is_file():
        raise _UsageError(f"there is no store {path!r}")
    return SqliteStore(path)


def _input(text: str) -> dict[str, object]:
    try:
        if text == "-":
            text = sys.stdin.read()
        elif text.startswith("@"):
            text = Path(text[1:]).read_text(encoding="utf-8")
        text = text.removeprefix("\ufeff")  # some editors begin a file with a mark of its encoding
        value: object = json.loads(text)
    except RecursionError as error:
        raise _UsageError("--input: it is nested too deep") from error
    except (OSError, ValueError) as error:
        raise _UsageError(f"--input: {error}") from error
    if not isinstance(value, dict):
        raise _UsageError(f"--input: give a JSON object, '{{\"key\": …}}', not {text.strip()[:40]!r}")
    return cast("dict[str, object]", value)


def _execute(pipeline: AnyPipeline, inputs: list[Any], options: Mapping[str, Any], args: argparse.Namespace) -> int:
    recorder = Recorder()
    end = attended(
        lambda observers: pipeline.run(*inputs, observers=observers, **options),
        [] if args.timeline is None else [recorder],
        sys.stderr,
        quiet=args.quiet,
    )
    if isinstance(end.error, RunClaimedError):
        raise end.error
    status = _report(end, options, args)
    if args.timeline is not None:
        args.timeline.write_text(recorder.to_html(), encoding="utf-8")
    return status


def _report(end: End, options: Mapping[str, Any], args: argparse.Namespace) -> int:
    """Say what a run came to, and return the exit status."""
    if end.error is None and end.signal is None:
        _print(as_json(end.result))
        return DONE
    if end.error is not None:
        _say("".join(traceback.format_exception(end.error)) if args.traceback else f"failed: {error_text(end.error)}")
    if end.signal is not None:
        _say(f"unfinished: {listed(end.unfinished)}")
    if "store" in options:
        again = ["trio-steps", "resume", args.pipeline, "--store", args.store, "--run-id", options["run_id"]]
        _say(f"go on with: {shlex.join(again)}")
    return FAILED if end.signal is None else SIGNALLED + end.signal


# Looking


def _runs(args: argparse.Namespace) -> int:
    records = trio.run(_existing_store(args.store).runs)
    if args.json:
        _print(as_json(records))
        return DONE
    rows = [("RUN", "PIPELINE", "STATUS", "LAST STEP", "UPDATED", "ERROR")]
    for record in records:
        updated = record.updated.astimezone().isoformat(" ", "seconds")
        error = plain(record.error.splitlines()[0]) if record.error else ""
        rows.append((plain(record.run_id), plain(record.pipeline), record.status, record.step or "-", updated, error))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        _print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    return DONE


def _graph(args: argparse.Namespace) -> int:
    pipeline = _pipeline(args.pipeline)
    draw = pipeline.to_mermaid if args.format == "mermaid" else pipeline.to_dot
    _print(draw(direction=args.direction).rstrip("\n"))
    return DONE


def _check(args: argparse.Namespace) -> int:
    found = failed = 0
    for name in args.modules:
        try:
            module = _import(name)
        except _ModuleError as error:
            _say(error)
            failed += 1
            continue
        for variable, pipeline in _pipelines(module).items():
            found += 1
            program = program_of(pipeline)
            assert program is not None
            _print(f"{name}:{variable}")
            _print(f"  takes {program.nodes[0].before if program.nodes else program.flow.context}")
            _print("\n".join(f"  {line}" for line in pipeline.describe().splitlines()))
            _print(f"  gives {program.flow.result}")
    if failed:
        return FAILED
    if not found:
        raise _UsageError(f"no pipeline at the top of {listed(args.modules)}")
    return DONE
