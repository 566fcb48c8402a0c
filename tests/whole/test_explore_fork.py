"""Our own forks, explored: cancelled at every point, reordered, and both; see `trio_steps.testing`."""

from __future__ import annotations

import logging
from contextvars import ContextVar
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest
import trio

from trio_steps import (
    CircuitBreaker,
    ErrorDiscarded,
    ForkPartialError,
    Fulfilled,
    Rejected,
    Retry,
    StepFailed,
    StepRetrying,
    current_scope,
    fork,
    gather,
    race,
    settle,
    step,
)
from trio_steps.testing import Ignore, Probe, RecordingObserver, sweep_faults

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

pytest_plugins = ["_trio_steps_pytest"]  # in case the entry point is not installed

BUDGET, LARGE = 50, 75
"""How many runs: half of them cancel a program at every point. For a longer search, --steps-budget=2000, or 60s."""

MODES = ["race", "all", "settle", "quorum"]
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "one_at_a_time": {"concurrency": 1},
    "two_at_a_time": {"concurrency": 2},
    "limiter": {"concurrency": "limiter"},
    "stagger": {"stagger": 1},
    "stagger_zero_limited": {"stagger": 0, "concurrency": 2},
    "timeout": {"timeout": 2},
    "lazy": {"source": "lazy", "concurrency": 2},
    "lazy_async": {"source": "arriving", "concurrency": 2},
    "source_fails": {"source": "then_fails", "concurrency": 2},
    "source_with_a_nursery": {"source": "fed", "concurrency": 2},
    "async_dispose": {"dispose": "awaits", "timeout": 1},
    "dispose_fails": {"dispose": "fails", "concurrency": 2},
}
MERGES = ["raises", "awaits", "awaits_then_raises"]

VARIABLE: ContextVar[str] = ContextVar("VARIABLE", default="the caller's")


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logger = logging.getLogger("trio_steps")
    logger.disabled = True
    yield
    logger.disabled = False


class Paths:
    """Paths that keep accounts: which run, which errors were raised, and what happened to those."""

    def __init__(self, probe: Probe) -> None:
        self.probe = probe
        self.running = 0
        self.raised: list[Exception] = []
        self.complaints: list[str] = []
        self.observer = RecordingObserver()
        self.error: BaseException | None = None
        self.together = trio.Event()
        probe.invariant(self.nobody_runs)
        probe.invariant(self.no_error_is_lost)
        probe.invariant(self.nobody_complains)

    def nobody_runs(self) -> None:
        assert self.running == 0, f"{self.running} paths still run"

    def nobody_complains(self) -> None:
        assert not self.complaints, self.complaints

    def no_error_is_lost(self) -> None:
        known = [event.error for event in (*self.observer.of(ErrorDiscarded), *self.observer.of(StepRetrying))]
        if self.error is None:  # a race or a quorum that is won drops failures, but they were reported
            known += [event.error for event in self.observer.of(StepFailed)]
        todo = [self.error]
        while todo:
            error = todo.pop()
            known += [] if error is None else [error]
            todo += getattr(error, "exceptions", ())
            todo += [rejected.error for rejected in getattr(error, "failed", ())]
        lost = [error for error in self.raised if not any(error is other for other in known)]
        assert not lost, f"{lost} were raised and nobody was told"

    def an_error(self, name: str) -> Exception:
        error = OSError(name)
        self.raised.append(error)
        return error

    def path(self, name: str, wait: float | None, failures: float = 0, *, shield: bool = False, **policies: Any) -> Any:
        """A path that waits (None: for `together`), returns a resource, and takes a while to clean up.

        It fails the first few times. With a `shield` it does all this even if it is cancelled.
        """
        runs: list[int] = []

        async def run() -> Any:
            self.running += 1
            runs.append(1)
            try:
                with trio.CancelScope(shield=shield):
                    await (self.together.wait() if wait is None else trio.sleep(wait))  # noqa: ASYNC105
                if len(runs) <= failures:
                    raise self.an_error(name)
                return self.probe.resource(name)
            finally:
                await trio.lowlevel.cancel_shielded_checkpoint()  # no fault can be injected here
                self.running -= 1

        return step(run, id=name, **policies)

    def fails_at_clean_up(self, name: str) -> Any:
        async def run() -> None:
            self.running += 1
            try:
                await trio.sleep(3)
            except trio.Cancelled:
                raise self.an_error(name) from None
            finally:
                self.running -= 1

        return step(run, id=name)

    def leaves_a_variable(self, name: str, wait: float | None) -> Any:
        inner = self.path(name, wait)

        async def run() -> Any:
            if VARIABLE.get() != "the caller's":
                self.complaints.append(f"{name} sees what {VARIABLE.get()} has set")
            VARIABLE.set(name)
            return await inner()

        return step(run, id=name)

    async def sets_together(self) -> None:
        await trio.sleep(1)
        self.together.set()


ROWS: dict[str, Callable[[Paths], list[Any]]] = {
    "tie": lambda paths: [paths.path("a", None), paths.path("b", None), paths.path("c", 2)],
    "failures": lambda paths: [
        paths.path("a", None, failures=1),
        paths.path("b", None),
        paths.path("c", None, failures=1),
        paths.fails_at_clean_up("d"),
    ],
    "all_fail": lambda paths: [paths.path(name, None, failures=1) for name in "abc"],
    "crowd": lambda paths: [*(paths.path(name, None) for name in "abcd"), paths.path("e", None, failures=1)],
    "hedge": lambda paths: [
        paths.path("a", 0.5, failures=1),
        paths.path("b", 1),
        paths.path("c", 0.25, failures=1),
        paths.path("d", None),
    ],
    "stubborn": lambda paths: [
        paths.path("a", 1.5, shield=True),
        paths.path("b", None),
        paths.path("c", 3, shield=True),
        paths.path("d", 2.5, failures=1, shield=True),
    ],
    "policies": lambda paths: [
        paths.path("flaky", 0.25, failures=1, retry=Retry(attempts=2, delay=0.5), timeout=2),
        paths.path("in_time", None, timeout=1),
        paths.path("late", 2, timeout=1, retry=Retry(attempts=2, delay=0.5)),
        paths.path("hopeless", 0.5, failures=2, retry=Retry(attempts=2), limiter=trio.CapacityLimiter(1)),
    ],
    "variables": lambda paths: [
        paths.leaves_a_variable(name, wait) for name, wait in {"a": 1, "b": None, "c": 1, "d": 0}.items()
    ],
}
CASES = [
    *product(MODES, OPTIONS, ["tie", "failures"]),
    *product(MODES, ["plain", "two_at_a_time", "limiter", "stagger", "timeout", "lazy_async"], ["all_fail"]),
    *product(["quorum"], ["plain", "one_at_a_time", "limiter", "timeout", "lazy_async", "dispose_fails"], ["crowd"]),
    *product(MODES, ["stagger", "stagger_zero_limited"], ["hedge"]),
    *product(MODES, ["limiter", "timeout", "async_dispose"], ["stubborn"]),
    *product(MODES, ["one_at_a_time", "limiter"], ["policies"]),
    *product(MODES, ["two_at_a_time", "limiter", "lazy"], ["variables"]),
]


# Where paths come from, and where their values go


def lazy(paths: Paths, made: list[Any]) -> Iterator[Any]:
    yield from made


async def arriving(paths: Paths, made: list[Any]) -> AsyncIterator[Any]:
    for path in made:
        await trio.lowlevel.checkpoint()
        yield path


def then_fails(paths: Paths, made: list[Any]) -> Iterator[Any]:
    yield from made[:2]
    raise LookupError


async def fed(paths: Paths, made: list[Any]) -> AsyncIterator[Any]:
    """A source with its own task."""
    send, receive = trio.open_memory_channel[Any](0)

    async def feed() -> None:
        paths.running += 1
        try:
            async with send:
                for path in made:
                    await send.send(path)
        finally:
            paths.running -= 1

    async with receive, trio.open_nursery() as nursery:
        nursery.start_soon(feed)
        async for path in receive:
            yield path


SOURCES = {source.__name__: source for source in (lazy, arriving, then_fails, fed)}


def close(value: Any) -> None:
    if value is not None:
        value.close()


async def close_slowly(value: Any) -> None:
    await trio.lowlevel.checkpoint()
    close(value)


def disposer(paths: Paths, kind: str | None) -> Any:
    def close_and_fail(value: Any) -> None:
        close(value)
        raise paths.an_error("dispose")

    return {None: close, "awaits": close_slowly, "fails": close_and_fail}[kind]


def merger(kind: str) -> Any:
    async def awaits(results: list[Any]) -> list[Any]:
        await trio.sleep(1)
        if kind == "awaits_then_raises":
            raise LookupError
        return results

    def raises(results: list[Any]) -> None:
        raise LookupError

    return raises if kind == "raises" else awaits


# The program, and its possible results


def program(mode: str, options: dict[str, Any], rows: str) -> Any:
    async def explored(probe: Probe) -> Any:
        paths = Paths(probe)
        made = ROWS[rows](paths)
        chosen = dict(options)
        source = chosen.pop("source", None)
        if chosen.get("concurrency") == "limiter":
            chosen["concurrency"] = probe.watch(trio.CapacityLimiter(2))
        if mode == "quorum":
            chosen["need"] = 2
        if mode != "race":
            chosen.setdefault("merge", list)
        chosen["dispose"] = disposer(paths, chosen.pop("dispose", None))
        chosen["paths"] = made if source is None else lambda: SOURCES[source](paths, made)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(paths.sets_together)
            result = await outcome_of(fork("f", mode=mode, **chosen), paths)
            check_result(mode, result, paths, made, lazy=source is not None, timed="timeout" in options)
        return result

    return explored


async def outcome_of(one: Any, paths: Paths) -> Any:
    """Run a fork, and return its result, or the error that it may raise."""
    try:
        return await one.run(observers=[paths.observer])
    except (ForkPartialError, LookupError) as error:
        paths.error = error
        return error
    except BaseException as error:
        paths.error = error
        raise
    finally:
        paths.nobody_runs()
        if VARIABLE.get() != "the caller's":
            paths.complaints.append(f"the caller sees what {VARIABLE.get()} has set")


def check_result(mode: str, result: Any, paths: Paths, made: list[Any], *, lazy: bool, timed: bool = False) -> None:
    if isinstance(result, ForkPartialError):
        assert mode != "settle" or lazy, "settle fails only by its source"
        accounted = len(result.succeeded) + len(result.failed)
        assert accounted == len(made) or (lazy and accounted < len(made)), "every path that there was is accounted for"
    elif isinstance(result, LookupError):
        pass  # raised by merge itself
    elif mode == "settle":
        listed, known = [outcome.step_id for outcome in result], [path.id for path in made]
        if lazy and timed:  # a path is unknown if the source was not asked for it in time
            known = known[: len(listed)]
        assert listed == known, "one outcome a path, in order"
        for outcome in result:
            assert isinstance(outcome, (Fulfilled, Rejected))
            if isinstance(outcome, Rejected):
                assert not isinstance(outcome.error, trio.Cancelled)
                assert outcome.kind in ("step_failed", "timed_out"), "no failure cancels another path"
                paths.raised = [error for error in paths.raised if error is not outcome.error]
    elif mode == "race":
        assert not result.closed, "the winner is open"
    else:
        order = [path.id for path in made]
        indexes = [order.index(value.name) for value in result if value is not None]
        assert indexes == sorted(indexes), "results are in path order"
        assert not any(value.closed for value in result if value is not None)


@pytest.mark.long
@pytest.mark.parametrize(("mode", "options", "rows"), CASES, ids=map("-".join, CASES))
def test_fork_keeps_its_promises_wherever_it_is_cancelled(explore: Any, mode: str, options: str, rows: str) -> None:
    chosen = OPTIONS[options]
    if rows != "tie" and options in ("one_at_a_time", "stagger", "lazy_async"):
        chosen = {**chosen, "timeout": 2.5}  # a deadline among the failures
    large = rows in ("hedge", "policies") or chosen.get("source") == "fed"
    explore(program(mode, chosen, rows), budget=LARGE if large else BUDGET, **expected(chosen, rows))


def expected(options: dict[str, Any], rows: str) -> Any:
    """What `explore` can't know of a fork.

    Any of its timers may fire early: its timeout, those of its paths, and its stagger, which then starts the next path.
    Other paths come in first then, and the result is different; `check_result` says which are right. A path that
    raises its own error when it is cancelled keeps the timeout of the fork from getting its `Cancelled` back.
    """
    said: dict[str, Any] = {}
    if "timeout" in options or "stagger" in options or rows == "policies":
        said["values"] = "any"
    if "timeout" in options and rows == "failures":
        said["ignore"] = Ignore("swallowed: .* reached f/d, run caught it", invariant="cancellation")
    return said


@pytest.mark.long
@pytest.mark.parametrize("limit", [None, "limiter"])
@pytest.mark.parametrize("merge", MERGES)
@pytest.mark.parametrize("mode", ["all", "settle", "quorum"])
def test_values_are_disposed_of_wherever_a_merge_ends(explore: Any, mode: str, merge: str, limit: str | None) -> None:
    options = {"merge": merger(merge), "concurrency": limit}
    explore(program(mode, options, "failures" if mode == "settle" else "tie"), budget=BUDGET)


@pytest.mark.long
@pytest.mark.parametrize("source", ["arguments", "lazy", "arriving", "fed"])
@pytest.mark.parametrize("face", [race, gather, settle])
def test_fork_on_the_spot_keeps_its_promises_wherever_it_is_cancelled(explore: Any, face: Any, source: str) -> None:
    mode = {race: "race", gather: "all", settle: "settle"}[face]

    async def explored(probe: Probe) -> Any:
        paths = Paths(probe)
        made = ROWS["failures"](paths)
        given = made if source == "arguments" else [SOURCES[source](paths, made)]

        class Spot:
            async def run(self, observers: Any) -> Any:
                return await face(*given, observers=observers, concurrency=2, dispose=close)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(paths.sets_together)
            result = await outcome_of(Spot(), paths)
            check_result(mode, result, paths, made, lazy=source != "arguments")
        return result

    explore(explored, budget=LARGE)


def need(mode: str) -> dict[str, Any]:
    return {"need": 1} if mode == "quorum" else {}


def close_all(value: Any) -> None:
    for item in value if isinstance(value, (list, tuple)) else [value]:
        inner = item.value if isinstance(item, Fulfilled) else item
        close_all(inner) if isinstance(inner, (list, tuple)) else None if isinstance(inner, Rejected) else close(inner)


@pytest.mark.long
@pytest.mark.parametrize("inner", MODES)
@pytest.mark.parametrize("outer", MODES)
def test_nested_forks_share_a_limiter_wherever_they_are_cancelled(explore: Any, outer: str, inner: str) -> None:
    async def explored(probe: Probe) -> Any:
        limiter = probe.watch(trio.CapacityLimiter(2))
        paths = Paths(probe)

        def nested(name: str) -> Any:
            made = [paths.path(f"{name}{index}", None if index else 1) for index in range(2)]
            return fork(name, mode=inner, paths=made, concurrency=limiter, dispose=close, **need(inner))

        made = [nested("x"), nested("y")]
        whole = fork("outer", mode=outer, paths=made, concurrency=limiter, dispose=close_all, **need(outer))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(paths.sets_together)
            return await outcome_of(whole, paths)

    explore(explored, budget=LARGE)


@pytest.mark.long
@pytest.mark.parametrize("tokens", [1, 2])
@pytest.mark.parametrize("modes", [("all", "settle", "race"), ("race", "all", "quorum"), ("settle", "quorum", "all")])
def test_three_levels_share_a_limiter_wherever_they_are_cancelled(
    explore: Any, modes: tuple[str, str, str], tokens: int
) -> None:
    async def explored(probe: Probe) -> Any:
        limiter = probe.watch(trio.CapacityLimiter(tokens))
        paths = Paths(probe)

        def level(depth: int, name: str) -> Any:
            if depth == len(modes):
                return paths.path(name, None if name.endswith("1") else 1)
            inner = [level(depth + 1, f"{name}{number}") for number in range(2)]
            mode = modes[depth]
            return fork(name, mode=mode, paths=inner, concurrency=limiter, dispose=close_all, **need(mode))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(paths.sets_together)
            return await outcome_of(level(0, "f"), paths)

    explore(explored, budget=2 * BUDGET + 10)


@pytest.mark.long
@pytest.mark.parametrize("inner", ["race", "all"])
@pytest.mark.parametrize("outer", MODES)
def test_state_is_the_winners_or_untouched_wherever_a_fork_is_cancelled(explore: Any, outer: str, inner: str) -> None:
    async def explored(probe: Probe) -> Any:
        paths = Paths(probe)
        state: dict[str, Any] = {"log": []}
        together = trio.Event()

        def path(name: str, wait: float | None) -> Any:
            async def run() -> str:
                mine = current_scope().state
                mine["log"].append(name)
                await (together.wait() if wait is None else trio.sleep(wait))  # noqa: ASYNC105
                if mine["log"] != [name]:
                    paths.complaints.append(f"{name} sees {mine}")
                return name

            return step(run, id=name)

        async def sets_together() -> None:
            await trio.sleep(1)
            together.set()

        def nested(name: str) -> Any:
            return fork(name, mode=inner, paths=[path(name + "1", None), path(name + "2", None)], **need(inner))

        whole = fork("f", mode=outer, paths=[nested("x"), path("y", None), nested("z")], **need(outer))
        result = None
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(sets_together)
                result = await whole.run(state=state)
        finally:
            adopted = [result] if outer == "race" and isinstance(result, str) else []
            assert state == {"log": adopted}, "a race takes over the state of its winner, and nobody else does"
        return result

    explore(explored, budget=LARGE)


@pytest.mark.long
def test_step_policies_keep_their_promises_wherever_they_are_cancelled(explore: Any) -> None:
    async def explored(probe: Probe) -> Any:
        limiter = probe.watch(trio.CapacityLimiter(1))
        breaker = CircuitBreaker(failure_threshold=3, cooldown=10)
        attempts: list[int] = []

        async def flaky() -> str:
            attempts.append(1)
            await trio.sleep(0.5)
            if len(attempts) < 3:
                raise OSError
            return "up"

        async def slow() -> None:
            await trio.sleep(20)

        retried = step(flaky, retry=Retry(attempts=3, delay=1), limiter=limiter, circuit_breaker=breaker, timeout=1)
        timed = step(slow, timeout=1, limiter=limiter)
        outcomes = await fork("f", mode="settle", paths=[retried, timed])()
        return [outcome.status for outcome in outcomes]

    # a timeout that fires early uses up one of three attempts, all of which the step needs
    explore(explored, budget=BUDGET, values=lambda statuses: statuses == ["rejected", "rejected"])


@pytest.mark.long
@pytest.mark.parametrize("mode", MODES)
def test_fault_in_any_checkpoint_leaves_nothing_behind(mode: str) -> None:
    explored = program(mode, {"concurrency": 2}, "tie")
    sweep_faults(explored, OSError, allow=ForkPartialError, values="any").raise_if_failed()
