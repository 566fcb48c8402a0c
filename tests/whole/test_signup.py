"""The pipeline example, run as a user runs it: in a new process, over real sockets."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from functools import partial

import pytest
import trio
from places import EXAMPLES

from trio_steps import Pipeline

INPUT = EXAMPLES / "signup.json"
RESULT = {
    "account": "ada-1815",
    "greeting": "Welcome, Ada Lovelace! A friend told you about us",
    "benefits": ["all features", "a desk for Analytical Engines", "bill ada-1815/1"],
    "thumbnails": [f"https://thumbnails.example/ada-1815/{name}.png" for name in ("portrait", "engine", "notes")],
    "verdict": "nobody had to look",
    "sent_by": "post",
}


@pytest.fixture(scope="module")
def run(python):
    """Run the example, and return what it prints: the flow, the timeline and the rest, or the error."""

    def run(*arguments, code=0):
        done = python.run(EXAMPLES / "signup.py", *arguments)
        assert done.returncode == code, done.stderr
        if code:
            assert done.stdout == ""
            return done.stderr
        assert done.stderr == ""
        return done.stdout.split("\n\n")

    return run


def steps(flow):
    """Return the lines of the flow, in alphabetical order where steps run side by side."""
    lines = flow.splitlines()
    together = [line for line in lines if re.search(r"look-up/|thumbnails/|send/", line)]
    names = sorted(together, key=lambda line: line.split()[1])
    return [names.pop(0) if line in together else line for line in lines]


WHOLE_FLOW = [
    "✓ tidy",
    "↻ open-account: ServiceError('busy'), once more in 0.05 s",
    "↻ open-account: ServiceError('busy'), once more in 0.1 s",
    "✓ open-account",
    "✓ look-up/company",
    "⊘ look-up/referrer: fork 'look-up': timed out after 0.5 s",
    "✓ look-up/risk",
    "✓ look-up",
    "» review: its condition does not hold",
    "✓ plan/premium/bill",
    "✓ plan/premium/benefits",
    "✓ plan",
    "✓ thumbnails/1",
    "✓ thumbnails/2",
    "✓ thumbnails/3",
    "✓ thumbnails",
    "✓ welcome/write",
    "⊘ welcome/send/pigeon: fork 'send': path 'post' won",
    "✓ welcome/send/post",
    "✓ welcome/send",
    "✓ welcome",
    "✓ sum-up",
    "✓ signup",
]


def succeeded(flow):
    """Return the lines of the flow about steps that succeeded, except steps that contain others."""
    lines = [line for line in flow.splitlines() if line.startswith("✓") and line != "✓ signup"]
    return [line for line in lines if not any(other.startswith(f"{line}/") for other in WHOLE_FLOW)]


@pytest.fixture(scope="module")
def whole(run):
    """The output of a whole run."""
    return run(INPUT, "--mermaid")


def test_flow_is_printed_as_it_runs(whole):
    assert steps(whole[0]) == WHOLE_FLOW


def test_summary_is_a_timeline(whole):
    names = re.findall(r"^ *[✓✗⊘»★] (\S+)", whole[1], re.MULTILINE)
    assert names == [
        "signup",
        "tidy",
        "open-account",
        "look-up",
        *("risk", "company", "referrer"),
        "review",
        "plan",
        *("premium/bill", "premium/benefits"),
        "thumbnails",
        *("1", "2", "3"),
        "welcome",
        *("write", "send", "post", "pigeon"),
        "sum-up",
    ]


def test_result_is_printed_as_json(whole):
    assert json.loads(whole[-1]) == RESULT


def test_mermaid_of_a_run_shows_the_way_it_took(whole):
    assert whole[2].startswith('flowchart TB\n  n1(["✓ signup"])\n')
    assert '  n9 ==>|"premium: is_premium"| n10\n' in whole[2]
    assert '  n9 -.->|"trial: is_trial"| n12\n' in whole[2]


def test_mermaid_alone_runs_nothing(run):
    [text] = run("--mermaid")
    assert text.startswith('flowchart TB\n  n1(["signup"])\n')


def test_somebody_risky_is_reviewed_and_another_plan_takes_another_branch(run, tmp_path):
    file = tmp_path / "input.json"
    file.write_text(json.dumps({"name": "bot", "email": "bot@example.com", "plan": "trial", "photos": []}))
    flow, *_, result = run(file)
    assert [line for line in flow.splitlines() if "review" in line or "plan" in line] == [
        "✓ review",
        "✓ plan/trial/benefits",
        "✓ plan",
    ]
    assert json.loads(result)["verdict"] == "a person, I think"
    assert json.loads(result)["benefits"] == ["all features, for a month"]
    assert json.loads(result)["thumbnails"] == []


@pytest.mark.parametrize("name", ["look-up/risk", "plan/premium/bill", "welcome/write"])
def test_run_that_was_stopped_goes_on_in_a_new_process_and_does_nothing_twice(run, name, tmp_path):
    checkpoint = tmp_path / "checkpoint.json"
    before, _, told = run(INPUT, "--stop-after", name, "--checkpoint", checkpoint)
    assert told == f"stopped after {name!r}; to go on: --resume {checkpoint}\n"
    after, *_, result = run("--resume", checkpoint)
    assert json.loads(result) == RESULT
    assert f"✓ {name}" in before
    assert sorted(succeeded(before) + succeeded(after)) == sorted(succeeded("\n".join(WHOLE_FLOW)))


def test_ctrl_c_cancels_and_says_what_was_unfinished():
    process = subprocess.Popen(
        [sys.executable, EXAMPLES / "signup.py", INPUT, "--slow", "1000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env={**os.environ, "PYTHONUTF8": "1", "PYTHONWARNINGS": "error"},
    )
    assert process.stdout.readline() == "✓ tidy\n"
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    flow, _, last = stdout.split("\n\n")
    # The reasons are not compared: Trio gives its own if the interrupt arrives just as a socket becomes ready.
    assert [line.partition(":")[0] for line in flow.splitlines()] == ["⊘ open-account", "⊘ signup"]
    assert (last, stderr, process.returncode) == ("interrupted\n", "", 130)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (None, "No such file or directory"),
        ("{", "Expecting property name enclosed in double quotes"),
        (
            '{"name": "Ada", "email": "a@b.c", "plan": "basic", "photos": [1]}',
            'this is not a sign-up; write {"name": "…", "email": "…"',
        ),
    ],
)
def test_input_that_is_no_signup_is_refused(run, content, complaint, tmp_path):
    file = tmp_path / "input.json"
    if content is not None:
        file.write_text(content)
    error = run(file, code=2)
    assert f"error: argument input: {file}: " in error
    assert complaint in error


def test_checkpoint_that_is_none_or_of_another_pipeline_is_refused(run, tmp_path):
    file = tmp_path / "checkpoint.json"
    file.write_text("{}")
    assert f"error: argument --resume: {file}: " in run("--resume", file, code=2)
    sign_out = Pipeline("sign-out").step("tidy", lambda: None)
    trio.run(partial(sign_out.run, on_step_complete=lambda event: file.write_text(event.checkpoint.to_json())))
    assert "error: the checkpoint is of the pipeline 'sign-out', not of 'signup'" in run("--resume", file, code=2)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "give an input file, or --resume FILE, or --mermaid"),
        ([INPUT, "--resume", INPUT], "error: argument"),
        ([INPUT, "--stop-after", "tidy"], "--stop-after STEP and --checkpoint FILE go together"),
        ([INPUT, "--stop-after", "nap", "--checkpoint", "x"], "argument --stop-after: invalid choice: 'nap'"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(run, arguments, complaint):
    assert complaint in run(*arguments, code=2)
