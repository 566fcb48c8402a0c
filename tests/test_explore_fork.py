"""Our own forks, explored: cancelled at every point, reordered, and both; see `trio_steps.testing`."""

from __future__ import annotations

import logging
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
    fork,
    step,
)
from trio_steps.testing import Probe, RecordingObserver, sweep_faults

if TYPE_CHECKING:
    from collections.abc import Iterator

pytest_plugins = ["_trio_steps_pytest"]  # also where the package was installed without it

BUDGET = 50
"""How many runs; the patient say --steps-budget=2000, or 60s, for each test."""

OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "one_at_a_time": {"concurrency": 1},
    "two_at_a_time": {"concurrency": 2},
    "limiter": {"concurrency": "limiter"},
    "stagger": {"stagger": 1},
    "stagger_zero_limited": {"stagger": 0, "concurrency": 2},
    "timeout": {"timeout": 2},
    "lazy": {"lazy": "sync", "concurrency": 2},
    "lazy_async": {"lazy": "async", "concurrency": 2},
    "source_fails": {"lazy": "fails", "concurrency": 2},
    "async_dispose": {"async_dispose": True, "timeout": 1},
}
MODES = ["race", "all", "settle", "quorum"]


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logger = logging.getLogger("trio_steps")
    logger.disabled = True
    yield
    logger.disabled = False


class Paths:
    """Paths that keep accounts: who runs, what was raised, and what became of it."""

    def __init__(self, probe: Probe) -> None:
        self.probe = probe
        self.running = 0
        self.raised: list[Exception] = []
        self.observer = RecordingObserver()
        self.error: BaseException | None = None
        self.together = trio.Event()
        probe.invariant(self.nobody_runs)
        probe.invariant(self.no_error_is_lost)

    def nobody_runs(self) -> None:
        assert self.running == 0, f"{self.running} paths still run"

    def no_error_is_lost(self) -> None:
        known = [event.error for event in self.observer.of(ErrorDiscarded)]
        if self.error is None:  # a race or a quorum that is won gets over failures; they were seen as they came
            known += [event.error for event in self.observer.of(StepFailed)]
        todo = [self.error]
        while todo:
            error = todo.pop()
            known += [] if error is None else [error]
            todo += getattr(error, "exceptions", ())
            todo += [rejected.error for rejected in getattr(error, "failed", ())]
        lost = [error for error in self.raised if not any(error is other for other in known)]
        assert not lost, f"{lost} were raised and nobody was told"

    def _raise(self, name: str) -> Exception:
        error = OSError(name)
        self.raised.append(error)
        return error

    def path(self, name: str, wait: float | None, fails: bool = False) -> Any:
        """A path that waits (None: for `together`), gives a resource or fails, and takes a while to clean up."""

        async def run() -> Any:
            self.running += 1
            try:
                await (self.together.wait() if wait is None else trio.sleep(wait))  # noqa: ASYNC105
                if fails:
                    raise self._raise(name)
                return self.probe.resource(name)
            finally:
                with trio.CancelScope(shield=True):
                    await trio.lowlevel.checkpoint()
                self.running -= 1

        return step(run, id=name)

    def fails_at_clean_up(self, name: str) -> Any:
        async def run() -> None:
            self.running += 1
            try:
                await trio.sleep(3)
            except trio.Cancelled:
                raise self._raise(name) from None
            finally:
                self.running -= 1

        return step(run, id=name)

    async def sets_together(self) -> None:
        await trio.sleep(1)
        self.together.set()


def close(value: Any) -> None:
    if value is not None:
        value.close()


async def close_slowly(value: Any) -> None:
    await trio.lowlevel.checkpoint()
    close(value)


def program(mode: str, options: dict[str, Any], rows: str) -> Any:
    async def explored(probe: Probe) -> Any:
        paths = Paths(probe)
        made = {
            "tie": lambda: [paths.path("a", None), paths.path("b", None), paths.path("c", 2)],
            "failures": lambda: [
                paths.path("a", None, fails=True),
                paths.path("b", None),
                paths.path("c", None, fails=True),
                paths.fails_at_clean_up("d"),
            ],
            "all_fail": lambda: [paths.path(name, None, fails=True) for name in "abc"],
        }[rows]()
        chosen = dict(options)
        source: Any = made
        lazy = chosen.pop("lazy", None)
        if lazy == "sync":
            source = lambda: iter(made)  # noqa: E731
        elif lazy == "async":
            source = lambda: arriving(made)  # noqa: E731
        elif lazy == "fails":
            source = lambda: then_fails(made)  # noqa: E731
        dispose = close_slowly if chosen.pop("async_dispose", False) else close
        if chosen.get("concurrency") == "limiter":
            chosen["concurrency"] = probe.watch(trio.CapacityLimiter(2))
        if mode == "quorum":
            chosen["need"] = 2
        if mode != "race":
            chosen["merge"] = list
        one = fork("f", mode=mode, paths=source, dispose=dispose, **chosen)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(paths.sets_together)
            try:
                result = await one.run(observers=[paths.observer])
            except ForkPartialError as error:
                paths.error, result = error, error
            except BaseException as error:
                paths.error = error
                raise
            finally:
                paths.nobody_runs()
            check_result(mode, result, paths, made, lazy is not None)
            return result

    return explored


async def arriving(paths: list[Any]) -> Any:
    for path in paths:
        await trio.lowlevel.checkpoint()
        yield path


def then_fails(paths: list[Any]) -> Any:
    yield from paths[:2]
    raise LookupError


def check_result(mode: str, result: Any, paths: Paths, made: list[Any], lazy: bool) -> None:
    if isinstance(result, ForkPartialError):
        assert mode != "settle" or lazy, "settle fails only by its source"
        accounted = len(result.succeeded) + len(result.failed)
        assert accounted == len(made) or (lazy and accounted < len(made)), "every path that there was is accounted for"
    elif mode == "settle":
        assert [outcome.step_id for outcome in result] == [path.id for path in made], "one outcome a path, in order"
        for outcome in result:
            assert isinstance(outcome, (Fulfilled, Rejected))
            if isinstance(outcome, Rejected):
                assert not isinstance(outcome.error, trio.Cancelled)
                paths.raised = [error for error in paths.raised if error is not outcome.error]
    elif mode == "race":
        assert not result.closed, "the winner is open"
    else:
        order = [path.id for path in made]
        indexes = [order.index(value.name) for value in result if value is not None]
        assert indexes == sorted(indexes), "results are in path order"
        assert not any(value.closed for value in result if value is not None)


@pytest.mark.parametrize("rows", ["tie", "failures", "all_fail"])
@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("mode", MODES)
def test_fork_keeps_its_promises_wherever_it_is_cancelled(explore: Any, mode: str, options: str, rows: str) -> None:
    chosen = OPTIONS[options]
    if rows != "tie" and options in ("one_at_a_time", "stagger", "lazy_async"):
        chosen = {**chosen, "timeout": 2.5}  # a deadline amid failures
    explore(program(mode, chosen, rows), budget=BUDGET // 3 if rows == "all_fail" else BUDGET // 2)


@pytest.mark.parametrize("inner", MODES)
@pytest.mark.parametrize("outer", MODES)
def test_nested_forks_share_a_limiter_wherever_they_are_cancelled(explore: Any, outer: str, inner: str) -> None:
    async def explored(probe: Probe) -> Any:
        limiter = probe.watch(trio.CapacityLimiter(2))
        paths = Paths(probe)

        def need(mode: str) -> Any:
            return {"need": 1} if mode == "quorum" else {}

        def nested(name: str) -> Any:
            made = [paths.path(f"{name}{index}", None if index else 1) for index in range(2)]
            return fork(name, mode=inner, paths=made, concurrency=limiter, dispose=close, **need(inner))

        def close_all(value: Any) -> None:
            for item in value if isinstance(value, (list, tuple)) else [value]:
                close(item.value if isinstance(item, Fulfilled) else item)

        whole = fork(
            "outer",
            mode=outer,
            paths=[nested("x"), nested("y")],
            concurrency=limiter,
            dispose=close_all,
            **need(outer),
        )
        async with trio.open_nursery() as nursery:
            nursery.start_soon(paths.sets_together)
            result = await whole.run(observers=[paths.observer])
            paths.nobody_runs()
            return result

    explore(explored, budget=BUDGET // 2)


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

    explore(explored, budget=BUDGET)


@pytest.mark.parametrize("mode", MODES)
def test_fault_in_any_checkpoint_leaves_nothing_behind(mode: str) -> None:
    report = sweep_faults(program(mode, {"concurrency": 2}, "tie"), OSError, allow=ForkPartialError)
    report.raise_if_failed()
