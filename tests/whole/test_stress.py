"""Random trees of forks against a naive reference in plain Trio, on a virtual clock.

The reference is what one would write by hand: a nursery, one task per path, and counting. It gives nothing away and
reports nothing. So only outcomes and times are compared. In addition the values are counted: each is in the outcome
once, or was given to ``dispose`` once, wherever it was held in between.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import pytest
import trio
import trio.testing

from trio_steps import CircuitBreaker, ForkPartialError, Fulfilled, Rejected, Retry, StepTimeoutError, fork, step

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAMS = 300
"""How many programs a test run tries. 10,000 were tried when this was written."""


@dataclass(frozen=True)
class Leaf:
    key: int
    seconds: float
    failures: int  # how many attempts fail first
    attempts: int
    shielded: bool
    guarded: bool  # by its own circuit breaker
    waits: float | None  # the seconds after which it waits for a token of the shared limiter


@dataclass(frozen=True)
class Node:
    key: int
    mode: str
    need: int
    paths: tuple[Any, ...]
    limit: int | None
    is_limiter: bool
    source: str
    source_fails: float | None  # the seconds from the request after the last path to the failure
    timeout: float | None
    dispose_fails: bool


class SourceError(Exception):
    pass


class Draft:
    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.keys = iter(range(1000))

    def chance(self, percent: int) -> bool:
        return self.random.randrange(100) < percent

    def node(self, depth: int) -> Node:
        size = self.random.randint(1, 4)
        paths = tuple(self.node(depth + 1) if depth < 3 and self.chance(35) else self.leaf() for _ in range(size))
        mode = self.random.choice(["race", "all", "settle", "quorum"])
        source = self.random.choice(["list", "lazy", "async"])
        return Node(
            key=next(self.keys),
            mode=mode,
            need=self.random.randint(1, size) if mode == "quorum" else 0,
            paths=paths,
            limit=self.random.choice([None, 1, 2, 3]),
            is_limiter=self.chance(50),
            source=source,
            source_fails=self.random.uniform(0.1, 5) if source == "async" and self.chance(30) else None,
            timeout=self.random.uniform(1, 9) if self.chance(20) else None,
            dispose_fails=self.chance(20),
        )

    def leaf(self) -> Leaf:
        return Leaf(
            key=next(self.keys),
            seconds=self.random.uniform(0.1, 5),
            failures=self.random.choice([0, 0, 0, 1, 9]),
            attempts=self.random.randint(1, 3),
            shielded=self.chance(15),
            guarded=self.chance(30),
            waits=self.random.uniform(0.1, 2) if self.chance(30) else None,
        )


TOKENS = 2
"""Tokens of the limiter that many leaves share."""

Value = tuple[str, int]


class Ours:
    """The program, written with trio_steps."""

    def __init__(self) -> None:
        self.made: list[Value] = []
        self.disposed: list[Value] = []
        self.limiter = trio.CapacityLimiter(TOKENS)

    def path(self, tree: Any) -> Any:
        return self.fork(tree) if isinstance(tree, Node) else self.leaf(tree)

    def leaf(self, leaf: Leaf) -> Any:
        tried = 0

        async def run() -> Value:
            nonlocal tried
            tried += 1
            with trio.CancelScope(shield=leaf.shielded):
                await trio.sleep(leaf.seconds)
            if tried <= leaf.failures:
                raise OSError(leaf.key)
            self.made.append(("value", leaf.key))
            return ("value", leaf.key)

        breaker = CircuitBreaker(99, cooldown=1) if leaf.guarded else None
        limiter = None if leaf.waits is None else self.limiter
        inner = step(run, retry=Retry(leaf.attempts), circuit_breaker=breaker, limiter=limiter)

        async def path() -> Value:
            assert leaf.waits is not None
            await trio.sleep(leaf.waits)
            return await inner()

        return inner if leaf.waits is None else path

    def fork(self, node: Node) -> Any:
        paths = [self.path(path) for path in node.paths]

        def lazy(*_: Any) -> Iterator[Any]:
            yield from paths

        async def later(*_: Any) -> Any:
            for path in paths:
                yield path
            if node.source_fails is not None:
                await trio.sleep(node.source_fails)
                raise SourceError(node.key)

        def dispose(value: Value) -> None:
            self.disposed.extend(values_in(value))
            if node.dispose_fails:
                raise RuntimeError

        limit: Any = node.limit
        return fork(
            f"fork-{node.key}",
            mode=cast("Any", node.mode),
            paths={"list": paths, "lazy": lazy, "async": later}[node.source],
            need=node.need or None,
            concurrency=trio.CapacityLimiter(limit) if limit and node.is_limiter else limit,
            timeout=node.timeout,
            dispose=dispose,
        )


def values_in(outcome: Any) -> list[Value]:
    """Return the values in the result or the error of a path."""
    if isinstance(outcome, Fulfilled):
        return values_in(outcome.value)
    if isinstance(outcome, Rejected):
        return values_in(outcome.error)
    if isinstance(outcome, ForkPartialError):
        return [value for part in (*outcome.succeeded, *outcome.exceptions) for value in values_in(part)]
    if isinstance(outcome, tuple):
        if outcome and outcome[0] == "value":
            return [cast("Value", outcome)]
        return [value for part in outcome for value in values_in(part)]
    return []


def plain(outcome: Any) -> Any:
    if isinstance(outcome, Fulfilled):
        return ("fulfilled", plain(outcome.value))
    if isinstance(outcome, Rejected):
        return ("rejected", plain(outcome.error))
    if isinstance(outcome, ForkPartialError):
        return (
            "failed",
            tuple(plain(error) for error in outcome.exceptions),
            tuple(plain(result.value) for result in outcome.succeeded),
            len(outcome.failed),
        )
    if isinstance(outcome, StepTimeoutError):
        return ("timeout",)
    if isinstance(outcome, Exception):
        return (type(outcome).__name__, outcome.args)
    if isinstance(outcome, tuple) and not (outcome and outcome[0] == "value"):
        return tuple(plain(part) for part in outcome)
    return outcome


class Failed(Exception):
    """Raised by a fork of the reference, with its plain outcome."""

    def __init__(self, outcome: Any) -> None:
        super().__init__(outcome)
        self.outcome = outcome


async def by_hand(tree: Any, limiter: trio.CapacityLimiter) -> Any:
    """Return the plain outcome of `tree`, or raise it as `Failed`."""
    if isinstance(tree, Node):
        return await ByHand(tree, limiter).run()
    if tree.waits is None:
        return await attempts(tree)
    await trio.sleep(tree.waits)
    async with limiter:
        return await attempts(tree)


async def attempts(tree: Leaf) -> Value:
    for attempt in range(1, tree.attempts + 1):
        with trio.CancelScope(shield=tree.shielded):
            await trio.sleep(tree.seconds)
        if attempt > tree.failures:
            return ("value", tree.key)
        if attempt < tree.attempts:
            await trio.lowlevel.checkpoint_if_cancelled()  # a cancelled path is not tried again
    raise Failed(("OSError", (tree.key,)))


class ByHand:
    """A fork, written by hand."""

    def __init__(self, node: Node, limiter: trio.CapacityLimiter) -> None:
        self.node = node
        self.limiter = limiter
        self.values: dict[int, Any] = {}
        self.errors: dict[int, Any] = {}
        self.late_values: dict[int, Any] = {}
        self.late_errors: dict[int, Any] = {}
        self.pulled = 0
        self.total: int | None = len(node.paths) if node.source == "list" else None
        self.source_failed = False
        self.decided = False

    def deadline_has_passed(self) -> bool:
        return not self.decided and trio.current_time() >= self.scope.deadline

    def look(self) -> None:
        node, wins, failures = self.node, len(self.values), len(self.errors)
        done = wins + failures == self.total or self.source_failed
        if node.mode == "race":
            done = done or wins == 1
        elif node.mode == "all":
            done = done or failures == 1
        elif node.mode == "quorum":
            done = done or wins == node.need or (self.total is not None and self.total - failures < node.need)
        if done:
            self.decided = True
            self.scope.cancel()

    async def path(self, index: int, slots: trio.CapacityLimiter | None) -> None:
        value: Any = None
        error: Any = None
        if self.decided:  # in the tick that spawned this task
            return
        try:
            value = await by_hand(self.node.paths[index], self.limiter)
        except Failed as failed:
            error = failed.outcome
        finally:
            if slots is not None:
                slots.release_on_behalf_of(index)
        late = self.decided or self.deadline_has_passed()
        if error is None:
            (self.late_values if late else self.values)[index] = value
        else:
            (self.late_errors if late else self.errors)[index] = error
        if not late:
            self.look()

    async def run(self) -> Any:
        node = self.node
        slots = None if node.limit is None else trio.CapacityLimiter(node.limit)
        async with trio.open_nursery() as nursery:
            self.scope = nursery.cancel_scope
            if node.timeout is not None:
                self.scope.deadline = trio.current_time() + node.timeout
            # a path of an async source is taken before it has a token
            takes_first = node.source == "async" and node.is_limiter
            for index in range(len(node.paths)):
                self.pulled += takes_first
                if slots is not None:
                    await slots.acquire_on_behalf_of(index)
                if self.decided:
                    break
                self.pulled += not takes_first
                nursery.start_soon(self.path, index, slots)
            else:
                if node.source != "list":
                    if (
                        slots is not None and not takes_first
                    ):  # the source is asked only when there is room for another path
                        await slots.acquire_on_behalf_of("the end")
                    if node.source_fails is not None:
                        await trio.sleep(node.source_fails)
                        self.source_failed = True
                    if not self.decided:
                        self.total = None if self.source_failed else self.pulled
                        self.look()
        timed_out = self.deadline_has_passed()
        await trio.lowlevel.checkpoint_if_cancelled()
        return self.outcome(timed_out)

    def outcome(self, timed_out: bool) -> Any:
        node, values = self.node, self.values
        listed = len(node.paths) if node.source == "list" else self.pulled
        failed = (
            self.source_failed
            or (timed_out and node.mode != "settle")
            or (node.mode == "race" and not values)
            or (node.mode == "all" and bool(self.errors))
            or (node.mode == "quorum" and len(values) < node.need)
        )
        if not failed:
            if node.mode == "race":
                return next(iter(values.values()))
            if node.mode == "settle":
                return tuple(
                    ("fulfilled", values[index])
                    if index in values
                    else ("rejected", self.errors.get(index, ("timeout",)))
                    for index in range(listed)
                )
            return tuple(values[index] for index in sorted(values))
        errors = {**self.errors, **self.late_errors}
        held = dict(values) if timed_out else {**values, **self.late_values}
        group = [errors[index] for index in sorted(errors)]
        if self.source_failed:
            group.append(("SourceError", (node.key,)))
        elif timed_out:
            group.append(("timeout",))
        elif node.mode == "quorum" and self.total is not None and self.total < node.need:
            group.append(("NoPathsError", ()))
        raise Failed(
            ("failed", tuple(group), tuple(held[index] for index in sorted(held)), listed - len(held)),
        )


def compare(seed: int) -> None:
    tree = Draft(seed).node(0)
    ours = Ours()

    async def run_ours() -> tuple[Any, float]:
        try:
            outcome = await ours.fork(tree)()
        except ForkPartialError as error:
            outcome = error
        return outcome, trio.current_time()

    async def run_by_hand() -> tuple[Any, float]:
        try:
            outcome = await by_hand(tree, trio.CapacityLimiter(TOKENS))
        except Failed as failed:
            outcome = failed.outcome
        return outcome, trio.current_time()

    outcome, time = trio.run(run_ours, clock=trio.testing.MockClock(autojump_threshold=0))
    expected = trio.run(run_by_hand, clock=trio.testing.MockClock(autojump_threshold=0))
    assert (plain(outcome), time) == expected, f"seed {seed}: {tree}"
    assert Counter(ours.made) == Counter(values_in(outcome) + ours.disposed), f"seed {seed}: {tree}"


@pytest.mark.parametrize("first", range(0, PROGRAMS, 50))
def test_random_trees_of_forks_come_to_what_they_come_to_by_hand(first: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("CRITICAL", "trio_steps")
    for seed in range(first, first + 50):
        compare(seed)
