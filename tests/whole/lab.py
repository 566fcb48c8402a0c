"""Scenarios of forks, run for real: everything that can be seen of a run from outside, to compare with the model."""

from __future__ import annotations

import logging
import re
from functools import partial
from typing import TYPE_CHECKING, Any

import trio
import trio.testing
from scenarios import CANCELLED, Around, Fork, Leaf, PathSpec, Plain, Scenario, Seen, Story

import trio_steps
from trio_steps import (
    ErrorDiscarded,
    Event,
    ForkPartialError,
    Fulfilled,
    NoPathsError,
    PathCancelledError,
    PathsCounted,
    Rejected,
    StepCancelled,
    StepFailed,
    StepSkipped,
    StepStarted,
    StepSucceeded,
    StepTimeoutError,
    ValueDiscarded,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

ENDS = {StepSucceeded: "value", StepFailed: "error", StepCancelled: "cancelled"}

NEVER = 100_000.0
"""Seconds after which a run that hangs is stopped. Every scenario takes far less."""


class Value(tuple):
    """The value of a path: ``("value", key)``."""

    __slots__ = ()


class Boom(Exception):
    """The error of a path."""


class SourceError(Exception):
    """The error of a source of paths."""


class DisposeError(Exception):
    """The error of a ``dispose``."""


class Lab(trio.abc.Instrument):
    """Runs a scenario, and records what can be seen."""

    def __init__(self, scenario: Scenario, *, observed: bool = True) -> None:
        self.scenario = scenario
        self.limiter = trio.CapacityLimiter(scenario.tokens)
        self.observers = (self.observe,) if observed else ()
        self.story = Story()
        self.seen: Seen = {}
        self.closed: dict[str, float] = {}
        self.events: list[Event] = []
        self.counted: dict[str, int] = {}
        self.logged: list[logging.LogRecord] = []
        self.returned: list[Plain] = []  # by paths that are not forks
        self.disposed: list[Plain] = []
        self.sources: list[Any] = []
        self.result: Any = None
        self.error: Exception | None = None

    def run(self, play: Callable[[], Awaitable[None]] | None = None) -> Lab:
        async def main() -> None:
            tasks = tasks_in(trio.lowlevel.current_root_task())
            await (play or self.play)()
            assert tasks_in(trio.lowlevel.current_root_task()) == tasks
            assert self.limiter.borrowed_tokens == 0
            assert self.limiter.statistics().tasks_waiting == 0
            for source in self.sources:
                assert getattr(source, "gi_frame", None) is None
                assert getattr(source, "ag_frame", None) is None

        logger = logging.getLogger("trio_steps")
        handler = logging.Handler()
        handler.emit = self.logged.append
        logger.addHandler(handler)
        logger.propagate = False  # otherwise pytest renders every traceback
        try:
            trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0), instruments=[self])
        finally:
            logger.propagate = True
            logger.removeHandler(handler)
        return self

    async def play(self) -> None:
        scope = trio.fail_after if self.scenario.outer == "fail" else trio.move_on_after
        outcome = CANCELLED
        try:
            with scope(min(self.scenario.outer_seconds, NEVER)):
                self.result = await self.fork(self.scenario.fork).run(observers=self.observers)
                outcome = ("value", plain(self.result))
        except Exception as error:
            self.error = error
            outcome = ("error", plain(error))
        self.story.outcome = outcome
        self.story.time = trio.current_time()

    async def play_cancelled(self, seconds: float, checkpoints: int) -> None:
        """Play the scenario, and cancel it after `seconds` and then a number of `checkpoints`."""

        async def cancel(scope: trio.CancelScope) -> None:
            await trio.sleep(seconds)
            for _ in range(checkpoints):
                await trio.lowlevel.checkpoint()
            scope.cancel()

        async with trio.open_nursery() as nursery:
            with trio.CancelScope() as scope:
                nursery.start_soon(cancel, scope)
                await self.play()
            nursery.cancel_scope.cancel()

    # Its parts

    def fork(self, spec: Fork) -> trio_steps.Fork[Any, Any]:
        paths = [self.path(path) for path in spec.paths]
        sources: dict[str, Any] = {
            "list": paths,
            "function": lambda: paths,
            "generator": lambda: self.opened(self.generator(spec, paths)),
            "async": lambda: self.opened(self.async_generator(spec, paths)),
        }
        disposals = {None: None, "sync": self.dispose, "slow": self.dispose_slowly, "fails": self.dispose_badly}
        return trio_steps.fork(
            spec.name,
            mode=spec.mode,
            paths=sources[spec.source],
            need=spec.need or None,
            concurrency=self.limiter if spec.limit == "shared" else spec.limit,
            stagger=spec.stagger,
            timeout=spec.timeout,
            dispose=disposals[spec.dispose],
        )

    def path(self, spec: PathSpec) -> Any:
        if isinstance(spec, Fork):
            return self.fork(spec)
        if isinstance(spec, Around):
            return partial(around, spec.seconds, self.fork(spec.fork))
        return partial(now if spec.seconds is None else leaf, self, spec)

    def end(self, spec: Leaf, how: str) -> Value:
        if how == "raises":
            raise Boom(spec.key)
        value = Value(("value", spec.key))
        self.returned.append(plain(value))
        return value

    def opened(self, source: Any) -> Any:
        self.sources.append(source)
        return source

    def generator(self, spec: Fork, paths: list[Any]) -> Iterator[Any]:
        try:
            for index, path in enumerate(paths):
                self.note_pull(spec, index)
                yield path
            self.note_pull(spec, len(paths))
            if spec.source_fails:
                raise SourceError(spec.name)
        finally:
            self.closed[spec.name] = trio.current_time()

    async def async_generator(self, spec: Fork, paths: list[Any]) -> AsyncIterator[Any]:
        try:
            for index, path in enumerate([*paths, None]):
                self.note_pull(spec, index)
                seconds = spec.source_seconds[index]
                if seconds is not None:
                    await trio.sleep(seconds)
                if index < len(paths):
                    yield path
            if spec.source_fails:
                raise SourceError(spec.name)
        finally:
            self.closed[spec.name] = trio.current_time()

    def dispose(self, value: Any) -> None:
        self.disposed.append(plain(value))

    async def dispose_slowly(self, value: Any) -> None:
        self.disposed.append(plain(value))
        await trio.sleep(self.scenario.dispose_seconds)

    def dispose_badly(self, value: Any) -> None:
        self.disposed.append(plain(value))
        raise DisposeError(value)

    # What is seen

    def note(self, *key: Any) -> None:
        assert key not in self.seen
        self.seen[key] = (len(self.seen), trio.current_time())

    def note_pull(self, fork: Fork, index: int) -> None:
        self.story.pulls[fork.name, index] = trio.current_time()
        self.note("pull", fork.name, index)

    def before_io_wait(self, timeout: float) -> None:
        self.story.note_borrowed(trio.current_time(), self.limiter.borrowed_tokens)

    def observe(self, event: Event) -> None:
        story, name, time = self.story, event.name, event.time
        assert time == trio.current_time()
        self.events.append(event)
        if isinstance(event, StepStarted):
            self.note("start", name)
            story.starts[name] = time
        elif isinstance(event, tuple(ENDS)):
            self.note("end", name)
            assert event.duration == time - story.starts[name]
            story.ends[name] = (time, ENDS[type(event)])
        elif isinstance(event, StepSkipped):
            story.skipped[name] += 1
        elif isinstance(event, ValueDiscarded):
            story.discarded[name, plain(event.value), event.disposed] += 1
        elif isinstance(event, PathsCounted):
            assert name not in self.counted
            self.counted[name] = event.total
        else:
            assert isinstance(event, ErrorDiscarded)
            story.reported[name, plain(event.error)] += 1

    def of_kind(self, kind: type[Event]) -> Iterator[Any]:
        return (event for event in self.events if isinstance(event, kind))


def tasks_in(task: trio.lowlevel.Task | None) -> set[trio.lowlevel.Task]:
    assert task is not None
    return {task}.union(*(tasks_in(child) for nursery in task.child_nurseries for child in nursery.child_tasks))


async def leaf(lab: Lab, spec: Leaf) -> Value:
    assert spec.seconds is not None
    try:
        with trio.CancelScope(shield=spec.shielded):
            await trio.sleep(spec.seconds)
    except trio.Cancelled:
        if spec.clean_up is None:
            raise
        with trio.CancelScope(shield=True):
            await trio.sleep(spec.clean_up.seconds)
        if spec.clean_up.then == "stops":
            raise
        return lab.end(spec, spec.clean_up.then)
    return lab.end(spec, "raises" if spec.fails else "returns")


def now(lab: Lab, spec: Leaf) -> Value:
    return lab.end(spec, "raises" if spec.fails else "returns")


async def around(seconds: float | None, fork: trio_steps.Fork[Any, Any]) -> Any:
    if seconds is not None:
        await trio.sleep(seconds)
    return await fork()


def plain(thing: Any) -> Plain:
    """Return a value or an error as nested tuples, which is how the model has them."""
    if isinstance(thing, Value):
        return tuple(thing)
    if isinstance(thing, tuple):
        return ("tuple", *map(plain, thing))
    if isinstance(thing, Fulfilled):
        return ("fulfilled", thing.step_id, plain(thing.value))
    if isinstance(thing, Rejected):
        return ("rejected", thing.step_id, thing.kind, plain(thing.error))
    if isinstance(thing, ForkPartialError):
        assert isinstance(thing, ExceptionGroup)
        lists = (thing.exceptions, thing.succeeded, thing.failed)
        return ("ForkPartialError", thing.step_id, *(tuple(map(plain, things)) for things in lists))
    if isinstance(thing, PathCancelledError):
        # the contract fixes the reason for a path that won or failed; for other reasons, only how they begin
        found = re.match(r"fork '([^']+)': (?:path '([^']+)' (won$|failed(?=: )))?", thing.reason)
        assert found is not None
        return ("PathCancelledError", thing.step, tuple(filter(None, found.groups())), thing.started)
    if isinstance(thing, StepTimeoutError):
        return ("StepTimeoutError", thing.step, thing.seconds)
    if isinstance(thing, DisposeError):
        return ("DisposeError", plain(thing.args[0]))
    if isinstance(thing, (Boom, SourceError)):
        (note,) = thing.__notes__
        return (type(thing).__name__, *thing.args, note.removeprefix("in step ").strip("'"))
    assert type(thing) in (NoPathsError, trio.TooSlowError), repr(thing)
    return (type(thing).__name__,)
