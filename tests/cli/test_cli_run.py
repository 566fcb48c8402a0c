"""`trio-steps run`: input, output, progress, timelines, signals."""

from __future__ import annotations

import io
import json
import re
import signal
import subprocess
import sys

import pytest
from modules import write

from trio_steps._cli.commands import main
from trio_steps._cli.common import DONE, FAILED, USAGE

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
        ("order", "(char 0); give a JSON object, '{\"key\": …}', or @FILE"),
        ("@nowhere.json", "--input: [Errno 2]"),
        (" [1]", "--input: give a JSON object, '{\"key\": …}', not '[1]'"),
        ("[" * 200_000, "--input: it is nested too deep"),
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
        ["cancelled", "race/sleep_forever"],
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
    assert {"'last/interrupted'", "'last/slow_cleanup'"} == set(last.removeprefix("unfinished: ").split(", "))


def test_run_that_is_terminated_does_the_same(run) -> None:
    status, _, err = run("run", "shop:stopped_sigterm", "-q")
    assert status == 143
    assert err == "interrupted: cleaning up …\nunfinished: 'last'\n"


@pytest.mark.parametrize(("name", "cause"), [("SIGINT", "Ctrl-C"), ("SIGTERM", "SIGTERM"), ("SIGHUP", "SIGHUP")])
def test_run_that_is_stopped_says_by_which_signal(run, shop, name, cause) -> None:
    write(
        shop / f"by_{name.lower()}.py",
        f"""
        import signal, trio
        from trio_steps import Pipeline

        async def wait():
            signal.raise_signal(signal.{name})
            await trio.sleep_forever()

        p = Pipeline("p").step("wait", wait)
        """,
    )
    status, _, err = run("run", f"by_{name.lower()}:p")
    assert status == 128 + getattr(signal, name)
    assert re.search(rf"cancelled  wait  .*  {cause}$", err, re.MULTILINE)


def test_signal_that_is_ignored_stays_ignored(run, shop) -> None:
    write(
        shop / "ignoring.py",
        """
        import signal
        from trio_steps import Pipeline

        p = Pipeline("p").step("go-on", lambda: signal.raise_signal(signal.SIGHUP))
        """,
    )
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        status, out, _ = run("run", "ignoring:p", "-q")
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
    assert (status, json.loads(out)) == (DONE, {})


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
