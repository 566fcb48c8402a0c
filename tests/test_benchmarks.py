"""The benchmarks at tiny sizes: no time is judged here, but what they check and print is."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import outcome
import pytest
import trio

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks import __main__ as command  # noqa: E402
from benchmarks import fanout, imports, instructions, latency, memory, svg  # noqa: E402
from benchmarks.measure import (  # noqa: E402
    DifferentResultError,
    Figure,
    Row,
    Settings,
    Target,
    figure_of,
    judge,
)
from benchmarks.work import Way, check_needs_all, check_races, check_settles  # noqa: E402

TINY = Settings(rounds=2, scale=0.02)


# Both sides do the same


@pytest.mark.parametrize("heat", fanout.HEATS, ids=lambda heat: heat.targets[0].what)
def test_heat_agrees_on_semantics_and_results(heat) -> None:
    """Each side of each target keeps the rules, and computes what is expected."""
    for contender in heat.contenders(TINY):
        contender.check()
        assert contender.sample(TINY) > 0


def test_targets_are_those_of_the_contract() -> None:
    """No limit has been loosened."""
    limits = {(target.key, target.of): target.limit for heat in fanout.HEATS for target in heat.targets}
    assert limits == {
        ("P1", fanout.OURS): 0.25,
        ("P1", fanout.OURS_LIMITER): 0.35,
        ("P2", fanout.OURS): 0.50,
        ("P2", fanout.OURS_LIMITER): 0.75,
        ("P3", fanout.OURS): 1.15,
        ("P4", fanout.OURS): 1.15,
    }


def test_growth_compares_two_sizes_for_both_kinds_of_fork() -> None:
    rows = fanout.growth(TINY)
    assert [(row.key, row.limit) for row in rows] == [("P10", 1.3)] * 2


def test_million_keeps_its_values_in_path_order() -> None:
    assert trio.run(memory.million, 300) == list(range(300))


def test_peak_does_not_count_the_result() -> None:
    """A work that holds a list and returns it peaks at nothing; one that drops it at the list."""

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


# The checks see a contender that cheats


async def leaky_workers(paths, limit):
    """The fast way that no user should get: context variables leak from path to path."""
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


# Ratios


def test_figure_is_the_median_with_its_quartiles() -> None:
    assert figure_of([4.0, 1.0, 2.0, 3.0, 5.0]) == Figure(median=3.0, low=2.0, high=4.0)


def test_ratio_is_taken_round_by_round() -> None:
    """A phase in which the machine is ten times slower changes no ratio."""
    heat = fanout.UNBOUNDED
    target = Target(key="P3", what="", of="us", against="them", limit=1.15)
    taken = {"us": [1.0, 10.0, 1.0], "them": [2.0, 20.0, 2.0]}
    (row,) = judge([target], [], taken, heat.cannot)
    assert (row.figure, row.met) == (Figure(median=0.5, low=0.5, high=0.5), True)


def test_row_is_missed_just_above_its_limit() -> None:
    figures = [Figure(median=median, low=0.0, high=2.0) for median in (1.15, 1.151)]
    assert [Row(key="P3", what="", limit=1.15, figure=figure).met for figure in figures] == [True, False]


# Latency


def test_latency_study_prints_the_same_numbers_for_the_same_seed() -> None:
    """The digits are those of every Python and every machine; another seed gives others."""
    once, again, other = (latency.table(latency.study(100, seed), seed) for seed in (1, 1, 2))
    assert once == again != other
    for numbers in (
        "plain                            15.5     18.8     58.3     58.3   1.000    0.0%        —",
        "hedge at p95                     15.5     18.8     35.8     35.8   1.040    4.0%        —",
        "settle 3, 50 ms deadline         17.3     34.0     50.0     50.0   3.000    0.0%    1.33%",
    ):
        assert numbers in once.splitlines()


def test_hedge_sends_no_second_request_before_its_delay() -> None:
    """One that waits longer than any service takes is a plain request."""
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


def test_instructions_see_a_regression_of_5_percent() -> None:
    counts = {"P1": instructions.Count(ours=105.1, theirs=200.0), "P3": instructions.Count(ours=104.9, theirs=100.0)}
    assert instructions.regressions(counts, {"P1": 0.5, "P3": 1.0}) == ["P1"]
