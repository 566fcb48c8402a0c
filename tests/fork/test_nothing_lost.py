"""Random programs of forks in forks: each value that a path returned is somewhere, once, whatever happens when.

The paths have policies, fail, are refused, withstand their cancellation, add paths and are forks. What goes wrong: the
program is cancelled, an observer is interrupted at one event or at every event from then on, and functions of the user
raise. Each value must then be in the result, in the error, in a `dispose`, or have been told to observers.
"""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing

from trio_steps import (
    CircuitBreaker,
    ConfigError,
    ForkPartialError,
    Fulfilled,
    NotAcceptedError,
    RateLimit,
    Rejected,
    Retry,
    ValueDiscarded,
    current_scope,
    fork,
    step,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from trio_steps import Event


def numbers_in(found: Any) -> Iterator[int]:
    """Yield the values of paths in a result, in an error, or in what was given away."""
    if isinstance(found, int):
        yield found
        return
    parts: list[Any] = []
    if isinstance(found, Fulfilled):
        parts = [found.value]
    elif isinstance(found, Rejected):
        parts = [found.error]
    elif isinstance(found, ForkPartialError):
        parts = [*found.succeeded, *found.failed]
    elif isinstance(found, NotAcceptedError):
        parts = [found.value]
    elif isinstance(found, BaseExceptionGroup):
        parts = list(found.exceptions)
    elif isinstance(found, dict):
        parts = list(found.values())
    elif isinstance(found, (list, tuple)):
        parts = list(found)
    for part in parts:
        yield from numbers_in(part)


def raises_lookup_error(_: object) -> Any:
    raise LookupError


class Program:
    """One random program."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.made: list[int] = []
        self.found: list[Any] = []  # in the end, by the caller, by a `dispose` and by observers
        self.events = 0
        self.limiter = trio.CapacityLimiter(2)
        self.step = self.fork(0)
        self.deadline = random.choice([99, 99, 99, 1, 1.5])

    def value(self) -> int:
        self.made.append(len(self.made))
        return self.made[-1]

    def dispose(self) -> Any:
        choice = self.random.choice
        failing, error, calls = choice([1, 2, 99]), choice([OSError, KeyboardInterrupt]), 0

        async def dispose(value: Any) -> None:
            nonlocal calls
            self.found.append(value)
            calls += 1
            await trio.sleep(0.25)
            if calls == failing:
                raise error

        return choice([None, self.found.append, dispose])

    def path(self, number: int, depth: int) -> Any:
        random, choice = self.random, self.random.choice
        seconds, failures, tries = choice([0, 0.5, 1, 1, 2]), choice([0, 0, 0, 1, 2]), 0
        shield, adds = random.random() < 0.2, random.random() < 0.3
        error = choice([OSError(), ExceptionGroup("both", [OSError(), KeyError()])])

        async def added() -> int:
            await trio.sleep(1)
            return self.value()

        async def path() -> int:
            nonlocal tries
            with trio.CancelScope(shield=shield):
                await trio.sleep(seconds)
            tries += 1
            if tries <= failures:
                raise error
            if adds:
                with suppress(ConfigError, RuntimeError):  # the fork does not grow, or is decided
                    current_scope().add(partial(added))
            return self.value()

        accept = choice([None, None, lambda value: value != 3, lambda _: False, raises_lookup_error])
        policies: dict[str, Any] = {
            "retry": Retry(choice([1, 2, 3]), delay=choice([0, 0.5]), accept=accept),
            "timeout": choice([0.5, 1, 1.5]),
            "total_timeout": choice([1, 2, 2.5]),
            "circuit_breaker": CircuitBreaker(1, cooldown=0.25, on=choice([OSError, raises_lookup_error])),
            "limiter": self.limiter,
            "rate": RateLimit(1, per=0.5),
        }
        some = {name: policy for name, policy in policies.items() if random.random() < 0.35}
        inner = depth < 2 and random.random() < 0.3
        return step(self.fork(depth + 1) if inner else path, id=f"p{number}", **some)

    def fork(self, depth: int) -> Any:
        random, choice = self.random, self.random.choice
        arms = [self.path(number, depth) for number in range(choice([1, 2, 3, 4]))]
        mode = choice(["all", "settle", "race", "quorum"])
        options: dict[str, Any] = {"need": 1 + len(arms) // 2} if mode == "quorum" else {}
        if mode != "race" and random.random() < 0.2:
            options["merge"] = choice([lambda values: values, raises_lookup_error])

        async def source() -> AsyncIterator[Any]:
            for arm in arms:
                yield arm

        return fork(
            f"f{depth}",
            mode=mode,
            paths=choice([arms, {arm.id: arm for arm in arms}, lambda: iter(arms), source]),
            concurrency=choice([None, None, 1, 2, self.limiter]),
            stagger=choice([None, None, 0, 0.5]),
            timeout=choice([None, None, 1.5, 2]),
            accept=choice([None, None, lambda value: value != 1, raises_lookup_error]),
            dispose=self.dispose(),
            growing=random.random() < 0.4,
            **options,
        )

    def run(self, at: int, *, again: bool) -> BaseException | None:
        """Run it with an observer that is interrupted at event `at`, and return what it raises."""

        def observer(event: Event) -> None:
            self.events += 1
            if isinstance(event, ValueDiscarded) and not event.disposed:
                self.found.append(event.value)
            if self.events == at or (again and self.events > at):
                raise KeyboardInterrupt

        async def main() -> None:
            with trio.move_on_after(self.deadline):
                try:
                    self.found.append(await self.step.run(observers=[observer]))
                except Exception as error:
                    self.found.append(error)

        try:
            trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
        except BaseException as error:
            return error
        return None


@pytest.mark.parametrize("seed", range(60))
def test_each_value_is_somewhere_once_whatever_happens_when(seed: int) -> None:
    choices = Random(seed)
    for at in (10**9, *(choices.randint(1, 40) for _ in range(6))):
        program = Program(Random(seed))
        raised = program.run(at, again=choices.random() < 0.5)
        assert Counter(numbers_in(program.found)) == Counter(program.made), at
        assert program.limiter.borrowed_tokens == 0, at
        assert isinstance(raised, KeyboardInterrupt) or (raised is None and program.events < at), at
