"""Diagrams of runs: the way that a run took, in marks and words."""

from __future__ import annotations

import re
from functools import partial

import pytest
import trio
from drawn import a, b, one, shown
from paths import never, raises, returns

from trio_steps import Pipeline, Recorder, Retry, fork, step, when


def classes(text):
    """Return the nodes by the name of their look."""
    return {name: ids for ids, name in re.findall(r"^  class (\S+) (\w+)$", text, re.MULTILINE)}


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
    assert shown(recorder.to_mermaid(inner))[0] == 'n1(["inner"])'  # its runs are inside the paths p0 and p1
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
    green = 'fillcolor="#e6f4ea" color="#1a7f37" fontcolor="#0d3b1e"'
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
