"""Diagrams of pipelines and forks, in Mermaid and in DOT."""

from __future__ import annotations

import html
import re
import subprocess
import sys
from functools import partial, wraps

import pytest
import trio
from drawn import a, b, one, shown

from trio_steps import CircuitBreaker, ConfigError, Pipeline, RateLimit, Recorder, Retry, fork, otherwise, step, when


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
    with pytest.raises(ConfigError, match="'signup' is not a pipeline, fork or other step: there is nothing to draw"):
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
        "max_waiting": 3,
        "rate": RateLimit(10, per=1.5),
        "total_timeout": 60,
    }
    notes = [
        "total timeout 60 s",
        "shared limit of 2",
        "3 may wait",
        "1 attempt",
        "circuit breaker",
        "10 in 1.5 s",
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
        ({"mode": "all", "rate": RateLimit(10, per=2.5)}, "f · all · 10 in 2.5 s"),
        ({"mode": "settle", "growing": True}, "f · settle · growing"),
        ({"mode": "race", "accept": bool}, "f · race · accept: bool"),
        ({"mode": "quorum", "need": 2}, "f · quorum of 2"),
        ({"mode": "race", "concurrency": trio.CapacityLimiter(7)}, "f · race · shared limit of 7"),
        ({"mode": "race", "concurrency": trio.CapacityLimiter(float("inf"))}, "f · race · shared limiter"),
        ({"mode": lambda: None}, "f · custom mode"),
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


def test_members_of_a_flow_have_edges_from_those_they_wait_for():
    p = Pipeline("p").step(
        "load",
        step(lambda: 1, id="a", provides="a"),
        step(lambda: 2, id="b", provides="b"),
        step(lambda a, b: 3, id="c", provides="c"),
        mode="flow",
    )
    lines = [line.strip() for line in p.to_mermaid().splitlines()]
    assert lines[1:9] == [
        'n1(["p"])',
        'subgraph n2["load · flow"]',
        "direction TB",
        'n3["a"]',
        'n4["b"]',
        'n5["c"]',
        "n3 --> n5",
        "n4 --> n5",
    ]


def test_repeat_is_many_rounds_of_a_frame():
    body = Pipeline("body").step("write", lambda: {"draft": 1})
    p = Pipeline("p").repeat("refine", body, until=lambda draft: draft > 1, at_most=3)
    assert shown(p.to_mermaid())[1:4] == [
        'subgraph n2["refine · until λ(draft) · 3 rounds at most"]',
        'n3["write"]',
        "end",
    ]
    p = Pipeline("p").repeat("refine", body, until=lambda draft: draft > 1, at_most=1)
    assert "1 round" in shown(p.to_mermaid())[1]


def test_step_that_waits_says_what_for_and_how_long():
    p = Pipeline("p").wait_for("approval", provides="approved").wait_for("colour", provides="hue", timeout=90)
    assert shown(p.to_mermaid())[1:3] == [
        'n2["approval<br><small>waits for approved</small>"]',
        'n3["colour<br><small>waits for hue, 90 s</small>"]',
    ]
