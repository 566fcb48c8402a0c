"""An observer may be interrupted at any event: Ctrl-C lands wherever Python code runs. Even then, no value is lost."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing
from paths import raises, returns, shielded

from trio_steps import (
    AttemptEnded,
    CircuitBreaker,
    CircuitChanged,
    ErrorDiscarded,
    Event,
    ForkPartialError,
    Fulfilled,
    Rejected,
    Retry,
    StepFailed,
    StepRetrying,
    StepSucceeded,
    ValueDiscarded,
    fork,
    gather,
    race,
    settle,
    step,
    stream,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Interrupting:
    """An observer that is interrupted at some events."""

    def __init__(self, at: Callable[[Any, int], bool]) -> None:
        self.at = at
        self.events: list[Event] = []

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        if self.at(event, len(self.events)):
            raise KeyboardInterrupt(type(event).__name__)

    def told(self) -> list[Any]:
        """The values that have no `dispose`."""
        return [event.value for event in self.events if isinstance(event, ValueDiscarded) and not event.disposed]


def numbers_in(value: Any) -> Iterator[int]:
    """Yield the values of paths in `value`, which may be the result of a fork that was a path."""
    if isinstance(value, int):
        yield value
        return
    if isinstance(value, Fulfilled):
        value = [value.value]
    elif isinstance(value, Rejected):
        value = value.error.succeeded if isinstance(value.error, ForkPartialError) else []
    for one in value:
        yield from numbers_in(one)


class Program:
    """A fork whose paths have policies, are refused, fail, come late and are forks themselves."""

    def __init__(self, mode: str) -> None:
        self.made: list[int] = []
        self.disposed: list[Any] = []
        self.taken: list[Any] = []
        self.tries: Counter[str] = Counter()
        self.limiter = trio.CapacityLimiter(3)
        self.breaker = CircuitBreaker(1, cooldown=0.25)
        inner = fork("inner", mode="all", paths=[self.path("a"), self.path("b"), self.path("c", fails=1, delay=1)])
        held = fork("inner", mode="settle", paths=[self.path("d"), inner], dispose=self.disposed.append)
        paths = [
            step(self.path("refused", delay=2), retry=Retry(2, accept=lambda _: self.tries["refused"] > 1)),
            step(self.path("probed", fails=1), circuit_breaker=self.breaker, retry=Retry(2, delay=0.5), timeout=9),
            step(inner_with(self.disposed, self), retry=Retry(2, delay=0.25), total_timeout=9, id="inner"),
            step(held, id="held"),
            step(self.path("stale", delay=3), retry=Retry(1, accept=lambda _: False)),
            step(self.path("late", delay=6, shield=True)),
        ]
        need: dict[str, Any] = {"need": 3} if mode == "quorum" else {}
        own = fork(
            "f", mode=mode, paths=paths, concurrency=self.limiter, timeout=5, dispose=self.disposed.append, **need
        )
        self.step = step(own, timeout=99)

    def path(self, name: str, *, fails: int = 0, delay: float = 0.5, shield: bool = False) -> Any:
        async def run() -> int:
            with trio.CancelScope(shield=shield):
                await trio.sleep(delay)
            self.tries[name] += 1
            if self.tries[name] <= fails:
                raise OSError(name)
            self.made.append(len(self.made))
            return self.made[-1]

        return step(run, id=name)

    def run(self, observer: Interrupting) -> BaseException | None:
        """Run it, and return what it raises."""

        async def main() -> BaseException | None:
            try:
                await self.step.run(observers=[observer])
            except BaseException as error:
                return error
            return None

        return trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def inner_with(disposed: list[Any], program: Program) -> Any:
    paths = [program.path("x"), program.path("y"), program.path("z", fails=1, delay=1)]
    return fork("inner", mode="all", paths=paths, dispose=disposed.append)


@pytest.mark.parametrize("mode", ["all", "settle", "race", "quorum"])
@pytest.mark.parametrize("again", [False, True], ids=["once", "from then on"])
def test_interrupt_at_any_event_loses_no_value(mode: str, again: bool) -> None:
    undisturbed = Interrupting(lambda _event, _number: False)
    Program(mode).run(undisturbed)
    assert len(undisturbed.events) > 20
    for at in range(1, len(undisturbed.events) + 1):
        program = Program(mode)
        observer = Interrupting(lambda _event, number, at=at: number >= at if again else number == at)  # type: ignore[misc]
        raised = program.run(observer)
        where = (at, observer.events[at - 1])
        assert isinstance(raised, KeyboardInterrupt), where
        assert sorted(numbers_in(program.disposed + observer.told())) == program.made, where
        assert program.limiter.borrowed_tokens == 0, where


async def read(program: Program, mode: Any, stop: int | None, observer: Interrupting) -> None:
    """Read `stop` results of a stream, or all."""
    paths = [
        step(program.path("refused", delay=2), retry=Retry(2, accept=lambda _: program.tries["refused"] > 1)),
        program.path("a"),
        program.path("late", delay=4, shield=True),
        program.path("b"),
        program.path("fails", fails=1, delay=2),
    ]
    dispose, limiter = program.disposed.append, program.limiter
    run = stream(*paths, mode=mode, timeout=3, concurrency=limiter, dispose=dispose, observers=[observer])
    try:
        async with run as results:
            async for result in results:
                program.taken.append(result)
                if len(program.taken) == stop:
                    break
    except ForkPartialError as error:
        program.taken.append(Rejected("stream", error))


@pytest.mark.parametrize("mode", ["all", "settle"])
@pytest.mark.parametrize("stop", [None, 1], ids=["read", "left"])
def test_interrupt_at_any_event_of_a_stream_loses_no_value(mode: str, stop: int | None) -> None:
    at, raised = 0, True
    while raised:
        at += 1
        program = Program("all")
        observer = Interrupting(lambda _event, number, at=at: number == at)  # type: ignore[misc]
        clock = trio.testing.MockClock(autojump_threshold=0)
        try:
            trio.run(read, program, mode, stop, observer, clock=clock)
            raised = False
        except KeyboardInterrupt:
            pass
        found = program.taken + program.disposed + observer.told()
        assert sorted(numbers_in(found)) == program.made, at
        assert program.limiter.borrowed_tokens == 0, at
    assert at > 10


def at_end_of(kind: type[Event], name: str) -> Interrupting:
    return Interrupting(lambda event, _number: isinstance(event, kind) and event.name == name)


@pytest.mark.parametrize("kind", [AttemptEnded, StepSucceeded])
async def test_interrupt_at_the_success_of_a_path_disposes_of_its_value(kind: type[Event]) -> None:
    disposed: list[Any] = []
    path = step(returns(1, "a"), retry=Retry(2), id="a")
    with pytest.raises(KeyboardInterrupt):
        await fork("f", mode="all", paths=[path], dispose=disposed.append).run(observers=[at_end_of(kind, "f/a")])
    assert disposed == ["a"]


@pytest.mark.parametrize("policy", [{}, {"timeout": 9}], ids=["bare", "guarded"])
async def test_interrupt_at_the_success_of_a_fork_disposes_of_the_values_in_its_result(policy: Any) -> None:
    disposed: list[Any] = []
    paths = [returns(1, "a"), returns(2, "b")]
    pair = fork("f", mode="all", paths=paths, merge="".join, dispose=disposed.append)
    observer = at_end_of(AttemptEnded if policy else StepSucceeded, "f")
    with pytest.raises(KeyboardInterrupt):
        await step(pair, **policy).run(observers=[observer])
    assert disposed == ["a", "b"]


async def test_interrupt_at_the_success_of_a_fork_without_dispose_tells_of_each_value() -> None:
    observer = at_end_of(StepSucceeded, "race")
    with pytest.raises(KeyboardInterrupt):
        await race(returns(1, "a"), returns(2, "b"), observers=[observer])
    assert observer.told() == ["a"]


async def test_interrupt_at_the_success_of_a_step_that_a_path_awaits_by_itself_tells_of_its_value() -> None:
    disposed: list[Any] = []

    async def path() -> str:
        return f"made of {await step(returns(1, 'a'), id='inner').run()}"

    observer = at_end_of(StepSucceeded, "f/path/inner")
    with pytest.raises(KeyboardInterrupt):
        await fork("f", mode="all", paths=[path], dispose=disposed.append).run(observers=[observer])
    assert (disposed, observer.told()) == ([], ["a"])


async def test_interrupt_at_the_success_of_a_settled_fork_reports_its_errors(caplog: pytest.LogCaptureFixture) -> None:
    disposed: list[Any] = []
    inner = fork("inner", mode="all", paths=[returns(1, "a"), raises(2, OSError("down"))], dispose=disposed.append)
    observer = at_end_of(StepSucceeded, "settle")
    with pytest.raises(KeyboardInterrupt):
        await settle(inner, observers=[observer])
    assert disposed == ["a"]
    [error] = [event.error for event in observer.events if isinstance(event, ErrorDiscarded)]
    assert isinstance(error, ForkPartialError)
    assert len(caplog.records) == 1


@pytest.mark.parametrize("kind", [AttemptEnded, StepFailed])
async def test_interrupt_at_the_failure_of_a_fork_disposes_of_the_values_in_its_error(kind: type[Event]) -> None:
    disposed: list[Any] = []
    pair = fork("f", mode="all", paths=[returns(1, "a"), raises(2, OSError())], dispose=disposed.append)
    with pytest.raises(KeyboardInterrupt):
        await step(pair, timeout=9).run(observers=[at_end_of(kind, "f")])
    assert disposed == ["a"]


async def test_interrupt_before_another_attempt_disposes_of_the_values_of_the_last() -> None:
    disposed: list[Any] = []
    pair = fork("f", mode="all", paths=[returns(1, "a"), raises(2, OSError())], dispose=disposed.append)
    with pytest.raises(KeyboardInterrupt):
        await step(pair, retry=Retry(2)).run(observers=[at_end_of(StepRetrying, "f")])
    assert disposed == ["a"]


async def test_interrupt_when_a_breaker_closes_disposes_of_the_value_of_the_probe() -> None:
    disposed: list[Any] = []
    errors: list[Exception] = [OSError()]

    async def path() -> str:
        if errors:
            raise errors.pop()
        return "a"

    observer = Interrupting(lambda event, _: isinstance(event, CircuitChanged) and event.state == "closed")
    probed = step(path, circuit_breaker=CircuitBreaker(1, cooldown=1), retry=Retry(2, delay=1))
    with pytest.raises(KeyboardInterrupt):
        await fork("f", mode="all", paths=[probed], dispose=disposed.append).run(observers=[observer])
    assert disposed == ["a"]


async def test_interrupt_when_a_breaker_opens_disposes_of_the_values_in_the_error() -> None:
    disposed: list[Any] = []
    pair = fork("f", mode="all", paths=[returns(1, "a"), raises(2, OSError())], dispose=disposed.append)
    observer = Interrupting(lambda event, _: isinstance(event, CircuitChanged))
    with pytest.raises(KeyboardInterrupt):
        await step(pair, circuit_breaker=CircuitBreaker(1, cooldown=1)).run(observers=[observer])
    assert disposed == ["a"]


async def test_interrupt_at_the_report_of_a_value_does_not_keep_it_from_dispose() -> None:
    disposed: list[Any] = []
    observer = Interrupting(lambda event, _: isinstance(event, ValueDiscarded))
    with pytest.raises(KeyboardInterrupt):
        await race(
            returns(1, "won"), shielded(2, "late"), shielded(3, "later"), dispose=disposed.append, observers=[observer]
        )
    assert disposed == ["late", "later", "won"]


async def test_interrupt_at_the_report_of_an_error_does_not_keep_the_rest_from_being_told() -> None:
    disposed: list[Any] = []
    observer = Interrupting(lambda event, _: isinstance(event, ErrorDiscarded))
    late = [shielded(2, OSError(), id="b"), shielded(3, ValueError(), id="c")]
    with pytest.raises(KeyboardInterrupt):
        await race(returns(1, "a"), *late, dispose=disposed.append, observers=[observer])
    assert [event.name for event in observer.events if isinstance(event, ErrorDiscarded)] == [
        "race/b",
        "race/c",
        "race/c",  # the second interrupt
    ]
    assert disposed == ["a"]


async def test_first_of_two_interrupts_in_disposing_of_errors_is_raised_and_the_other_reported() -> None:
    told: list[Any] = []

    def dispose(value: Any) -> None:
        told.append(value)
        raise KeyboardInterrupt(value)

    async def two() -> None:
        results = await settle(
            *[fork(name, mode="all", paths=[returns(1, name), raises(2, OSError())], dispose=dispose) for name in "ab"]
        )
        raise ExceptionGroup("both", [result.error for result in results if result.error])

    events: list[Any] = []
    with pytest.raises(KeyboardInterrupt) as caught:
        await step(two, retry=Retry(2)).run(observers=[events.append])
    assert sorted(told) == ["a", "b"]
    [other] = [event.error for event in events if isinstance(event, ErrorDiscarded)]
    assert sorted([caught.value.args, other.args]) == [("a",), ("b",)]


async def test_interrupt_of_a_path_is_the_first_even_if_its_observer_is_interrupted_too() -> None:
    async def path() -> None:
        raise BaseExceptionGroup("both", [SystemExit(3), OSError()])

    observer = at_end_of(StepFailed, "f/path")
    with pytest.raises(SystemExit):
        await fork("f", mode="all", paths=[path]).run(observers=[observer])


# What a function of a policy raises instead


@pytest.mark.parametrize("retry", ["on", "delay"])
async def test_function_of_a_retry_that_fails_does_not_lose_the_values_in_the_error(retry: str) -> None:
    disposed: list[Any] = []

    def broken(*_: object) -> Any:
        raise LookupError("a bug")

    pair = fork("f", mode="all", paths=[returns(1, "a"), raises(2, OSError())], dispose=disposed.append)
    policy = Retry(2, on=broken) if retry == "on" else Retry(2, delay=broken)
    with pytest.raises(LookupError, match="a bug"):
        await step(pair, retry=policy)()
    assert disposed == ["a"]


async def test_predicate_of_a_breaker_that_fails_does_not_lose_the_values_in_the_error() -> None:
    disposed: list[Any] = []

    def broken(_error: Exception) -> bool:
        raise LookupError("a bug")

    pair = fork("f", mode="all", paths=[returns(1, "a"), raises(2, OSError())], dispose=disposed.append)
    with pytest.raises(LookupError, match="a bug"):
        await step(pair, circuit_breaker=CircuitBreaker(1, cooldown=1, on=broken))()
    assert disposed == ["a"]


async def test_result_that_the_caller_has_is_not_kept_by_events() -> None:
    class Big:
        pass

    events: list[Event] = []
    [value] = await gather(returns(0, Big(), id="a"), observers=[events.append])
    assert not hasattr(events[0].scope, "take_back") or events[0].scope.take_back is None
    assert isinstance(value, Big)
