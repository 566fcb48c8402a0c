"""Charts: what is drawn of many runs, and on what time axis."""

from __future__ import annotations

import pytest
from paths import raises, returns, shielded
from timelines import fails

from trio_steps import Pipeline, Recorder, Retry, StepStarted, fork, race, settle, step
from trio_steps._core.scope import scope_of
from trio_steps._observers.charts import Chart, most_telling, pick, round_times
from trio_steps._observers.rows import Row


def scope(id, parent=None):
    return scope_of(id, parent, None, None, None)


def charts(events, siblings=(12,), rows=99):
    picked, earlier = pick(events, siblings=siblings, usual=rows)
    return [[row.label for row in chart.rows] for chart in picked], [row.label for row in earlier]


async def test_winner_is_not_lost_in_the_crowd():
    recorder = Recorder()
    paths = [shielded(2, f"path-{number}") for number in range(20)]
    paths[17] = returns(1, "winner")
    await race(*paths, observers=[recorder])
    ((_, *labels),), _ = charts(recorder.events, siblings=(4,))
    assert labels == ["path-0", "path-1", "winner", "… 17 more"]


async def test_first_number_of_siblings_that_keeps_to_the_rows_counts():
    recorder = Recorder()
    await settle(*(returns(1, f"{number}") for number in range(9)), observers=[recorder])
    assert charts(recorder.events, (9, 5, 3), 10) == ([["settle", *"012345678"]], [])
    assert charts(recorder.events, (9, 5, 3), 9) == ([["settle", *"0123", "… 5 more"]], [])
    assert charts(recorder.events, (9, 5, 3), 1) == ([["settle", *"01", "… 7 more"]], [])


async def test_runs_before_the_last_ones_are_earlier():
    recorder = Recorder()
    for number in range(5):
        await returns(1, f"{number}").run(observers=[recorder])
    assert charts(recorder.events, (3,)) == ([["3"], ["4"]], ["0", "1", "2"])
    assert charts(recorder.events, (5,)) == ([["0"], ["1"], ["2"], ["3"], ["4"]], [])


async def test_crowd_has_the_times_of_those_that_ran():
    recorder = Recorder()
    await race(
        *(returns(number, f"{number}") for number in range(3, 9)), concurrency=2, stagger=1, observers=[recorder]
    )
    picked, _ = pick(recorder.events, siblings=(2,), usual=99)
    crowd = picked[0].rows[-1]
    assert [row.status for row in crowd.crowd] == ["cancelled", "queued", "queued", "queued", "queued"]
    assert (crowd.start, crowd.end, crowd.ran, crowd.status) == (1, 3, True, "cancelled")
    assert crowd.said() == "1 cancelled, 4 never started"


@pytest.mark.parametrize(
    ("spans", "busy"),
    [
        ([(0, 8)], [1, 1, 1, 1]),
        ([(0, 2), (0, 8)], [2, 1, 1, 1]),
        ([(0, 3), (0, 8)], [2, 2, 1, 1]),
        ([(5, 6), (0, 8)], [1, 1, 2, 1]),
        ([(0, 1), (1, 2), (2, 3), (3, 8)], [1, 1, 1, 1]),
        ([(0, 0), (8, 8)], [1, 0, 0, 1]),
        ([(0, 0), (0, 0), (8, 8), (4, 4)], [2, 0, 1, 1]),
        ([(0, 8), (4, 4), (4, 4)], [1, 1, 3, 1]),
        ([(0, 4), (0, 4), (0, 8)], [3, 3, 1, 1]),
    ],
)
def test_crowd_is_as_busy_as_many_ran_at_once(spans, busy):
    rows = [Row("a", "a", "a", None, start, end, "succeeded") for start, end in spans]
    assert Chart.of(rows, 8).busy(rows, 4) == busy


def test_step_that_starts_the_next_one_may_do_so_thousands_of_times():
    inner, events = None, []
    for number in range(1500):
        inner = scope(f"{number}", inner)
        events.append(StepStarted(name="…", scope=inner, time=number))
    ((*labels,),), _ = charts(events)
    assert labels == [f"{number}" for number in range(1500)]


@pytest.mark.parametrize(
    ("span", "least", "times"),
    [
        (0.0, 1.0, [0]),
        (10.0, 2.0, [0, 2, 4, 6, 8, 10]),
        (10.0, 2.1, [0, 5, 10]),
        (10.0, 6.0, [0, 10]),
        (0.3, 0.125, [0, 0.2]),
    ],
)
def test_times_on_an_axis_are_round(span, least, times):
    assert list(round_times(span, least)) == times


# Which rows


async def labels(recorder, **options):
    (chart,), _ = pick(recorder.events, **{"siblings": (4,), "usual": 99, **options})
    return [row.label for row in chart.rows]


def none(values):
    """A merge that drops everything."""


async def test_steps_of_a_pipeline_are_all_there_and_so_are_members_and_cases():
    pipeline = Pipeline("p")
    for number in range(30):
        pipeline = pipeline.step(f"step-{number}", lambda: {"a": 1})
    pipeline = (
        pipeline.step("both", *[step(lambda: {"a": 1}, id=f"member-{number}") for number in range(9)])
        .step("no", lambda: {"a": 1}, condition=False)
        .for_each("each", lambda x: x, over="xs", each="x", into="ys")
        .step("fork", fork("f", mode="all", merge=none, paths=[returns(1, f"path-{number}") for number in range(9)]))
    )
    recorder = Recorder()
    await pipeline.run({"xs": [1] * 9}, observers=[recorder])
    assert await labels(recorder, siblings=(3,), usual=1) == [
        "p",
        *(f"step-{number}" for number in range(30)),
        "both",
        *(f"member-{number}" for number in range(9)),
        "no",
        "each",
        "1",
        "2",
        "… 7 more",
        "fork",
        "path-0",
        "path-1",
        "… 7 more",
    ]


async def test_paths_that_failed_were_retried_or_were_slowest_come_first():
    recorder = Recorder()
    paths = [returns(1 + number / 100, f"{number}") for number in range(40)]
    paths[5] = raises(1, OSError(), id="failed")
    paths[7] = step(fails(1, 0.1), id="retried", retry=Retry(2))
    paths[9] = returns(9, "slowest")
    paths[11] = fork("inside", mode="settle", paths=[raises(0.1, OSError())])
    await settle(*paths, observers=[recorder])
    assert await labels(recorder, siblings=(3,)) == ["settle", "failed", "retried", "… 38 more"]
    assert await labels(recorder, siblings=(4,)) == ["settle", "failed", "retried", "slowest", "… 37 more"]
    assert await labels(recorder, siblings=(6,)) == [
        "settle",
        "failed",
        "retried",
        "slowest",
        "inside",
        "bad",
        "39",
        "… 35 more",
    ]


async def test_failures_do_not_crowd_out_the_slowest():
    recorder = Recorder()
    paths = [raises(1, OSError(), id=f"{number}") for number in range(40)]
    await settle(*paths, returns(2, "slow"), observers=[recorder])
    assert await labels(recorder) == ["settle", "0", "1", "slow", "… 38 more"]


@pytest.mark.parametrize(("rows", "shown"), [(1, 3), (3, 3), (4, 4), (20, 20), (41, 41), (42, 41), (10_000, 41)])
async def test_rows_are_as_many_as_asked_for(rows, shown):
    recorder = Recorder()
    await settle(*(returns(1, f"{number}") for number in range(40)), observers=[recorder])
    assert len(await labels(recorder, rows=rows)) == shown


async def test_rows_of_a_pipeline_do_not_count():
    pipeline = Pipeline("p").step("a", lambda: {"a": 1}).step("b", lambda: {"b": 1})
    pipeline = pipeline.for_each("each", lambda x: x, over="xs", each="x", into="ys")
    recorder = Recorder()
    await pipeline.run({"xs": [1] * 9}, observers=[recorder])
    assert await labels(recorder, rows=5) == ["p", "a", "b", "each", "1", "2", "3", "… 6 more"]


def test_all_rows_are_told_in_the_end_those_that_never_ran_last():
    rows = [
        Row("queued", "queued", "queued", None, 0, 0, "queued", ran=False),
        Row("fast", "fast", "fast", None, 0, 1, "succeeded"),
        Row("slow", "slow", "slow", None, 0, 2, "succeeded"),
        Row("bad", "bad", "bad", None, 0, 0.5, "failed"),
    ]
    assert [row.id for row in most_telling(rows)] == ["bad", "slow", "fast", "queued"]
