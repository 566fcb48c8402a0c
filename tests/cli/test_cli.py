"""The command line: what it prints, where, and its exit status."""

from __future__ import annotations

import importlib.metadata
import io
import json
import re
import runpy
import shlex
import signal
import sqlite3
import subprocess
import sys
import textwrap
from contextlib import closing
from pathlib import Path

import pytest

import trio_steps
from trio_steps._cli.commands import CLAIMED, DONE, FAILED, USAGE, main
from trio_steps._durable.sqlite import Database

ROOT = Path(__file__).parent.parent.parent

SHOP = """
import datetime
import decimal
import enum
import pathlib
import signal
from collections import deque
from dataclasses import dataclass
from typing import TypedDict
from uuid import UUID

import attrs
import trio

from trio_steps import Pipeline, Retry, when

class Order(TypedDict):
    order: int

async def pay(order: int):
    await trio.sleep(0)
    return {"paid": order}

checkout = Pipeline("checkout", inputs=Order).step("pay", pay).step("thank", lambda: {"text": "thänks"})
empty = Pipeline("empty")

@attrs.frozen
class Point:
    x: int

@dataclass
class Size:
    width: int

class Colour(enum.IntEnum):
    RED = 1

strange = Pipeline("strange").step("all", lambda: {
    "null": None, "float": 0.5, "enum": Colour.RED, "point": Point(1), "size": Size(2),
    "list": [(1, 2), {3}, deque([4])], "date": datetime.date(2026, 1, 2), "time": datetime.time(1, 2),
    "path": pathlib.PurePosixPath("a/b"), "uuid": UUID(int=1), "decimal": decimal.Decimal("1.50"),
    "keys": {1: "one", (2, 3): "two"}, "other": 1j, "type": int,
})

def no():
    raise OSError("no money")

failing = Pipeline("failing").step("a", lambda: {"a": 1}).step("bad", no)

tries = [OSError("busy"), OSError("still busy")]

def later():
    if tries:
        raise tries.pop(0)

def tail():
    raise ValueError("forgiven")

several = (
    Pipeline("several")
    .step("later", later, retry=Retry(attempts=3))
    .step("skip", later, condition=lambda: False)
    .step("quiet", later, log=False)
    .step("race", trio.sleep_forever, lambda: {"won": 1}, mode="race")
    .step("forgiven", tail, on_error="continue")
)
wide = Pipeline("wide").for_each("each", lambda n: n, over="ns", each="n", into="out", concurrency=1)

async def interrupted():
    signal.raise_signal(signal.SIGINT)
    await trio.sleep_forever()

async def terminated():
    signal.raise_signal(signal.SIGTERM)
    await trio.sleep_forever()

async def slow_cleanup():
    try:
        await trio.sleep_forever()
    finally:
        with trio.CancelScope(shield=True):
            await trio.sleep(0.01)
            print("cleaned up")

async def bad_cleanup():
    try:
        await interrupted()
    finally:
        raise ValueError("bad clean-up")

async def impatient():
    try:
        await interrupted()
    finally:
        signal.raise_signal(signal.SIGINT)

async def late():
    signal.raise_signal(signal.SIGINT)
    return {"late": True}

stopped = Pipeline("stopped").step("first", lambda: {"a": 1}).step("last", interrupted, slow_cleanup)
stopped_sigterm = Pipeline("stopped").step("last", terminated)
stopped_badly = Pipeline("stopped").step("last", bad_cleanup)
stopped_twice = Pipeline("stopped").step("last", impatient)
stopped_late = Pipeline("stopped").step("last", late)

class group:
    inner = checkout
"""


@pytest.fixture(autouse=True)
def shop(tmp_path, monkeypatch):
    """A directory, which is the current one, with a module "shop" in it."""
    (tmp_path / "shop.py").write_text(SHOP, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name in ("shop", "broken", "package", "package.inner"):
            del sys.modules[name]


@pytest.fixture
def run(capsys):
    """Run a command line, and return its exit status, and what it wrote on standard output and error."""

    def run(*argv):
        status = main([str(arg) for arg in argv])
        return status, *capsys.readouterr()

    return run


def write(path, text):
    path.write_text(textwrap.dedent(text), encoding="utf-8")


def test_closed_standard_streams_take_and_give_nothing(monkeypatch, shop) -> None:
    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    assert main(["run", "shop:checkout", "--input", '{"order": 1}']) == DONE
    assert main(["run", "shop:checkout", "--input", "-"]) == USAGE
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        stream.close()


def test_run_that_is_interrupted_when_nobody_reads_what_it_says_is_interrupted_all_the_same(shop, monkeypatch) -> None:
    class Closed(io.StringIO):
        def write(self, text):
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stderr", Closed())
    assert main(["run", "shop:stopped", "--quiet"]) == 128 + signal.SIGINT


# run


def test_run_prints_the_result_as_json_and_progress_as_lines(run) -> None:
    status, out, err = run("run", "shop:checkout", "--input", '{"order": 1}')
    assert status == DONE
    assert out == '{\n  "order": 1,\n  "paid": 1,\n  "text": "thänks"\n}\n'
    lines = [line.split()[:2] for line in err.splitlines()]
    assert lines == [["done", "pay"], ["done", "thank"], ["done", "checkout"]]


def test_run_reads_the_input_from_a_file(run, shop) -> None:
    write(shop / "order.json", '{"order": 2}')
    assert json.loads(run("run", "shop:checkout", "--input", "@order.json")[1])["paid"] == 2


def test_run_reads_the_input_from_standard_input(run, monkeypatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO('{"order": 3}'))
    assert json.loads(run("run", "shop:checkout", "--input", "-")[1])["paid"] == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "--input: Expecting property name"),
        ("@nowhere.json", "--input: [Errno 2]"),
        (" [1]", "--input: give a JSON object, '{\"key\": …}', not '[1]'"),
        ("[" * 100_000, "--input: maximum recursion depth"),
    ],
)
def test_run_with_an_input_that_makes_no_sense_is_misuse(run, text, message) -> None:
    status, out, err = run("run", "shop:checkout", "--input", text)
    assert (status, out) == (USAGE, "")
    assert message in err


def test_run_says_in_words_what_json_has_no_word_for(run) -> None:
    assert json.loads(run("run", "shop:strange")[1]) == {
        "null": None,
        "float": 0.5,
        "enum": "RED",
        "point": {"x": 1},
        "size": {"width": 2},
        "list": [[1, 2], [3], [4]],
        "date": "2026-01-02",
        "time": "01:02:00",
        "path": "a/b",
        "uuid": "00000000-0000-0000-0000-000000000001",
        "decimal": "1.50",
        "keys": {"1": "one", "[2, 3]": "two"},
        "other": "1j",
        "type": "<class 'int'>",
    }


def test_run_prints_json_of_numbers_and_objects_that_json_can_not_have(run, shop) -> None:
    write(
        shop / "broken.py",
        """
        from trio_steps import Pipeline

        class Shy:
            def __repr__(self):
                raise ValueError

        odd = Pipeline("odd").step("s", lambda: {"nan": float("nan"), "big": 1 << 20_000, "shy": Shy()})
        """,
    )
    status, out, _ = run("run", "broken:odd")
    odd = json.loads(out, parse_constant=pytest.fail)
    assert (status, odd["nan"], int(odd["big"], 16)) == (DONE, "nan", 1 << 20_000)
    assert "Shy" in odd["shy"]


def test_run_prints_a_result_that_is_nested_in_itself(run, shop) -> None:
    write(
        shop / "broken.py",
        """
        from trio_steps import Pipeline

        def endless():
            ring = []
            ring.append(ring)
            return {"ring": ring}

        odd = Pipeline("odd").step("s", endless)
        """,
    )
    status, out, _ = run("run", "broken:odd")
    assert status == DONE
    value = json.loads(out)["ring"]
    while isinstance(value, list):
        [value] = value
    assert value.endswith(" (of type list)")


def test_run_escapes_what_standard_output_can_not_take(run, monkeypatch) -> None:
    class Output(io.StringIO):
        encoding = "ascii"

    monkeypatch.setattr(sys, "stdout", Output())
    assert main(["run", "shop:checkout", "--input", '{"order": 1}', "-q"]) == DONE
    assert "th\\u00e4nks" in sys.stdout.getvalue()


def test_run_that_fails_says_what_and_where(run) -> None:
    status, out, err = run("run", "shop:failing")
    assert (status, out) == (FAILED, "")
    assert "failed: OSError: no money\nin step 'bad'\n" in err
    assert "Traceback" not in err


def test_run_that_fails_shows_the_traceback_if_asked(run) -> None:
    status, _, err = run("run", "shop:failing", "--traceback", "--quiet")
    assert status == FAILED
    assert err.startswith("Traceback")
    assert 'raise OSError("no money")' in err


def test_run_shows_what_became_of_each_step(run) -> None:
    status, _, err = run("run", "shop:several")
    assert status == DONE
    assert [line.split()[:2] for line in err.splitlines()] == [
        ["retrying", "later"],
        ["retrying", "later"],
        ["done", "later"],
        ["skipped", "skip"],
        ["done", "race/2"],
        ["cancelled", "race/1"],
        ["done", "race"],
        ["failed", "forgiven"],
        ["done", "several"],
    ]
    assert "OSError: busy" in err


def test_run_shows_no_more_lines_of_a_wide_step_than_a_person_reads(run) -> None:
    _, _, err = run("run", "shop:wide", "--input", json.dumps({"ns": list(range(100))}))
    lines = err.splitlines()
    assert lines[19].split()[:2] == ["done", "each/20"]
    assert [line.split()[:2] for line in lines[20:]] == [["…"], ["done", "each"], ["done", "wide"]]


def test_run_can_be_quiet(run) -> None:
    assert run("run", "shop:checkout", "--input", '{"order": 1}', "-q")[::2] == (DONE, "")


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_run_shows_a_live_tree_in_a_terminal(run, monkeypatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv("TERM", "xterm")
    assert main(["run", "shop:checkout", "--input", '{"order": 1}']) == DONE
    text = sys.stderr.getvalue()
    assert "\x1b[" in text
    assert "pay" in text


def test_run_shows_lines_in_a_terminal_without_rich(run, monkeypatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main(["run", "shop:checkout", "--input", '{"order": 1}']) == DONE
    assert sys.stderr.getvalue().startswith("  done       pay  ")


@pytest.mark.parametrize(("target", "status"), [("checkout", DONE), ("failing", FAILED)])
def test_run_writes_a_timeline_however_it_ends(run, shop, target, status) -> None:
    assert run("run", f"shop:{target}", "--input", '{"order": 1}', "--timeline", "out.html")[0] == status
    page = (shop / "out.html").read_text(encoding="utf-8")
    assert page.startswith("<!")
    assert target in page


def test_run_that_can_not_write_its_timeline_says_so(run) -> None:
    status, out, err = run("run", "shop:empty", "-q", "--timeline", "nowhere/out.html")
    assert (status, out) == (FAILED, "{}\n")
    assert "nowhere/out.html" in err


# Signals


def test_run_that_is_interrupted_cleans_up_and_says_what_was_unfinished(run) -> None:
    status, out, err = run("run", "shop:stopped", "-q")
    assert status == 130
    assert out == "cleaned up\n"
    head, last = err.splitlines()
    assert head == "interrupted: cleaning up …"
    assert last.startswith("unfinished: ")
    assert {"'last/1'", "'last/2'"} == set(last.removeprefix("unfinished: ").split(", "))


def test_run_that_is_terminated_does_the_same(run) -> None:
    status, _, err = run("run", "shop:stopped_sigterm", "-q")
    assert status == 143
    assert err == "interrupted: cleaning up …\nunfinished: 'last'\n"


def test_run_that_fails_to_clean_up_says_that_too(run) -> None:
    status, _, err = run("run", "shop:stopped_badly", "-q")
    assert status == 130
    assert "failed: ValueError: bad clean-up\nin step 'last'\nunfinished: 'last'\n" in err


def test_run_that_is_interrupted_twice_cuts_its_clean_up_short(run) -> None:
    status, _, err = run("run", "shop:stopped_twice", "-q")
    assert status == 130
    assert "interrupted again: the clean-up is cut short\n" in err


def test_run_that_is_interrupted_when_all_is_done_has_a_result(run) -> None:
    status, out, _ = run("run", "shop:stopped_late", "-q")
    assert (status, json.loads(out)) == (DONE, {"late": True})


def test_run_leaves_the_handlers_of_signals_as_they_were(run) -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    run("run", "shop:stopped", "-q")
    run("run", "shop:empty", "-q")
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_error_of_the_command_line_itself_is_no_interruption(run, monkeypatch) -> None:
    def broken(*_):
        raise LookupError("a bug")

    monkeypatch.setattr("trio_steps._cli.attended._watched", broken)
    with pytest.raises(LookupError, match="a bug"):
        run("run", "shop:empty", "-q")


def test_ctrl_c_while_a_module_is_imported_ends_it(run, shop) -> None:
    write(shop / "broken.py", "raise KeyboardInterrupt")
    assert run("graph", "broken:p") == (130, "", "")


def test_ctrl_c_reaches_a_process_that_then_can_be_resumed(shop) -> None:
    write(
        shop / "patient.py",
        """
        import pathlib, sys, trio
        from trio_steps import Pipeline

        async def wait(order):
            if not pathlib.Path("go").exists():
                print("waiting", flush=True)
                await trio.sleep_forever()
            return {"waited": order}

        p = Pipeline("p").step("a", lambda: {"a": 1}).step("wait", wait)
        """,
    )
    command = [sys.executable, "-m", "trio_steps"]
    kept = ["patient:p", "--store", "runs.db", "--run-id", "one"]
    with subprocess.Popen(
        [*command, "run", *kept, "--input", '{"order": 1}'], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "waiting\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (130, "")
    assert "unfinished: 'wait'\n" in err
    hint = "go on with: trio-steps resume patient:p --store runs.db --run-id one"
    assert err.splitlines()[-1] == hint
    (shop / "go").touch()
    done = subprocess.run([*command, "resume", *kept], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, json.loads(done.stdout)) == (DONE, {"order": 1, "a": 1, "waited": 1})


# Modules


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("shop", "'shop': give module:pipeline, such as shop:checkout"),
        ("shop:", "'shop:': give module:pipeline"),
        (":checkout", "':checkout': give module:pipeline"),
        ("shop.py:checkout", "'shop.py' is a file; give the name of the module, such as 'shop' for shop.py"),
        ("nowhere:p", "there is no module 'nowhere', here or installed"),
        ("shop.inner:p", "there is no module 'shop.inner', here or installed"),
        ("shop:nothing", "'shop:nothing' is no pipeline; the module has 'shop:checkout', 'shop:empty'"),
        ("shop:pay", "'shop:pay' is no pipeline"),
    ],
)
def test_pipeline_that_is_not_there_is_misuse(run, target, message) -> None:
    status, out, err = run("run", target)
    assert (status, out) == (USAGE, "")
    assert message in err


def test_pipeline_can_be_an_attribute_of_something_in_the_module(run) -> None:
    assert run("run", "shop:group.inner", "--input", '{"order": 1}')[0] == DONE


def test_config_error_is_told_with_its_line(run, shop) -> None:
    write(
        shop / "broken.py",
        """
        from typing import TypedDict
        from trio_steps import Pipeline

        class Order(TypedDict):
            price: float

        p = Pipeline("p", inputs=Order)
        q = p.step("b", lambda prise: None)
        """,
    )
    status, _, err = run("run", "broken:q")
    assert status == FAILED
    assert err == (
        "trio-steps: the module 'broken' can't be imported: step 'b' needs 'prise', which nothing provides; "
        "did you mean 'price'? There is {price: float}\n"
        f"  {shop / 'broken.py'}:9\n"
        '    q = p.step("b", lambda prise: None)\n'
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import nowhere", "ModuleNotFoundError: No module named 'nowhere'"),
        ("\n1 / 0", "ZeroDivisionError: division by zero"),
        ("def", "SyntaxError: invalid syntax (broken.py, line 1)"),
    ],
)
def test_error_of_a_module_is_told(run, shop, text, message) -> None:
    write(shop / "broken.py", text)
    status, _, err = run("graph", "broken:p")
    assert status == FAILED
    assert err.startswith(f"trio-steps: the module 'broken' can't be imported: {message}")


# Durable runs


def test_run_with_a_store_gives_the_run_a_name_and_goes_on_by_it(run) -> None:
    status, _, err = run("run", "shop:failing", "--store", "runs.db", "-q")
    assert status == FAILED
    first, *_, last = err.splitlines()
    name = first.removeprefix("the run is called ")
    assert name.startswith("failing-")
    assert last == f"go on with: trio-steps resume shop:failing --store runs.db --run-id {name}"
    assert run("resume", "shop:failing", "--store", "runs.db", "--run-id", name, "-q")[0] == FAILED


def test_run_with_a_store_prints_the_result_of_a_finished_run_again(run) -> None:
    argv = ("run", "shop:checkout", "--input", '{"order": 1}', "--store", "runs.db", "--run-id", "one")
    first = run(*argv)
    again = run(*argv, "-q")
    assert (again, first[0]) == ((DONE, first[1], ""), DONE)


def test_run_id_without_a_store_is_misuse(run) -> None:
    status, _, err = run("run", "shop:empty", "--run-id", "one")
    assert status == USAGE
    assert err == "trio-steps: --run-id one: give also the file to keep the run in, --store runs.db\n"


def test_store_that_is_no_file_is_misuse(run) -> None:
    status, _, err = run("run", "shop:empty", "--store", ":memory:")
    assert status == USAGE
    assert "give the name of a file, for it has to be there after a crash" in err


def test_run_that_is_running_already_has_a_status_of_its_own(run, shop) -> None:
    claimed = Database(shop / "runs.db", "full").claim("one")
    try:
        status, out, err = run("run", "shop:empty", "--store", "runs.db", "--run-id", "one", "-q")
    finally:
        claimed.release()
    assert (status, out) == (CLAIMED, "")
    assert err == "trio-steps: the run 'one' is running already; wait for it, or use another run_id\n"


def test_resume_of_a_run_that_is_not_there_is_misuse(run, shop) -> None:
    status, _, err = run("resume", "shop:empty", "--store", "runs.db", "--run-id", "one")
    assert (status, err) == (USAGE, "trio-steps: there is no store 'runs.db'\n")
    assert not (shop / "runs.db").exists()
    run("run", "shop:empty", "--store", "runs.db", "--run-id", "other")
    status, _, err = run("resume", "shop:empty", "--store", "runs.db", "--run-id", "one")
    assert (status, err) == (USAGE, "trio-steps: there is no run 'one' in 'runs.db'; trio-steps runs lists them\n")


def test_runs_lists_the_runs_of_a_store(run) -> None:
    run("run", "shop:checkout", "--input", '{"order": 1}', "--store", "runs.db", "--run-id", "one")
    run("run", "shop:failing", "--store", "runs.db", "--run-id", "two")
    status, out, _ = run("runs", "--store", "runs.db")
    assert status == DONE
    head, two, one = out.splitlines()
    assert head.split() == ["RUN", "PIPELINE", "STATUS", "LAST", "STEP", "UPDATED", "ERROR"]
    assert two.split()[:4] == ["two", "failing", "failed", "a"]
    assert two.endswith("OSError: no money")
    assert one.split()[:4] == ["one", "checkout", "finished", "thank"]


def test_runs_lists_the_runs_as_json(run) -> None:
    run("run", "shop:empty", "--store", "runs.db", "--run-id", "one")
    [record] = json.loads(run("runs", "--store", "runs.db", "--json")[1])
    assert list(record) == ["run_id", "pipeline", "status", "started", "updated", "step", "error"]
    assert (record["run_id"], record["status"], record["step"]) == ("one", "finished", None)


def test_store_that_is_none_is_an_error(run, shop) -> None:
    status, _, err = run("runs", "--store", "shop.py")
    assert status == FAILED
    assert "is no database, or a damaged one" in err


def test_store_that_can_not_be_used_is_an_error_with_its_name(run, shop) -> None:
    run("run", "shop:empty", "--store", "runs.db")
    with closing(sqlite3.connect("runs.db")) as connection:
        connection.execute("DROP TABLE runs")
    status, _, err = run("runs", "--store", "runs.db")
    assert status == FAILED
    assert err == f"trio-steps: OperationalError: no such table: runs\nin the store {str(shop / 'runs.db')!r}\n"


# graph, check, and the rest


@pytest.mark.parametrize(("language", "start"), [("mermaid", "flowchart "), ("dot", "digraph ")])
def test_graph_prints_a_diagram(run, language, start) -> None:
    status, out, err = run("graph", "shop:checkout", "--format", language, "--direction", "right")
    assert (status, err) == (DONE, "")
    assert start in out
    assert "pay" in out


def test_check_tells_what_each_pipeline_takes_does_and_gives(run, shop) -> None:
    write(
        shop / "package.py",
        """
        from shop import Order, empty
        from trio_steps import Pipeline

        def pay(order: int) -> float:
            return order * 1.5

        checkout = Pipeline("checkout", inputs=Order).step("pay", pay, provides="paid", on_error="continue")
        other = 1
        """,
    )
    status, out, err = run("check", "package")
    assert (status, err) == (DONE, "")
    assert out.splitlines() == [
        "package:empty",
        "  takes {…}",
        "  empty",
        "  gives {…}",
        "package:checkout",
        "  takes {order: int}",
        "  checkout",
        "    pay",
        "  gives {order: int, paid?: float}",
    ]


def test_check_tells_every_module_that_has_a_mistake(run, shop) -> None:
    write(shop / "broken.py", "from trio_steps import Pipeline\nPipeline('a/b')\n")
    status, out, err = run("check", "broken", "shop")
    assert status == FAILED
    assert "shop:checkout\n" in out
    assert err.splitlines()[1:] == [f"  {shop / 'broken.py'}:2", "    Pipeline('a/b')"]


def test_check_of_a_module_without_pipelines_is_misuse(run) -> None:
    status, _, err = run("check", "json")
    assert (status, err) == (USAGE, "trio-steps: no pipeline at the top of 'json'\n")


def test_help_tells_of_commands_and_statuses(run) -> None:
    status, out, _ = run("--help")
    assert status == DONE
    for word in ("run", "resume", "runs", "graph", "check", "130", "module:name"):
        assert word in out


def test_no_command_is_misuse(run) -> None:
    status, out, err = run()
    assert (status, out) == (USAGE, "")
    assert "usage: trio-steps" in err


def test_console_script_is_main() -> None:
    [script] = importlib.metadata.entry_points(group="console_scripts", name="trio-steps")
    assert script.load() is main


def test_module_can_be_run(monkeypatch, capsys) -> None:
    program = str(Path(trio_steps.__file__).with_name("__main__.py"))
    monkeypatch.setattr(sys, "argv", ["trio-steps", "--help"])
    with pytest.raises(SystemExit) as caught:
        runpy.run_path(program, run_name="__main__")
    assert caught.value.code == DONE
    assert "usage: trio-steps" in capsys.readouterr().out
    runpy.run_path(program, run_name="imported")


def test_commands_of_the_docs_print_what_the_page_says(run, shop) -> None:
    page = (ROOT / "docs" / "command-line.md").read_text(encoding="utf-8")
    [program] = re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    (shop / "shop.py").write_text(program, encoding="utf-8")
    for block in re.findall(r"^```console\n(.*?)^```", page, re.DOTALL | re.MULTILINE):
        for entry in block.removeprefix("$ ").split("\n$ "):
            line, _, expected = entry.partition("\n")
            command, *argv = shlex.split(line)
            if command == "touch":
                Path(*argv).touch()
            elif command == "rm":
                Path(*argv).unlink()
            else:
                assert command == "trio-steps"
                status, out, _ = run(*argv)
                expected = expected.rstrip("\n")
                assert (f"# {status}" if status else out.rstrip("\n")) == expected, line
