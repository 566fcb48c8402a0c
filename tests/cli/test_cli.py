"""The command line: graph, check, help, and modules that can't be used."""

from __future__ import annotations

import importlib.metadata
import io
import re
import runpy
import shlex
import signal
import sys
from pathlib import Path

import pytest
from modules import write
from places import docs_page

import trio_steps
from trio_steps._cli.commands import main
from trio_steps._cli.common import DONE, FAILED, USAGE


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
        ("shop:nothing", "'shop:nothing' is not a pipeline; the module has 'shop:checkout', 'shop:empty'"),
        ("shop:pay", "'shop:pay' is not a pipeline"),
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
        "did you mean 'price'? Known keys: {price: float}\n"
        f"  {shop / 'broken.py'}:9\n"
        '    q = p.step("b", lambda prise: None)\n'
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import nowhere", "ModuleNotFoundError: No module named 'nowhere'"),
        ("\n1 / 0", "ZeroDivisionError: division by zero"),
        ("def", "SyntaxError: invalid syntax (broken.py, line 1)"),
        ("import sys\nsys.exit(3)", "SystemExit: 3"),
        ("raise SystemExit('no key given')", "SystemExit: no key given"),
    ],
)
def test_error_of_a_module_is_told(run, shop, text, message) -> None:
    write(shop / "broken.py", text)
    status, _, err = run("graph", "broken:p")
    assert status == FAILED
    assert err.startswith(f"trio-steps: the module 'broken' can't be imported: {message}")


# graph, check and others


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


def test_module_that_exits_is_an_error_and_does_not_end_the_command(run, shop) -> None:
    write(shop / "leaves.py", "import sys\n\nsys.exit(3)\n")
    status, out, err = run("check", "leaves", "shop")
    assert (status, out != "") == (FAILED, True)  # the other module is checked anyway
    assert err == f"the module 'leaves' can't be imported: SystemExit: 3\n  {shop / 'leaves.py'}:3\n    sys.exit(3)\n"


def test_module_may_begin_with_a_mark_of_its_encoding(run, shop) -> None:
    (shop / "marked.py").write_text("from trio_steps import Pipeline\np = Pipeline('p')\n", encoding="utf-8-sig")
    assert run("check", "marked")[0] == DONE


def test_check_of_a_module_without_pipelines_is_misuse(run) -> None:
    status, _, err = run("check", "json")
    assert (status, err) == (USAGE, "trio-steps: no pipeline at the top of 'json'\n")


def test_check_of_a_pipeline_asks_for_the_module_alone(run) -> None:
    status, _, err = run("check", "shop:checkout")
    assert (status, err) == (USAGE, "trio-steps: 'shop:checkout' is more than a module; give its name alone, 'shop'\n")


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
    page = docs_page("command-line.md")
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
