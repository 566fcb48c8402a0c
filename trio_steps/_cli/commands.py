"""The command line, ``trio-steps``: run pipelines, resume durable runs, and inspect both.

Results are for programs and go to standard output, as JSON. Progress is for people and goes to standard error.
"""

from __future__ import annotations

import argparse
import functools
import json
import shlex
import signal
import sqlite3
import sys
import traceback
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast
from uuid import uuid4

import trio

from trio_steps._core.errors import ConfigError, StepInputError, listed
from trio_steps._durable.protocol import RunClaimedError
from trio_steps._observers.recorder import Recorder
from trio_steps._pipeline.entry import program_of
from trio_steps._pipeline.run.durable import error_text
from trio_steps._pipeline.run.inputs import inputs_entry
from trio_steps.store import QueueStore, StoreError

from .attended import attended, exits
from .common import (
    CLAIMED,
    DONE,
    FAILED,
    SIGNALLED,
    SIGPIPE,
    USAGE,
    UsageError,
    existing_store,
    id_of_a_run,
    say,
    show,
    store_at,
    words,
)
from .modules import AnyPipeline, ModuleError, imported, pipeline_at, pipelines_of
from .output import as_json
from .stores import add_commands
from .streams import drop_output, open_streams, with_entities

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from trio_steps.store import RunStore

    from .attended import End


_EPILOG: Final = """\
PIPELINE is module:name, such as shop.orders:checkout, where `name` is a Pipeline at the top of the module. Modules are
looked up in the current directory first.

STORE is an SQLite file, such as runs.db, or a PostgreSQL database that has Absurd, postgresql://user@host/name.

exit status:
  0    done
  1    the run failed, or the check found a mistake
  2    the command line is wrong
  3    the run is already running, here or in another process
  130  interrupted by Ctrl-C (143: by SIGTERM, 129: by SIGHUP), after clean-up

examples:
  trio-steps run shop:checkout --input '{"order": 42}'
  trio-steps run shop:checkout --input @order.json --store runs.db --run-id order-42
  trio-steps resume shop:checkout --store runs.db --run-id order-42
  trio-steps graph shop:checkout > checkout.mmd
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv`, by default that of the process, and return the exit status."""
    try:
        args = _parser().parse_args(argv)
    except SystemExit as error:  # argparse has already printed the message
        return cast("int", error.code)
    open_streams()
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        status = cast("int", args.command(args))
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read the output has enough, as `head` does
        drop_output()
        return SIGNALLED + SIGPIPE
    except (UsageError, ConfigError) as error:
        say(f"trio-steps: {error}")
        return USAGE
    except RunClaimedError as error:
        say(f"trio-steps: {error}")
        return CLAIMED
    except KeyboardInterrupt:
        return SIGNALLED + signal.SIGINT
    except (ModuleError, StoreError, sqlite3.Error, OSError) as error:
        say(f"trio-steps: {error_text(error) if isinstance(error, sqlite3.Error) else error}")
        return FAILED
    return status


class _ShowVersion(argparse.Action):
    """Looks up the version on demand, so that other commands don't wait for it."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        sys.stdout.write(f"trio_steps {version('trio_steps')}\n")
        parser.exit()


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="trio-steps",
        description="Run pipelines of trio_steps, resume durable runs, and inspect both.",
        epilog=_EPILOG,
        formatter_class=raw,
    )
    parser.add_argument("--version", action=_ShowVersion, nargs=0, help="show the version, and exit")
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
    run.add_argument("--store", metavar="STORE", help="keep each step there, so that the run can be resumed")
    run.add_argument("--run-id", type=id_of_a_run, metavar="ID", help="the id of the run; an existing run continues")
    add_running(run)

    resume = command("resume", _resume, "continue a run where it was, and print its result as JSON")
    resume.add_argument("pipeline", metavar="PIPELINE")
    resume.add_argument("--store", metavar="STORE", required=True, help="where the run is kept")
    resume.add_argument("--run-id", type=id_of_a_run, metavar="ID", help="the id of the run")
    resume.add_argument("--all", action="store_true", help="all runs that failed, were interrupted or stopped")
    add_running(resume)

    submit = command("submit", _submit, "put a run into a store, for a worker to run it")
    submit.add_argument("pipeline", metavar="PIPELINE")
    submit.add_argument("--input", metavar="JSON|@FILE|-", help="the input, a JSON object; - is standard input")
    submit.add_argument("--store", metavar="STORE", required=True, help="where the runs are kept")
    submit.add_argument("--run-id", type=id_of_a_run, metavar="ID", help="the id of the run")

    add_commands(command)

    graph = command("graph", _graph, "print a pipeline as a diagram")
    graph.add_argument("pipeline", metavar="PIPELINE")
    graph.add_argument("--format", choices=("mermaid", "dot"), default="mermaid", help="which language (mermaid)")
    graph.add_argument(
        "--direction", choices=("down", "right"), default="down", help="the direction of the diagram (down)"
    )

    check = command("check", _check, "import modules, and show what each pipeline in them takes, does and gives")
    check.add_argument("modules", metavar="MODULE", nargs="+")
    return parser


# Running


def _run(args: argparse.Namespace) -> int:
    if args.store is None and args.run_id is not None:
        raise UsageError(f"--run-id {args.run_id}: give also the file to keep the run in, --store runs.db")
    pipeline = pipeline_at(args.pipeline)
    inputs = [] if args.input is None else [_input(args.input)]
    options: dict[str, Any] = {}
    if args.store is not None:
        run_id = args.run_id
        if run_id is None:
            run_id = f"{pipeline.id}-{uuid4().hex[:8]}"
            say(f"the id of the run is {run_id}")
        options = {"store": store_at(args.store), "run_id": run_id}
    if inputs or args.store is None or trio.run(options["store"].read, options["run_id"]) is None:
        _check_input(pipeline, inputs)
    return _execute(pipeline, inputs, options, args)


def _resume(args: argparse.Namespace) -> int:
    store = existing_store(args.store)
    pipeline = pipeline_at(args.pipeline)
    if args.all == (args.run_id is not None):
        raise UsageError("resume: say which run, --run-id ID, or --all of them")
    program = program_of(pipeline)
    assert program is not None
    everything = trio.run(store.runs)
    records = [record for record in everything if record.pipeline in (program.name, *program.was)]
    if not args.all:
        if args.run_id not in [record.run_id for record in everything]:
            raise UsageError(f"there is no run {args.run_id!r} in {args.store!r}; trio-steps runs lists them")
        return _execute(pipeline, [], {"store": store, "run_id": args.run_id}, args)
    status = DONE
    for record in reversed([record for record in records if record.status in ("interrupted", "failed", "stopped")]):
        say(f"{record.run_id}:")
        status = max(status, _execute(pipeline, [], {"store": store, "run_id": record.run_id}, args))
        if status >= SIGNALLED:
            break
    return status


def _submit(args: argparse.Namespace) -> int:
    pipeline = pipeline_at(args.pipeline)
    inputs = [] if args.input is None else [_input(args.input)]
    _check_input(pipeline, inputs)
    run_id = args.run_id or f"{pipeline.id}-{uuid4().hex[:8]}"
    submit = functools.partial(pipeline.submit, *inputs, store=store_at(args.store), run_id=run_id)
    if not trio.run(submit):
        say(f"the run {run_id!r} already exists")
    show(run_id)
    return DONE


def _input(text: str) -> dict[str, object]:
    try:
        if text == "-":
            text = sys.stdin.read()
        elif text.startswith("@"):
            text = Path(text[1:]).read_text(encoding="utf-8")
        text = text.removeprefix("\ufeff")  # some editors begin a file with a byte order mark
        value: object = json.loads(text)
    except RecursionError as error:
        raise UsageError("--input: it is nested too deep") from error
    except json.JSONDecodeError as error:
        raise UsageError(f"--input: {error}; give a JSON object, '{{\"key\": …}}', or @FILE") from error
    except (OSError, ValueError) as error:
        raise UsageError(f"--input: {error}") from error
    if not isinstance(value, dict):
        raise UsageError(f"--input: give a JSON object, '{{\"key\": …}}', not {text.strip()[:40]!r}")
    return cast("dict[str, object]", value)


def _check_input(pipeline: AnyPipeline, inputs: list[Any]) -> None:
    """Refuse an input with which a run could only fail."""
    program = program_of(pipeline)
    assert program is not None
    try:
        inputs_entry(program, inputs[0] if inputs else None)
    except StepInputError as error:
        hint = "" if inputs else "; give an input, --input '{\"key\": …}'"
        raise UsageError(f"{error}{hint}") from error


def _execute(pipeline: AnyPipeline, inputs: list[Any], options: Mapping[str, Any], args: argparse.Namespace) -> int:
    recorder = Recorder()
    elsewhere = isinstance(options.get("store"), QueueStore)
    if elsewhere and args.timeline is not None:
        raise UsageError(f"--timeline {args.timeline}: a worker runs the run, so it can't be recorded here")
    end = attended(
        lambda observers: pipeline.run(*inputs, observers=() if elsewhere else observers, **options),
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
    """Say how a run ended, and return the exit status."""
    if end.error is None and end.signal is None:
        show(as_json(end.result))
        if "store" in options:
            _ask(options["store"], options["run_id"], args.store)
        return DONE
    if end.error is not None:
        what = "failed, as a step called sys.exit" if exits(end.error) else "failed"
        say("".join(traceback.format_exception(end.error)) if args.traceback else f"{what}: {words(end.error)}")
    if end.signal is not None:
        say(f"unfinished: {listed(end.unfinished)}")
    if "store" in options:
        again = ["trio-steps", "resume", args.pipeline, "--store", args.store, "--run-id", options["run_id"]]
        say(f"go on with: {shlex.join(again)}")
    return FAILED if end.signal is None else SIGNALLED + end.signal


def _ask(store: RunStore, run_id: str, where: str) -> None:
    """Show how to answer a run that waits."""
    stored = trio.run(store.read, run_id)
    if stored is not None and stored.record.waiting:
        answers = [word for name in stored.record.waiting for word in ("--set", f"{name}=JSON")]
        say(f"answer it with: {shlex.join(['trio-steps', 'answer', run_id, '--store', where, *answers])}")


# Looking


def _graph(args: argparse.Namespace) -> int:
    pipeline = pipeline_at(args.pipeline)
    draw, entity = (pipeline.to_mermaid, "#") if args.format == "mermaid" else (pipeline.to_dot, "&#")
    show(with_entities(draw(direction=args.direction).rstrip("\n"), entity))
    return DONE


def _check(args: argparse.Namespace) -> int:
    found = failed = 0
    for name in args.modules:
        try:
            module = imported(name)
        except ModuleError as error:
            say(error)
            failed += 1
            continue
        for variable, pipeline in pipelines_of(module).items():
            found += 1
            program = program_of(pipeline)
            assert program is not None
            show(f"{name}:{variable}")
            show(f"  takes {program.nodes[0].before if program.nodes else program.flow.context}")
            show("\n".join(f"  {line}" for line in pipeline.describe().splitlines()))
            show(f"  gives {program.flow.result}")
    if failed:
        return FAILED
    if not found:
        raise UsageError(f"no pipeline at the top of {listed(args.modules)}")
    return DONE
