"""Random forks against a plain model of the contract, and properties of all forks."""

from __future__ import annotations

import logging
from collections import Counter
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from lab import NEVER, Lab, plain
from model import Model
from scenarios import Around, CleanUp, Fork, Leaf, PathSpec, Plain, Scenario, Seen, ids_of

from trio_steps import (
    ErrorDiscarded,
    ForkPartialError,
    StepFailed,
    ValueDiscarded,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


# Random scenarios


class Draft:
    """Draws a scenario in which no two things are due at the same time by chance.

    Each duration is a small number of seconds plus its own fraction: a power of two that no other duration has, so
    that the sums of different durations differ. A duration that can occur several times in a row has room for its
    multiples. All of it is exact in binary floating point.
    """

    def __init__(self, draw: Any) -> None:
        self.draw = draw
        self.bits = 0
        self.keys = count(1)
        self.names = (f"fork-{number}" for number in count(1))
        self.room = 12  # for this many more paths
        self.limits = self.one_of((None, None, 1, 2, 3), ("shared", "shared", "shared", None, 2))

    def chance(self, percent: int) -> bool:
        return self.draw(st.integers(0, 99)) >= 100 - percent

    def one_of(self, *choices: Any) -> Any:
        return self.draw(st.sampled_from(choices))

    def seconds(self, bits: int = 1) -> float:
        self.bits += bits
        return self.draw(st.integers(0, 6)) + 2.0**-self.bits

    def maybe_seconds(self, percent: int) -> float | None:
        return self.seconds() if self.chance(percent) else None

    def scenario(self) -> Scenario:
        fork = self.fork(0)
        outer = self.one_of(None, None, "move_on", "fail")
        tie = self.deadline(fork.paths, 10)
        scenario = Scenario(
            fork,
            tokens=self.draw(st.integers(1, 3)),
            outer=outer,
            outer_seconds=NEVER if outer is None else tie or self.seconds() + self.one_of(0, 6),
            dispose_seconds=self.seconds(4),
        )
        assume(self.bits <= 44)
        return scenario

    def fork(self, depth: int) -> Fork:
        name = next(self.names)
        mode = self.one_of("race", "all", "settle", "quorum")
        source = self.one_of("list", "function", "generator", "async")
        lazy = source in ("generator", "async")
        size = min(self.room, self.draw(st.integers(0, 3 if depth else 5)))
        if mode == "quorum" and source == "list":
            size = max(size, 1)  # otherwise it can't be built
        self.room -= size
        paths = tuple(self.path(depth) for _ in range(size))
        return Fork(
            name,
            mode=mode,
            paths=paths,
            need=self.draw(st.integers(1, size if source == "list" else 3)) if mode == "quorum" else 0,
            source=source,
            source_fails=lazy and self.chance(15),
            source_seconds=tuple(self.maybe_seconds(20) for _ in range(size + 1)) if source == "async" else (),
            limit=self.one_of(*self.limits),
            stagger=self.stagger(),
            timeout=self.deadline(paths, 5) or self.maybe_seconds(25),
            dispose=self.one_of(None, "sync", "slow", "fails"),
        )

    def stagger(self) -> float | None:
        stagger = self.one_of(None, None, 0, "some")
        return self.seconds(3) if stagger == "some" else stagger

    def deadline(self, paths: tuple[PathSpec, ...], percent: int) -> float | None:
        """Return a time at which a path may end. That is a tie, but the deadline always comes first."""
        ends = [path.seconds for path in paths if isinstance(path, Leaf) and path.seconds is not None]
        return self.one_of(*ends) if ends and self.chance(percent) else None

    def path(self, depth: int) -> PathSpec:
        if depth < 2 and self.chance(30):
            if self.chance(50):
                return self.fork(depth + 1)
            return Around(self.maybe_seconds(80), self.fork(depth + 1))
        if self.chance(15):
            return Leaf(next(self.keys), None, fails=self.chance(35))
        return Leaf(
            next(self.keys),
            self.seconds(),
            fails=self.chance(35),
            shielded=self.chance(10),
            clean_up=CleanUp(self.seconds(), self.one_of("returns", "raises", "stops")) if self.chance(40) else None,
        )


@st.composite
def scenarios(draw: Any) -> Scenario:
    return Draft(draw).scenario()


def models(scenario: Scenario, seen: Seen) -> Iterator[Model]:
    """Yield a model, played to its end, for each way to choose between a token and a lane."""
    to_try: list[tuple[int, ...]] = [()]
    while to_try:
        choices = to_try.pop()
        model = Model(scenario, seen, choices)
        model.play()
        yield model
        to_try += [(*model.chosen[:index], 1) for index in range(len(choices), len(model.chosen))]


def check(scenario: Scenario) -> None:
    """Run `scenario`, and compare what is seen with the model."""
    lab = Lab(scenario).run()
    played = []
    for model in models(scenario, lab.seen):
        assert not model.simultaneous
        played.append(model)
        if model.story == lab.story:
            break
    else:
        seen = vars(lab.story)
        closest = max(played, key=lambda model: sum(seen[part] == told for part, told in vars(model.story).items()))
        assert lab.story == closest.story
    check_starts(lab, scenario.fork, scenario.fork.name)
    check_closing(lab, model)
    check_reporting(lab)
    if not model.ties and not model.chosen:
        check_that_observers_change_nothing(lab)


def check_starts(lab: Lab, spec: PathSpec, name: str) -> None:
    """Paths start in path order, and at most as many as the limit run at once."""
    if isinstance(spec, Around):
        check_starts(lab, spec.fork, f"{name}/{spec.fork.name}")
    elif isinstance(spec, Fork):
        paths = [f"{name}/{id}" for id in ids_of(spec.paths)]
        assert lab.counted.get(name, len(paths)) == len(paths)
        started: list[str] = []
        running: set[str] = set()
        for kind, path in [key for key in lab.seen if key[0] != "pull" and key[1] in paths]:
            if kind == "start":
                started.append(path)
                running.add(path)
                assert not isinstance(spec.limit, int) or len(running) <= spec.limit
            else:
                running.remove(path)
        assert started == paths[: len(started)]
        assert not running
        for path, path_name in zip(spec.paths, paths, strict=True):
            check_starts(lab, path, path_name)


def check_closing(lab: Lab, model: Model) -> None:
    """Each source that was asked for a path was closed in time: when its fork was decided, or at its end."""
    asked = {fork for fork, _ in lab.story.pulls}
    assert lab.closed.keys() == asked
    for fork, time in lab.closed.items():
        earliest, latest = model.closes[fork]
        assert earliest <= time <= latest


def check_reporting(lab: Lab) -> None:
    """Errors that are reported to observers are logged too, as warnings with a traceback, and no others are."""
    logged = [(record.levelno, record.exc_info and record.exc_info[1]) for record in lab.logged]
    assert logged == [(logging.WARNING, event.error) for event in lab.of_kind(ErrorDiscarded)]
    discarded = Counter(plain(event.value) for event in lab.of_kind(ValueDiscarded) if event.disposed)
    assert discarded == Counter(lab.disposed)


def check_that_observers_change_nothing(observed: Lab) -> None:
    lab = Lab(observed.scenario, observed=False).run()
    assert lab.story.outcome == observed.story.outcome
    assert lab.story.time == observed.story.time
    assert lab.story.pulls == observed.story.pulls
    assert lab.story.borrowed == observed.story.borrowed
    assert lab.disposed == observed.disposed
    assert len(lab.logged) == len(observed.logged)


@given(scenarios())
@settings(max_examples=400)
def test_fork_does_what_the_model_says(scenario: Scenario) -> None:
    """Results, errors, times, starts and ends, tokens, and what is given away or reported."""
    check(scenario)


# Scenarios picked by hand: each shows a mistake that was made, or could be


def returns(key: int, seconds: float | None, **how: Any) -> Leaf:
    return Leaf(key, seconds, **how)


def fails(key: int, seconds: float | None, **how: Any) -> Leaf:
    return Leaf(key, seconds, fails=True, **how)


def late(key: int, then: Any = "returns") -> Leaf:
    """Return a path that takes long, both to end and to clean up."""
    return Leaf(key, 64.0, clean_up=CleanUp(16.0 + key / 64, then))


def fork(mode: Any, *paths: PathSpec, name: str = "fork", **options: Any) -> Fork:
    return Fork(name, mode, paths, **options)


NO_WAIT = (None,) * 9

PICKED = {
    "late_value_of_a_failed_all": Scenario(fork("all", fails(1, 1.0), late(2), dispose="sync")),
    "late_error_of_a_failed_all": Scenario(fork("all", fails(1, 1.0), late(2, "raises"))),
    "late_value_of_a_race": Scenario(fork("race", returns(1, 1.0), late(2), late(3), dispose="slow")),
    "late_value_of_an_impossible_quorum": Scenario(fork("quorum", fails(1, 1.0), late(2), need=2)),
    "late_value_after_the_deadline": Scenario(fork("all", returns(1, 1.0), late(2), timeout=2.0, dispose="sync")),
    "late_error_after_the_deadline": Scenario(fork("race", fails(1, 1.0), late(2, "raises"), timeout=2.0)),
    "late_value_of_a_settle": Scenario(fork("settle", returns(1, 1.0), late(2), timeout=2.0)),
    "late_error_of_a_settle": Scenario(fork("settle", fails(1, 1.0), late(2, "raises"), timeout=2.0)),
    "deadline_after_the_decision": Scenario(fork("all", fails(1, 1.0), late(2), timeout=2.0)),
    "cancelled_after_the_decision": Scenario(
        fork("race", fails(1, 1.0), returns(2, 2.0), late(3), dispose="sync"), outer="move_on", outer_seconds=4.0
    ),
    "cancelled_while_it_gives_away": Scenario(
        fork("race", returns(1, 1.0), late(2), dispose="slow"), outer="fail", outer_seconds=17.5, dispose_seconds=1.0
    ),
    "path_that_ends_at_the_deadline": Scenario(fork("settle", returns(1, 2.0), returns(2, 1.0), timeout=2.0)),
    "value_at_exactly_the_deadline": Scenario(fork("settle", returns(1, 2.0, shielded=True), timeout=2.0)),
    "error_at_exactly_the_deadline": Scenario(fork("settle", fails(1, 2.0, shielded=True), timeout=2.0)),
    "path_that_ends_when_the_scope_around_does": Scenario(
        fork("race", returns(1, 2.0, shielded=True)), outer="move_on", outer_seconds=2.0
    ),
    "deadline_when_the_scope_around_ends": Scenario(
        fork("settle", fails(1, 1.0), returns(2, 4.0), timeout=2.0), outer="fail", outer_seconds=2.0
    ),
    "source_is_closed_at_the_decision": Scenario(
        fork("race", returns(1, 1.0), late(2), returns(3, 1.0), source="generator", limit=2)
    ),
    "source_that_fails_stops_its_fork": Scenario(
        fork("settle", returns(1, 1.0), late(2), source="generator", source_fails=True, limit=2)
    ),
    "source_that_has_failed_is_reported_if_its_fork_is_cancelled": Scenario(
        fork("all", returns(1, 1.0), late(2), source="generator", source_fails=True, limit=2),
        outer="move_on",
        outer_seconds=2.0,
    ),
    "no_path_starts_after_a_cancellation": Scenario(
        fork("settle", returns(1, 1.0), late(2), returns(3, 1.0), limit=1), outer="move_on", outer_seconds=2.0
    ),
    "no_source_is_asked_after_a_cancellation": Scenario(
        fork("settle", returns(1, 1.0), late(2), returns(3, 1.0), limit=1, source="generator"),
        outer="move_on",
        outer_seconds=2.0,
    ),
    "no_path_starts_after_a_cancellation_by_a_fork_around": Scenario(
        fork("race", fork("all", late(1), returns(2, 1.0), limit="shared", name="inner"), returns(3, 2.0))
    ),
    "no_async_source_is_asked_after_the_decision": Scenario(
        fork("all", returns(1, None), fails(2, None), returns(3, None), source="async", source_seconds=NO_WAIT, limit=2)
    ),
    "no_async_source_is_asked_when_a_failure_decides_a_staggered_fork": Scenario(
        fork("all", fails(1, 1.0), returns(2, 1.0), source="async", source_seconds=NO_WAIT, stagger=4.0)
    ),
    "forks_that_share_a_limiter_wait_for_each_other": Scenario(
        fork(
            "all",
            fork("all", returns(1, 4.0), limit="shared", name="first"),
            Around(1.0, fork("all", returns(2, 8.0), returns(3, 16.0), limit="shared", name="second")),
        )
    ),
    "stagger_holds_no_token": Scenario(fork("all", returns(1, 1.0), limit="shared", stagger=4.0), tokens=2),
    "stagger_keeps_no_token_from_others": Scenario(
        fork(
            "all",
            fork("all", returns(1, 1.0), returns(2, 1.0), limit="shared", stagger=64.0, name="slow"),
            Around(0.5, fork("all", returns(3, 1.0), limit="shared", name="quick")),
        )
    ),
    "stagger_on_a_lane_takes_the_token_that_is_free_first": Scenario(
        fork(
            "all",
            Around(1.0, fork("all", returns(1, 8.0), returns(2, 16.0), limit="shared", stagger=0, name="inner")),
            returns(3, 2.0),
            limit="shared",
        ),
        tokens=2,
    ),
    "lane_is_shared_by_all_forks_in_a_path": Scenario(
        fork(
            "all",
            fork(
                "all",
                Around(1.0, fork("all", returns(1, 8.0), limit="shared", name="left")),
                Around(2.0, fork("all", returns(2, 16.0), limit="shared", name="right")),
                name="both",
            ),
            limit="shared",
        )
    ),
}


@pytest.mark.parametrize("scenario", PICKED.values(), ids=PICKED)
def test_fork_does_what_the_model_says_of(scenario: Scenario) -> None:
    """The same, for each scenario that was picked by hand."""
    check(scenario)


# Properties that need no model


def values_in(plain: Plain) -> Iterator[Plain]:
    """Yield the values of paths in `plain`, except those inside an error."""
    if plain[0] == "value":
        yield plain
    elif plain[0] == "fulfilled":
        yield from values_in(plain[2])
    elif plain[0] == "tuple":
        for part in plain[1:]:
            yield from values_in(part)


@given(scenarios(), st.integers(0, 60), st.integers(0, 12))
@settings(max_examples=150)
def test_values_are_conserved_wherever_a_fork_is_cancelled(scenario: Scenario, moment: int, checkpoints: int) -> None:
    """Each value that a path returned is in exactly one place: in the result, in an error, or given away."""
    undisturbed = Lab(scenario).run()
    moments = sorted({time for _, time in undisturbed.seen.values()})
    lab = Lab(scenario)
    lab.run(partial(lab.play_cancelled, moments[moment % len(moments)], checkpoints))
    places = [plain(event.value) for event in lab.of_kind(ValueDiscarded)]
    if lab.result is not None:
        places.append(plain(lab.result))
    raised = {id(event.error): event.error for event in lab.of_kind(StepFailed)}  # several forks may raise it
    for error in raised.values():
        if isinstance(error, ForkPartialError):
            places += map(plain, error.succeeded)
    assert Counter(value for place in places for value in values_in(place)) == Counter(lab.returned)
    assert len(set(lab.returned)) == len(lab.returned)
    check_starts(lab, scenario.fork, scenario.fork.name)
    check_reporting(lab)
