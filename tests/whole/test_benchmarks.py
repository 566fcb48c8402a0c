"""The benchmarks at tiny sizes: what they check and print is tested, not the times."""

from __future__ import annotations

import contextlib
import copy
import functools
import inspect
import json
import re
import subprocess
import sys

import outcome
import pytest
import trio
from places import ROOT

sys.path.insert(0, str(ROOT))

from benchmarks import __main__ as command
from benchmarks import (
    durable,
    fanout,
    gated,
    imports,
    instructions,
    latency,
    memory,
    pipelines,
    report,
    small,
    svg,
    width,
)
from benchmarks.measure import (
    DifferentResultError,
    Figure,
    PeerRow,
    Row,
    Settings,
    Target,
    figure_of,
    judge,
)
from benchmarks.work import Way, check_needs_all, check_races, check_settles

pytestmark = pytest.mark.long  # the measured code runs many times

TINY = Settings(rounds=2, quick=True, scale=0.02)


# Both sides do the same


@pytest.mark.parametrize("heat", fanout.HEATS, ids=lambda heat: heat.targets[0].what)
def test_heat_agrees_on_semantics_and_results(heat) -> None:
    """Each side of each target follows the rules and computes the expected result."""
    for contender in heat.contenders(TINY):
        contender.check()
        assert contender.sample(TINY) > 0


def test_contenders_of_steps_agree_on_results() -> None:
    pipelines.check_steps()
    for contender in pipelines.of_steps(TINY):
        assert contender.sample(TINY) > 0


def test_contenders_of_a_durable_step_write_the_same(tmp_path) -> None:
    for contender in durable.contenders(tmp_path, 5):
        contender.check()
        assert contender.sample(TINY) > 0


def test_contenders_of_a_parallel_step_agree_on_semantics_and_results() -> None:
    _, contenders = pipelines.of_parallel_step(TINY)
    assert [one.name for one in contenders[:2]] == [fanout.OURS, "P3, 20 paths"]
    for contender in contenders:
        contender.check()
        assert contender.sample(TINY) > 0


def test_step_in_a_large_context_is_measured_against_the_one_in_a_small(monkeypatch) -> None:
    monkeypatch.setattr(pipelines, "take_turns", lambda contenders, _settings: {one.name: [1.0] for one in contenders})
    rows = pipelines.step_rows(TINY)
    assert [(row.key, row.against, bool(row.peers)) for row in rows] == [("P6", "bare Trio", True), ("P7", "P6", True)]
    assert [peer.name for peer in rows[1].peers] == [pipelines.ONE_IN_LARGE]
    assert (len(pipelines.SMALL), len(pipelines.LARGE)) == (5, 1_000)


def test_targets_are_those_of_the_contract() -> None:
    """No limit was loosened."""
    parallel, _ = pipelines.of_parallel_step(TINY)
    targets = [target for heat in fanout.HEATS for target in heat.targets]
    assert {(target.key, target.of): target.limit for target in (*targets, *pipelines.STEP_TARGETS, parallel)} == {
        ("P1", fanout.OURS): 0.25,
        ("P1", fanout.OURS_LIMITER): 0.30,
        ("P2", fanout.OURS): 0.50,
        ("P2", fanout.OURS_LIMITER): 0.62,
        ("P3", fanout.OURS): 1.08,
        ("P4", fanout.OURS): 1.15,
        ("P6", "P6"): 1.75,
        ("P7", "P7"): 1.2,
        ("P8", fanout.OURS): 1.3,
    }
    assert {target.what: target.limit for heat in small.SMALL_FORKS for target in heat.targets} == {
        "gather of 3, on the spot": 1.4,
        "all of 3, built beforehand": 1.3,
        "race of 2": 1.2,
        "settle of 3 under 2": 1.7,
    }
    assert [(target.key, target.limit) for target in small.STREAMED.targets] == [("P14", 1.3)]


@pytest.mark.parametrize("heat", [*small.SMALL_FORKS, small.STREAMED])
def test_small_forks_and_streams_do_the_same_work(heat: fanout.Heat) -> None:
    for way in heat.present():
        if way.how != "nursery that fills a list" or heat.check is not small.check_two_at_once:
            heat.check(way)


def test_small_forks_are_measured_against_a_nursery() -> None:
    rows = [*small.measure(small.KEYS, TINY)]
    assert [(row.key, row.against) for row in rows] == [("P11", "bare Trio")] * 4 + [("P14", "trio_steps")]


def test_gated_steps_are_measured_against_plain_ones_and_long_programs_against_short_ones() -> None:
    gated.check_steps()
    rows = [*gated.measure(gated.KEYS, TINY)]
    assert [(row.key, row.limit, row.against) for row in rows] == [
        ("P17", 2.3, "bare Trio"),
        ("P17", 1.5, "a short program"),
        ("P17", 40.0, ""),
    ]


def test_growth_compares_two_sizes_for_both_kinds_of_fork() -> None:
    rows = fanout.growth(TINY)
    assert [(row.key, row.limit) for row in rows] == [("P10", 1.3)] * 2


def test_million_keeps_its_values_in_path_order() -> None:
    assert trio.run(memory.million, 300) == list(range(300))


def test_peak_does_not_count_the_result() -> None:
    """Work that returns its list peaks at nothing. Work that drops it peaks at the size of the list."""

    async def keeps() -> list[int]:
        return [0] * 1_000_000

    async def drops() -> list[int]:
        assert len([0] * 1_000_000) == 1_000_000
        return [0]

    assert memory.peak_of("trio", keeps, [0] * 1_000_000) < 0.1
    assert 7.6 < memory.peak_of("trio", drops, [0]) < 7.7


def test_import_is_measured_in_an_interpreter_that_did_not_know_the_module() -> None:
    assert imports.seconds_to_import("trio", {"trio"}) > 0


def test_import_of_another_module_than_expected_is_no_figure() -> None:
    with pytest.raises(DifferentResultError, match="import json did not bring all of"):
        imports.seconds_to_import("json", {"trio"})


# The checks detect a contender that cheats


async def leaky_workers(paths, limit):
    """A fast way that no library should use: context variables leak from path to path."""
    results = [None] * len(paths)
    numbered = iter(enumerate(paths))

    async def worker() -> None:
        for index, path in numbered:
            results[index] = await outcome.acapture(path)

    async with trio.open_nursery() as nursery:
        for _ in range(limit):
            nursery.start_soon(worker)
    return results


async def one_after_the_other(paths, limit):
    results = []
    for path in paths:
        results += await fanout.fill_a_list([path], limit)
    return results


async def forgets_its_token(paths, limiter):
    await limiter.acquire_on_behalf_of("nobody")
    limiter.total_tokens += 1
    results = await fanout.idiom(paths, limiter)
    limiter.total_tokens -= 1
    return results


@pytest.mark.parametrize(
    ("check", "way", "complaint"),
    [
        (
            check_settles,
            Way(name="leaky", how="", run=leaky_workers, read=fanout.read_outcomes),
            "context variables that leaked",
        ),
        (check_needs_all, Way(name="slow", how="", run=one_after_the_other), "number of paths at once is 1"),
        (check_races, Way(name="all", how="", run=fanout.race_all, read=lambda _winner: 6), "its winner is 6"),
        (
            check_settles,
            Way(
                name="forgetful",
                how="",
                run=forgets_its_token,
                read=fanout.read_outcomes,
                limit=fanout.trio_limiter,
            ),
            "tokens that are free again is 9",
        ),
    ],
    ids=["context", "parallel", "winner", "token"],
)
def test_check_refuses_a_contender_with_other_semantics(check, way, complaint) -> None:
    with pytest.raises(DifferentResultError, match=complaint):
        check(way)


class Rows:
    """Runs its steps by hand, and cheats in one way."""

    def __init__(self, cheat, count, function):
        self.cheat, self.count, self.function = cheat, count, function

    async def run(self, context):
        result = dict(context)
        for _ in range(self.count):
            copied = result if self.cheat == "copies" else copy.deepcopy(result)
            names = inspect.signature(self.function).parameters
            try:
                result.update(self.function(**{name: copied[name] for name in names}))
            except Exception as error:
                if self.cheat == "error":
                    raise RuntimeError from error
                raise
            if self.cheat != "checkpoint":
                await trio.lowlevel.checkpoint()
        return result


@pytest.mark.parametrize(
    ("cheat", "complaint"),
    [
        (None, None),
        ("copies", "its result is"),
        ("checkpoint", "its number of turns that others had is 0"),
        ("error", r"its error is .RuntimeError\(\)"),
    ],
)
def test_check_of_steps_refuses_a_row_that_cheats(cheat, complaint, monkeypatch) -> None:
    monkeypatch.setattr(pipelines, "row_of", functools.partial(Rows, cheat))
    with contextlib.ExitStack() as stack:
        if complaint is not None:
            stack.enter_context(pytest.raises(DifferentResultError, match=complaint))
        pipelines.check_steps()


def test_check_of_the_million_refuses_paths_that_were_not_started(monkeypatch) -> None:
    """The generator has to be ahead of the ended paths by exactly the limit."""
    real = memory.fork
    monkeypatch.setattr(memory, "fork", lambda *args, **options: real(*args, **(options | {"concurrency": 7})))
    with pytest.raises(DifferentResultError, match="taken and had not ended is 7, but should be 100"):
        memory.check_is_lazy()


# Ratios


def test_figure_is_the_median_with_its_quartiles() -> None:
    assert figure_of([4.0, 1.0, 2.0, 3.0, 5.0]) == Figure(median=3.0, low=2.0, high=4.0)


def test_ratio_is_taken_round_by_round() -> None:
    """A phase in which the machine is ten times slower does not change the ratio."""
    heat = fanout.UNBOUNDED
    target = Target(key="P3", what="", of="us", against="them", limit=1.15)
    taken = {"us": [1.0, 10.0, 1.0], "them": [2.0, 20.0, 2.0]}
    (row,) = judge([target], [], taken, heat.cannot)
    assert (row.figure, row.met) == (Figure(median=0.5, low=0.5, high=0.5), True)


def test_row_is_missed_just_above_its_limit() -> None:
    figures = [Figure(median=median, low=0.0, high=2.0) for median in (1.15, 1.151)]
    assert [Row(key="P3", what="", limit=1.15, figure=figure).met for figure in figures] == [True, False]


def test_row_of_work_with_two_sides_misses_no_peer() -> None:
    taken = {"bare Trio": [2e-6, 2e-6], "us": [3e-6, 5e-6]}
    (row,) = judge([Target(key="P11", what="", of="us", against="bare Trio", limit=1.5)], [], taken, {})
    assert [peer.name for peer in row.peers] == ["bare Trio"]


def test_row_shows_the_peers_and_why_one_can_not_take_part() -> None:
    taken = {"bare Trio": [2e-6, 2e-6], "us": [3e-6, 5e-6], "more": [2e-3, 4e-3]}
    target = Target(key="P1", what="work", of="us", against="bare Trio", limit=1.5, beside=("more",))
    (row,) = judge([target], [], taken, {"aiometer": "too slow"})
    assert row.seconds == pytest.approx(4e-6)
    assert [(peer.name, peer.how, peer.figure is None) for peer in row.peers[:5]] == [
        ("more", "", False),
        ("bare Trio", "", False),
        ("trio-util", "not installed", True),
        ("aioresult", "not installed", True),
        ("aiometer", "too slow", True),
    ]
    lines = [line.split() for line in report.table([row]).splitlines()]
    assert lines[1] == [
        "P1",
        "work",
        "1.50",
        "×",
        "bare",
        "Trio",
        "2.000",
        "×",
        "(1.750–2.250)",
        "4.0",
        "µs",
        "path",
        "MISSED",
    ]
    assert lines[2] == ["more:", "1500.000", "×", "(1250.000–1750.000)", "3.0", "ms"]
    assert lines[4] == ["trio-util:", "not", "installed", "—"]


def test_row_measured_against_itself_has_no_peers() -> None:
    target = Target(key="P10", what="", of="many", against="few", limit=1.3)
    (row,) = judge([target], [], {"few": [1.0], "many": [1.0]}, None)
    assert row.peers == ()


def test_picture_of_the_fan_out_puts_the_fastest_first() -> None:
    figure = Figure(median=1.0, low=1.0, high=1.0)
    slow = PeerRow(name="bare Trio", how="by hand", figure=figure, seconds=30e-6)
    absent = PeerRow(name="trio-util", how="no limit", figure=None)
    rows = [
        Row(key="P1", what="settle", limit=1.0, figure=figure, seconds=12e-6, peers=(slow, absent)),
        Row(key="P1", what="limiter", limit=1.0, figure=figure, seconds=11e-6, peers=(slow, absent)),
    ]
    labels = re.findall(r"text-anchor='end'[^>]*>([^<]*)<", svg.fanout(rows))
    assert labels == ["trio_steps: limiter", "trio_steps: settle", "bare Trio: by hand"]


# Latency


def test_latency_study_prints_the_same_numbers_for_the_same_seed() -> None:
    """The digits are the same on every Python and every machine. Another seed gives others."""
    once, again, other = (latency.table(latency.study(100, seed), seed) for seed in (1, 1, 2))
    assert once == again != other
    for numbers in (
        "plain                            15.5     18.8     58.3     58.3   1.000    0.0%        —",
        "hedge at p95                     15.5     18.8     35.8     35.8   1.040    4.0%        —",
        "settle 3, 50 ms deadline         17.3     34.0     50.0     50.0   3.000    0.0%    1.33%",
    ):
        assert numbers in once.splitlines()


def test_hedge_sends_no_second_request_before_its_delay() -> None:
    """A hedge that waits longer than any service takes is a plain request."""
    plain, *_ = plans = latency.plans(lambda _q: 10.0)
    hedge = next(plan for plan in plans if plan.name == "hedge at p95")
    alone, hedged = latency.study_one(plain, 50, seed=3), latency.study_one(hedge, 50, seed=3)
    assert (hedged.times, hedged.sent) == (alone.times, 1.0)


def test_race_takes_the_faster_of_two_services() -> None:
    (race,) = (plan for plan in latency.plans(lambda _q: 0.0) if plan.name == "race of 2")
    source = latency.random.Random(4)
    drawn = [[latency.draw(source) for _ in range(latency.REPLICAS)] for _ in range(50)]
    assert latency.study_one(race, 50, seed=4).times == tuple(sorted(min(first, second) for first, second, _ in drawn))


def test_delays_are_whole_ticks() -> None:
    source = latency.random.Random(5)
    assert all((latency.draw(source) / latency.TICK).is_integer() for _ in range(1000))


# Commands


def test_command_measures_only_what_is_asked_for_and_writes_it(tmp_path, capsys) -> None:
    status = command.main(["--only", "P3", "--rounds", "2", "--scale", "0.02", "--gc", "off", "--out", str(tmp_path)])
    written = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    (row,) = written["targets"]
    assert (row["key"], status) == ("P3", 0 if row["met"] else 1)
    assert [peer["name"] for peer in row["peers"]] == list(fanout.PEERS)
    assert (tmp_path / "targets.svg").read_text(encoding="utf-8").startswith("<svg ")
    assert "1 of 1 figures" in capsys.readouterr().out or not row["met"]


def test_command_exits_with_1_for_a_missed_target(tmp_path, monkeypatch) -> None:
    missed = Row(key="P9", what="", limit=1.25, figure=Figure(median=1.3, low=1.3, high=1.3))
    monkeypatch.setattr(imports, "measure", lambda _keys, _settings: [missed])
    assert command.main(["--only", "P9", "--out", str(tmp_path)]) == 1


def test_command_exits_with_3_when_results_differ(tmp_path, monkeypatch, capsys) -> None:
    def differ(_keys, _settings):
        raise DifferentResultError("one is 1, but should be 2")

    monkeypatch.setattr(imports, "measure", differ)
    assert command.main(["--only", "P9", "--out", str(tmp_path)]) == 3
    assert "one is 1, but should be 2" in capsys.readouterr().err


def test_soak_sees_that_nothing_grows(capsys) -> None:
    assert command.main(["--soak", "0.2"]) == 0
    assert "nothing has grown" in capsys.readouterr().out


def test_soak_sees_what_grows() -> None:
    before, after = memory.Level(objects=1000, rss=0), memory.Level(objects=2000, rss=0)
    assert not memory.Soak(forks=1000, before=before, after=after).steady


def test_latency_command_writes_numbers_and_picture(tmp_path, capsys) -> None:
    numbers, picture = tmp_path / "latency.json", tmp_path / "latency.svg"
    latency.main(["--requests", "20", "--seed", "6", "--json", str(numbers), "--svg", str(picture)])
    assert json.loads(numbers.read_text(encoding="utf-8"))["seed"] == 6
    assert "hedge at p95" in capsys.readouterr().out
    assert picture.read_text(encoding="utf-8") == svg.latency(latency.study(20, 6))


def test_module_can_be_run() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "--soak SECONDS" in done.stdout


def test_command_draws_the_fan_out_when_it_was_measured(tmp_path, monkeypatch) -> None:
    row = Row(key="P1", what="", limit=1.0, figure=Figure(median=1.0, low=1.0, high=1.0), seconds=1e-5)
    monkeypatch.setattr(fanout, "measure", lambda _keys, _settings: [row])
    assert command.main(["--only", "P1", "--only", "P3", "--out", str(tmp_path)]) == 0
    assert "µs per path" in (tmp_path / "fanout.svg").read_text(encoding="utf-8")


PAGE = """# Performance

<!-- measured: width -->
<!-- end -->

<!-- measured: targets -->
what was measured before
<!-- end -->

between

<!-- measured: latency -->
<!-- end -->
"""


def test_command_fills_the_page_of_the_docs(tmp_path, monkeypatch) -> None:
    row = Row(key="P1", what="the row", limit=1.0, figure=Figure(median=1.0, low=1.0, high=1.0), seconds=1e-5)
    for module in command.MODULES:
        monkeypatch.setattr(module, "measure", lambda _keys, _settings: [])
    monkeypatch.setattr(fanout, "measure", lambda _keys, _settings: [row])
    monkeypatch.setattr(width, "WIDTHS", (1, 30))
    page = tmp_path / "performance.md"
    page.write_text(PAGE, encoding="utf-8")
    assert command.main(["--page", str(page), "--rounds", "3", "--scale", "0.001", "--out", str(tmp_path / "out")]) == 0
    filled = page.read_text(encoding="utf-8")
    assert "what was measured before" not in filled
    assert re.search(r"```text\n.*the row.*```\n\n<!-- end -->\n\nbetween\n.*hedge at p95", filled, re.DOTALL)
    assert re.search(r"measured: width -->\n\n```text\nµs per fork of .*\ntrio_steps ", filled)
    pictures = {path.name for path in tmp_path.glob("*.svg")}
    assert pictures == {"performance-fanout.svg", "performance-latency.svg", "performance-width.svg"}


def test_page_of_a_part_of_the_run_is_refused(tmp_path, capsys) -> None:
    assert command.main(["--page", str(tmp_path / "performance.md"), "--only", "P1"]) == 2
    assert "leave out --only" in capsys.readouterr().err


def test_page_without_a_place_for_a_table_is_an_error() -> None:
    with pytest.raises(ValueError, match="no <!-- measured: latency --> … <!-- end --> to put"):
        report.fill("<!-- measured: targets -->\n<!-- end -->\n", {"targets": "a", "latency": "b"})


# Instructions


def count_as(ratio):
    """Stand in for valgrind."""
    return lambda: {"P1": instructions.Count(ours=1000.0 * ratio, theirs=1000.0)}


def test_instructions_see_a_regression_of_5_percent() -> None:
    counts = {"P1": instructions.Count(ours=105.1, theirs=200.0), "P3": instructions.Count(ours=104.9, theirs=100.0)}
    assert instructions.regressions(counts, {"P1": 0.5, "P3": 1.0}) == ["P1"]


def test_instructions_are_compared_with_the_baseline_that_was_written(tmp_path, monkeypatch, capsys) -> None:
    given = ["--baseline", str(tmp_path / "baseline.json")]
    monkeypatch.setattr(instructions, "count", count_as(0.4))
    assert instructions.main([*given, "--check"]) == 2  # no baseline yet
    assert instructions.main([*given, "--update"]) == 0
    kept = json.loads((tmp_path / "baseline.json").read_text(encoding="utf-8"))
    assert kept == {instructions.version(): {"P1": {"ours": 400, "theirs": 1000, "ratio": 0.4}}}
    monkeypatch.setattr(instructions, "count", count_as(0.419))
    assert instructions.main([*given, "--check"]) == 0
    monkeypatch.setattr(instructions, "count", count_as(0.421))
    assert instructions.main([*given, "--check"]) == 1
    assert capsys.readouterr().out.endswith("P1: more than 5% above the baseline\n")


def test_instructions_ask_other_interpreters_too(tmp_path, monkeypatch) -> None:
    asked = []

    def run(command, check):
        asked.append(command)
        return subprocess.CompletedProcess(command, 1)

    monkeypatch.setattr(instructions, "count", count_as(1.0))
    monkeypatch.setattr(instructions.subprocess, "run", run)
    baseline = tmp_path / "baseline.json"
    assert instructions.main(["--update", "--baseline", str(baseline), "--also", "other"]) == 1
    assert asked == [["other", "-m", "benchmarks.instructions", f"--baseline={baseline}", "--update"]]


@pytest.mark.parametrize("piece", instructions.PIECES, ids=lambda piece: piece.name)
def test_instructions_are_counted_between_two_marks(piece, monkeypatch) -> None:
    marks = []
    monkeypatch.setattr(instructions.os, "getppid", lambda: marks.append("mark"))
    instructions.run_child([piece.name], 20)
    assert len(marks) == 4  # around our code, and around theirs


def test_baseline_has_every_piece_for_two_pythons() -> None:
    kept = json.loads(instructions.BASELINE.read_text(encoding="utf-8"))
    assert {key.partition(",")[0] for key in kept} >= {"CPython 3.11", "CPython 3.13"}
    assert all(set(one) == {piece.name for piece in instructions.PIECES} for one in kept.values())


def test_width_of_a_fork_is_put_into_a_page_and_drawn(tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.setattr(width, "WIDTHS", (1, 30))
    page = tmp_path / "page.md"
    page.write_text("<!-- measured: width -->\n<!-- end -->\n", encoding="utf-8")
    assert width.main(["--rounds", "2", "--scale", "0.01", "--page", str(page)]) == 0
    told = capsys.readouterr().out.strip()
    assert told in page.read_text(encoding="utf-8")
    assert [line.split()[0] for line in told.splitlines()][:3] == ["µs", "trio_steps", "bare"]
    curves = (tmp_path / "page-width.svg").read_text(encoding="utf-8").count("stroke-width='2'")
    assert curves == len(told.splitlines()) - 3  # those of the peers; ours is thicker
