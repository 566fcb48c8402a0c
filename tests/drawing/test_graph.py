"""Diagrams: what is drawn of steps and of runs, and that no name breaks either language."""

from __future__ import annotations

import html
import re
import subprocess
import sys
from functools import partial, wraps
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from paths import never, raises, returns

from trio_steps import CircuitBreaker, ConfigError, Pipeline, Recorder, Retry, fork, otherwise, step, when
from trio_steps._drawing.dot import to_dot
from trio_steps._drawing.graph import Edge, Graph, Node
from trio_steps._drawing.mermaid import to_mermaid


def shown(text):
    """The nodes, frames and edges of a Mermaid diagram, a line each; without its looks."""
    lines = [line.strip() for line in text.splitlines()[1:]]
    return [line for line in lines if not line.startswith(("direction ", "classDef ", "class "))]


def classes(text):
    """Which nodes have which look, by the name of that."""
    return {name: ids for ids, name in re.findall(r"^  class (\S+) (\w+)$", text, re.MULTILINE)}


def one(text):
    """The one node of a Mermaid diagram."""
    [line] = shown(text)
    return line


async def a(x=0):
    pass


async def b(x=0):
    pass


def is_big(x):
    return x > 1


# ---- Pipelines ----

EVERYTHING = (
    Pipeline("all of it")
    .step("load", a, retry=Retry(3), timeout=2.0)
    .step("look", a, step(b, id="there", timeout=0.5), Pipeline("inner").step(a).step(b), mode="settle", timeout=5.0)
    .step("think", b, condition=is_big, on_error="continue")
    .branch_on(
        "route",
        when(is_big, lambda p: p.step("many", a).step("more", b), name="big"),
        when(lambda y: y, Pipeline("odd").step("few", a)),
    )
    .step("nested", Pipeline("whatever").step(a).step(b))
    .for_each("each", a, over="xs", each="x", into="ys", concurrency=4)
    .transform("end", lambda ys: {"ys": ys})
)


def test_pipeline_as_mermaid():
    assert EVERYTHING.to_mermaid() == (
        """\
flowchart TB
  n1(["all of it"])
  n2["load<br><small>3 attempts</small><br><small>timeout 2 s</small>"]
  subgraph n3["look · settle · timeout 5 s"]
    direction TB
    n4["a"]
    n5["there<br><small>timeout 0.5 s</small>"]
    subgraph n6["inner"]
      direction TB
      n7["a"]
      n8["b"]
      n7 --> n8
    end
  end
  n9["think<br><small>if is_big</small><br><small>on error: continue</small>"]
  n10{"route"}
  n11["many"]
  n12["more"]
  n13["few"]
  subgraph n14["nested"]
    direction TB
    n15["a"]
    n16["b"]
    n15 --> n16
  end
  n17[["each<br><small>for each x of xs</small><br><small>4 at a time</small>"]]
  n18{{"end<br><small>replaces the context</small>"}}
  n1 --> n2
  n2 --> n3
  n3 --> n9
  n9 --> n10
  n10 -->|"big: is_big"| n11
  n11 --> n12
  n10 -->|"odd: λ(y)"| n13
  n12 --> n14
  n13 --> n14
  n10 -->|"otherwise"| n14
  n14 --> n17
  n17 --> n18
  classDef frame fill:transparent,stroke:#9aa0a6
  class n3,n6,n14 frame
  classDef maybe stroke-dasharray:5 3
  class n9 maybe"""
    )


def test_pipeline_as_dot():
    pipeline = (
        Pipeline("p")
        .step("look", a, Pipeline("inner").step(a).step(b), timeout=5.0)
        .branch_on(
            "route", when(is_big, lambda p: p.step("many", a), name="big"), otherwise(lambda p: p.step("few", b))
        )
        .for_each("each", a, over="xs", each="x", into="ys")
        .transform("end", lambda ys: {"ys": ys}, condition=is_big)
    )
    assert pipeline.to_dot() == (
        """\
digraph {
  rankdir=TB compound=true fontname=Helvetica fontsize=12 color="#9aa0a6" fillcolor=transparent
  node [fontname=Helvetica fontsize=13 fillcolor="#eef0fb" color="#7b83c4"]
  edge [fontname=Helvetica fontsize=11 color="#666666"]
  n1 [label=<p> shape=oval style="filled"]
  subgraph cluster_n2 {
    label=<look · all · timeout 5 s> style="filled,rounded"
    n3 [label=<a> shape=box style="filled,rounded"]
    subgraph cluster_n4 {
      label=<inner> style="filled,rounded"
      n5 [label=<a> shape=box style="filled,rounded"]
      n6 [label=<b> shape=box style="filled,rounded"]
      n5 -> n6
    }
  }
  n7 [label=<route> shape=diamond style="filled"]
  n8 [label=<many> shape=box style="filled,rounded"]
  n9 [label=<few> shape=box style="filled,rounded"]
  n10 [label=<each<br/><font point-size="10">for each x of xs</font>> shape=box peripheries=2 style="filled,rounded"]
  n11 [label=<end<br/><font point-size="10">if is_big</font><br/><font point-size="10">replaces the context</font>> \
shape=hexagon style="filled,dashed"]
  n1 -> n5 [lhead=cluster_n2]
  n6 -> n7 [ltail=cluster_n2]
  n7 -> n8 [label=<&#160;big: is_big&#160;>]
  n7 -> n9 [label=<&#160;otherwise&#160;>]
  n8 -> n10
  n9 -> n10
  n10 -> n11
}"""
    )


def test_direction_right_holds_inside_frames_too():
    text = Pipeline("p").step("both", a, b).to_mermaid(direction="right")
    assert text.splitlines()[0] == "flowchart LR"
    assert "    direction LR" in text.splitlines()
    assert "rankdir=LR" in Pipeline("p").to_dot(direction="right")


def test_arguments_that_make_no_sense_are_refused():
    with pytest.raises(ConfigError, match='direction=\'up\': use "down" or "right"'):
        EVERYTHING.to_dot(direction="up")
    with pytest.raises(ConfigError, match="'signup' is no pipeline, fork or other step: there is nothing to draw"):
        Recorder().to_mermaid("signup")


def test_pipeline_without_steps_is_its_name():
    assert one(Pipeline("p").to_mermaid()) == 'n1(["p"])'


def test_nested_pipeline_without_steps_is_a_node():
    assert shown(Pipeline("p").step("inner", Pipeline("i")).to_mermaid())[1] == 'n2["inner"]'


def test_first_steps_of_cases_come_after_the_decision_and_the_next_after_the_last_of_each():
    pipeline = Pipeline("p").branch_on("b", when(is_big, lambda p: p), otherwise(lambda p: p.step(a))).step(b)
    assert shown(pipeline.to_mermaid())[-4:] == [
        "n1 --> n2",
        'n2 -->|"otherwise"| n3',
        'n2 -->|"case-1: is_big"| n4',
        "n3 --> n4",
    ]


def test_condition_is_named_or_shown_by_what_it_asks_for():
    class Check:
        def __call__(self, x, y=1):
            return True

    pipeline = Pipeline("p")
    for name, condition in (("f", is_big), ("λ", lambda x, y=1: x), ("partial", partial(is_big, x=1)), ("o", Check())):
        pipeline = pipeline.step(name, a, condition=condition)
    pipeline = pipeline.step("off", a, condition=False).step("on", a, condition=True)
    assert [re.sub(r".*<small>(.*)</small>.*", r"\1", line) for line in shown(pipeline.to_mermaid())[1:7]] == [
        "if is_big",
        "if λ(x, y)",
        "if is_big",
        "if Check",
        "never",
        'n7["on"]',
    ]


def test_policies_are_notes_in_the_order_in_which_they_apply():
    policies = {
        "timeout": 0.25,
        "retry": Retry(1),
        "circuit_breaker": CircuitBreaker(3, 1.0),
        "limiter": trio.CapacityLimiter(2),
        "total_timeout": 60,
    }
    notes = [
        "total timeout 60 s",
        "shared limit of 2",
        "circuit breaker",
        "1 attempt",
        "timeout 0.25 s",
    ]
    text = "".join(f"<br><small>{note}</small>" for note in notes)
    assert shown(Pipeline("p").step("s", a, **policies).to_mermaid())[1] == f'n2["s{text}"]'
    assert shown(Pipeline("p").step("s", step(a, **policies)).to_mermaid())[1] == f'n2["s{text}"]'


def test_failure_that_is_forgiven_is_a_note():
    pipeline = Pipeline("p").step("s", a, on_error="skip-remaining")
    assert shown(pipeline.to_mermaid())[1] == 'n2["s<br><small>on error: skip the rest</small>"]'


def test_for_each_that_settles_says_so():
    pipeline = Pipeline("p").for_each("e", a, over="xs", each="x", into="ys", mode="settle", timeout=1)
    assert shown(pipeline.to_mermaid())[1] == (
        'n2[["e<br><small>for each x of xs</small><br><small>settle</small><br><small>timeout 1 s</small>"]]'
    )


def test_step_of_a_function_is_a_box_with_its_policies():
    patient = step(a, id="patient", retry=Retry(2), timeout=3)
    assert shown(patient.to_mermaid()) == ['n1["patient<br><small>2 attempts</small><br><small>timeout 3 s</small>"]']
    assert shown(step(a).to_mermaid()) == ['n1["a"]']
    assert '  n1 [label=<a> shape=box style="filled,rounded"]' in step(a).to_dot()


def test_members_without_a_name_have_that_of_their_function_or_their_position():
    text = Pipeline("p").step("both", a, lambda x=0: None, partial(b, 1), step(a, id="1st")).to_mermaid()
    assert shown(text)[2:6] == ['n3["a"]', 'n4["λ(x)"]', 'n5["b"]', 'n6["1st"]']


# ---- Forks ----


@pytest.mark.parametrize(
    ("options", "title"),
    [
        ({"mode": "race", "stagger": 0.25}, "f · race · stagger 0.25 s"),
        ({"mode": "all", "concurrency": 3, "merge": list}, "f · all · 3 at a time · merge: list"),
        ({"mode": "settle", "timeout": 2}, "f · settle · timeout 2 s"),
        ({"mode": "quorum", "need": 2}, "f · quorum of 2"),
        ({"mode": "race", "concurrency": trio.CapacityLimiter(7)}, "f · race · shared limit of 7"),
        ({"mode": "race", "concurrency": trio.CapacityLimiter(float("inf"))}, "f · race · shared limiter"),
        ({"mode": lambda: None}, "f · a mode of its own"),
        ({"mode": "all", "merge": lambda values: values}, "f · all · merge: λ"),
        ({"mode": "all", "merge": partial(sorted, reverse=True)}, "f · all · merge: sorted"),
    ],
)
def test_fork_is_a_frame_that_says_how_it_decides(options, title):
    text = fork("f", paths=[a, b], **options).to_mermaid()
    assert [html.unescape(line.replace("#", "&#")) for line in shown(text)] == [
        f'subgraph n1["{title}"]',
        'n2["a"]',
        'n3["b"]',
        "end",
    ]


def test_edges_of_a_frame_in_dot_are_drawn_from_its_middle_and_below_all_that_is_in_it():
    def edges(*members):
        text = Pipeline("p").step("before", a).step("both", *members).step("after", b).to_dot()
        return [line.strip() for line in text.splitlines() if "lhead" in line or "ltail" in line]

    row = Pipeline("row").step("one", a).step("two", b)
    assert edges(a, b, a) == ["n2 -> n5 [lhead=cluster_n3]", "n5 -> n7 [ltail=cluster_n3]"]
    assert edges(row, a, b) == ["n2 -> n7 [lhead=cluster_n3]", "n6 -> n9 [ltail=cluster_n3]"]


def test_fork_as_dot_keeps_the_order_of_paths():
    assert fork("f", mode="race", paths=[a, b]).to_dot().splitlines()[4:] == [
        "  subgraph cluster_n1 {",
        '    label=<f · race> style="filled,rounded"',
        '    n2 [label=<a> shape=box style="filled,rounded"]',
        '    n3 [label=<b> shape=box style="filled,rounded"]',
        "    { rank=same n2 -> n3 [style=invis] }",
        "  }",
        "}",
    ]


def links(topic):
    return [a]


@pytest.mark.parametrize(
    ("paths", "note"),
    [
        (links, "paths from links"),
        (lambda topic: [a], "paths from λ"),
        (dict.fromkeys([a, b]).keys(), "paths from dict_keys"),
        ([], "0 paths"),
        ([a] * 21, "21 paths"),
    ],
)
def test_paths_that_are_not_known_or_too_many_are_one_node(paths, note):
    text = fork("f", mode="race", paths=paths).to_mermaid()
    assert one(text) == f'n1[["f<br><small>race</small><br><small>{note}</small>"]]'


def test_twenty_paths_are_drawn_one_by_one():
    assert len(shown(fork("f", mode="race", paths=[a] * 20).to_mermaid())) == 22


def test_paths_are_drawn_as_what_they_are():
    paths = [
        step(a, id="patient", retry=Retry(2)),
        Pipeline("inner").step(a),
        fork("g", mode="all", paths=[b]),
        partial(step(fork("h", mode="all", paths=[b]), timeout=1), 5),
    ]
    nodes = [
        'n2["patient<br><small>2 attempts</small>"]',
        'subgraph n3["inner"]',
        'n4["a"]',
        "end",
        'subgraph n5["g · all"]',
        'n6["b"]',
        "end",
        'subgraph n7["h · timeout 1 s · all"]',
        'n8["b"]',
        "end",
    ]
    assert shown(fork("f", mode="race", paths=paths).to_mermaid())[1:-1] == nodes


def test_fork_as_a_step_of_a_pipeline_is_drawn_like_the_fork():
    inner = fork("g", mode="all", paths=[b])
    lazy = fork("l", mode="all", paths=links)
    branch = fork("f", mode="race", paths=[step(a, timeout=1), b, inner, lazy, Pipeline("i").step(a)], timeout=2)
    alone = shown(branch.to_mermaid())
    inside = shown(Pipeline("p").step(branch).to_mermaid())[1:-1]
    assert [re.sub(r"n\d+", "n", line) for line in inside] == [re.sub(r"n\d+", "n", line) for line in alone]


def test_function_that_wraps_itself_is_drawn():
    @wraps(a)
    async def odd():
        pass

    odd.__wrapped__ = odd
    assert shown(fork("f", mode="race", paths=[odd]).to_mermaid())[1] == 'n2["a"]'


def test_drawing_is_not_imported_until_it_is_asked_for():
    program = (
        "import sys, trio_steps; print([name for name in sys.modules if name.endswith(('.outline', '_drawing.graph'))])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# ---- Runs ----


async def test_run_leaves_marks_and_words():
    flow = (
        Pipeline("flow")
        .step("race", returns(1, {}, id="quick"), step(never, id="slow"), mode="race")
        .step("skip", a, condition=lambda: False)
        .step("all", returns(1, {}, id="fine"), raises(2, OSError(), id="bad"), step(a, id="late"), mode="all")
        .step("after", a)
    )
    recorder = Recorder()
    with pytest.raises(Exception, match="1 of 3 paths failed"):
        await flow.run({}, observers=[recorder])
    text = recorder.to_mermaid(flow)
    assert shown(text) == [
        'n1(["✗ flow<br><small>failed: ForkPartialError</small>"])',
        'subgraph n2["✓ race · race"]',
        'n3["★ quick<br><small>won</small>"]',
        "n4[\"⊘ slow<br><small>cancelled: path 'quick' won</small>\"]",
        "end",
        'n5["» skip<br><small>if λ()</small><br><small>skipped</small>"]',
        'subgraph n6["✗ all · all · failed: ForkPartialError"]',
        'n7["✓ fine"]',
        'n8["✗ bad<br><small>failed: OSError</small>"]',
        'n9["✓ late"]',
        "end",
        'n10["after"]',
        "n1 ==> n2",
        "n2 ==> n5",
        "n5 ==> n6",
        "n6 -.-> n10",
    ]
    assert classes(text) == {
        "failed": "n1,n6,n8",
        "succeeded": "n2,n7,n9",
        "won": "n3",
        "cancelled": "n4",
        "skipped": "n5",
        "maybe": "n5",
        "unreached": "n10",
    }


async def test_run_marks_paths_that_never_started_and_steps_that_go_on():
    recorder = Recorder()
    race = fork("race", mode="race", paths=[returns(1, 1, id="a"), returns(1, 2, id="b")], concurrency=1)
    await race.run(observers=[recorder])
    assert shown(recorder.to_mermaid(race))[1:-1] == [
        'n2["★ a<br><small>won</small>"]',
        'n3["· b<br><small>never started</small>"]',
    ]
    flow = Pipeline("flow").step("wait", lambda: drawn.append(recorder.to_mermaid(flow))).step(a)
    drawn = []
    await flow.run(observers=[recorder])
    assert shown(drawn[0]) == [
        'n1(["▸ flow<br><small>still running</small>"])',
        'n2["▸ wait<br><small>still running</small>"]',
        'n3["a"]',
        "n1 ==> n2",
        "n2 -.-> n3",
    ]


async def test_run_that_was_retried_is_drawn_as_its_last_attempt():
    attempts = []

    def first():
        attempts.append(1)
        if len(attempts) == 2:
            raise OSError

    async def second():
        await trio.sleep(1)
        if len(attempts) < 3:
            raise OSError

    recorder = Recorder()
    inner = Pipeline("inner").step(first).step(second)
    flow = Pipeline("flow").step(inner, retry=Retry(3))
    await flow.run(observers=[recorder])
    assert shown(recorder.to_mermaid(flow)) == [
        'n1(["✓ flow"])',
        'subgraph n2["✓ inner · 3 attempts · 2 retries"]',
        'n3["✓ first"]',
        'n4["✓ second"]',
        "n3 ==> n4",
        "end",
        "n1 ==> n2",
    ]


async def test_run_does_not_show_what_only_an_earlier_attempt_came_to():
    async def first():
        await trio.sleep(1)
        if trio.current_time() > 3:
            raise FileNotFoundError

    async def second():
        await trio.sleep(1)
        raise FileNotFoundError

    recorder = Recorder()
    flow = Pipeline("flow").step(Pipeline("inner").step(first).step(second), retry=Retry(2, delay=1))
    with pytest.raises(FileNotFoundError):
        await flow.run(observers=[recorder])
    assert trio.current_time() == 4
    assert shown(recorder.to_mermaid(flow))[2:4] == [
        'n3["✗ first<br><small>failed: FileNotFoundError</small>"]',
        'n4["second"]',
    ]


async def test_run_that_is_drawn_is_the_last_one_of_that_step_wherever_it_was():
    inner = Pipeline("inner").step("check", lambda x: {"y": 1 / x})
    outer = fork("outer", mode="settle", paths=lambda xs: [step(partial(inner, {"x": x}), id=f"p{x}") for x in xs])
    recorder = Recorder()
    await outer.run([0, 1], observers=[recorder])
    assert shown(recorder.to_mermaid(inner))[0] == 'n1(["inner"])'  # its runs are those of the paths p0 and p1
    await inner.run({"x": 1}, observers=[recorder])
    with pytest.raises(ZeroDivisionError):
        await inner.run({"x": 0}, observers=[recorder])
    assert shown(recorder.to_mermaid(inner))[1] == 'n2["✗ check<br><small>failed: ZeroDivisionError</small>"]'

    async def calls_inner():
        return await inner({"x": 2})

    await step(calls_inner).run(observers=[recorder])
    assert shown(recorder.to_mermaid(inner))[1] == 'n2["✓ check"]'


async def test_run_counts_what_it_did_for_each_element_and_each_path_that_is_not_drawn():
    async def half(x):
        if x % 2:
            raise ValueError

    recorder = Recorder()
    flow = Pipeline("flow").for_each("each", half, over="xs", each="x", into="ys", mode="settle")
    await flow.run({"xs": [1, 2, 3]}, observers=[recorder])
    assert shown(recorder.to_mermaid(flow))[1] == (
        'n2[["✓ each<br><small>for each x of xs</small><br><small>settle</small>'
        '<br><small>2 failed, 1 succeeded</small>"]]'
    )
    lazy = fork("lazy", mode="all", paths=lambda xs: [partial(half, x) for x in xs])
    await lazy.run([2, 4], observers=[recorder])
    assert one(recorder.to_mermaid(lazy)).endswith('<br><small>2 succeeded</small>"]]')


async def test_run_of_a_pipeline_for_each_element_is_told_together():
    def check(x):
        if x > 1:
            raise ValueError

    inner = Pipeline("inner").step(a).step(check)
    recorder = Recorder()
    flow = Pipeline("flow").for_each("each", inner, over="xs", each="x", into="ys", mode="settle")
    await flow.run({"xs": [1, 2, 3]}, observers=[recorder])
    assert shown(recorder.to_mermaid(flow))[1:6] == [
        'subgraph n2["✓ each · for each x of xs · settle · 2 failed, 1 succeeded"]',
        'n3["✓ a<br><small>3 succeeded</small>"]',
        'n4["✗ check<br><small>2 failed, 1 succeeded</small>"]',
        "n3 ==> n4",
        "end",
    ]


async def test_steps_that_are_kept_out_of_logs_are_drawn_but_not_in_a_run():
    recorder = Recorder()
    flow = Pipeline("flow").step("seen", a).step("quiet", a, log=False).step("last", a)
    await flow.run(observers=[recorder])
    assert shown(flow.to_mermaid())[1:4] == ['n2["seen"]', 'n3["quiet"]', 'n4["last"]']
    assert shown(recorder.to_mermaid(flow)) == [
        'n1(["✓ flow"])',
        'n2["✓ seen"]',
        'n3["✓ last"]',
        "n1 ==> n2",
        "n2 ==> n3",
    ]


@pytest.mark.parametrize(
    ("x", "way"),
    [
        (1, ['n2 ==>|"case-1: λ(x)"| n3', 'n2 -.->|"case-2: λ(x)"| n4', "n3 ==> n4", 'n2 -.->|"otherwise"| n4']),
        (2, ['n2 -.->|"case-1: λ(x)"| n3', 'n2 -.->|"case-2: λ(x)"| n4', "n3 -.-> n4", 'n2 -.->|"otherwise"| n4']),
    ],
)
async def test_way_around_the_cases_of_a_branch_is_not_guessed(x, way):
    flow = (
        Pipeline("flow")
        .branch_on("b", when(lambda x: x == 1, lambda p: p.step(a)), when(lambda x: x == 2, lambda p: p))
        .step("next", b)
    )
    recorder = Recorder()
    await flow.run({"x": x}, observers=[recorder])
    assert sorted(shown(recorder.to_mermaid(flow))[-4:]) == sorted(way)


async def test_way_around_a_branch_is_shown_when_there_is_but_one():
    flow = Pipeline("flow").branch_on("b", when(lambda x: x == 1, lambda p: p.step(a))).step("next", b)
    recorder = Recorder()
    await flow.run({"x": 2}, observers=[recorder])
    assert shown(recorder.to_mermaid(flow))[-3:] == [
        'n2 -.->|"case-1: λ(x)"| n3',
        "n3 -.-> n4",
        'n2 ==>|"otherwise"| n4',
    ]


async def test_run_as_dot():
    recorder = Recorder()
    flow = Pipeline("flow").step(fork("race", mode="race", paths=[a])).step("next", b)
    await flow.run(observers=[recorder], on_step_complete=lambda event: event.stop())
    green = 'fillcolor="#e6f4ea" color="#1e8e3e" fontcolor="#0d3b1e"'
    bright = 'fillcolor="#b7e1c1" color="#0b6b2c" fontcolor="#06290f"'
    gray = 'fillcolor="transparent" color="#9aa0a6" fontcolor="#80868b"'
    assert recorder.to_dot(flow).splitlines()[4:-1] == [
        f'  n1 [label=<✓ flow> shape=oval style="filled" {green}]',
        "  subgraph cluster_n2 {",
        f'    label=<✓ race · race> style="filled,rounded" {green}',
        f'    n3 [label=<★ a<br/><font point-size="10">won</font>> shape=box style="filled,rounded" {bright}]',
        "  }",
        f'  n4 [label=<next> shape=box style="filled,rounded" {gray}]',
        "  n1 -> n3 [lhead=cluster_n2 penwidth=2]",
        "  n3 -> n4 [ltail=cluster_n2 style=dashed]",
    ]


async def test_recorder_that_has_seen_nothing_draws_a_way_not_taken():
    text = Recorder().to_mermaid(Pipeline("flow").step(a))
    assert shown(text) == ['n1(["flow"])', 'n2["a"]', "n1 -.-> n2"]
    assert classes(text) == {"unreached": "n1,n2"}


# ---- Names ----

MERMAID_LABEL = r"(?:[^\x00-\x7f]|[\w .,()/'-]|: |#\d+;|</?small>|<br>)*"
MERMAID_LINE = re.compile(
    r" *(?:"
    rf'n\d+(?:\(\[|\[\[|\[|\{{\{{|\{{)"(?P<label>{MERMAID_LABEL})"(?:\]\)|\]\]|\]|\}}\}}|\}})|'
    rf'subgraph n\d+\["(?P<title>{MERMAID_LABEL})"\]|'
    rf'n\d+ (?:-->|==>|-\.->)(?:\|"(?P<edge>{MERMAID_LABEL})"\|)? n\d+|'
    r"end|direction TB|flowchart TB|classDef \w+ [\w#:,-]+|class [n\d,]+ \w+)"
)
DOT_TOKEN = re.compile(r'\s*(?:->|[{}\[\]=]|[\w.-]+|"[^"\\]*"|<(?P<html>(?:[^<>\]\\]|\\\\|<[^<>]*>)*)>)\s*')


def seen(name):
    """What is to be seen of a name: one line of what can be seen, and something."""
    return " ".join("".join(c if c.isprintable() or c.isspace() else "\ufffd" for c in name).split()) or "␣"


def graph_of(names):
    """A graph in which each name stands wherever one can: as a label, a title, a note, and at an edge."""
    nodes = [Node(kind="step", label=name, name=str(number), notes=(name,)) for number, name in enumerate(names)]
    frame = Node(kind="frame", label=names[0], name="frame", notes=(names[0],), inside=Graph((nodes.pop(0),)))
    edges = [Edge(frame, node, node.label) for node in nodes]
    return Graph((frame, *nodes), tuple(edges))


SPECIAL = st.sampled_from(
    ["]]", "\\n", "\\G", "$$", "fa:fa-x", "%%", '"', "`", "<", ">", "&lt;", "#35;", "end", "\ud800"]
)
NAMES = st.lists(st.lists(SPECIAL | st.text(min_size=1), min_size=1).map("".join), min_size=2, max_size=3)


@given(NAMES)
def test_names_are_quoted_in_mermaid(names):
    first, *others = map(seen, names)
    lines = [MERMAID_LINE.fullmatch(line) for line in to_mermaid(graph_of(names)).split("\n")]

    def texts(group):
        found = [html.unescape(line[group].replace("#", "&#")) for line in lines if line[group] is not None]
        assert not [text for text in found if re.search(r"\\n|\$\$|:fa-", text)]
        return [text.replace("\u200b", "") for text in found]

    assert texts("title") == [f"{first} · {first}"]
    assert texts("label") == [f"{name}<br><small>{name}</small>" for name in [first, *others]]
    assert texts("edge") == others


@given(NAMES)
def test_names_are_quoted_in_dot(names):
    first, *others = map(seen, names)
    text = to_dot(graph_of(names))
    text.encode()
    texts, at = [], 0
    while at < len(text):
        token = DOT_TOKEN.match(text, at)
        if token["html"] is not None:
            label = ET.fromstring(f"<label>{token['html']}</label>")
            texts.append("|".join(label.itertext()).replace("\\\\", "\\"))
        at = token.end()
    nodes = [f"{name}|{name}" for name in others]
    assert texts == [f"{first} · {first}", f"{first}|{first}", *nodes, *(f"\xa0{name}\xa0" for name in others)]


def test_page_shows_the_diagrams_that_its_programs_print():
    page = (Path(__file__).parent.parent.parent / "docs" / "diagrams.md").read_text(encoding="utf-8")
    printed, drawn = (
        re.findall(rf"^```{kind}\n(.*?)^```$", page, re.DOTALL | re.MULTILINE) for kind in ("text", "mermaid")
    )
    assert len(printed) == 2
    assert printed == drawn
