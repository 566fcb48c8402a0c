"""Values that trio_steps itself drops: they are reported, or given back, exactly once."""

from __future__ import annotations

import copy

import pytest
import trio
from paths import ANY_SCOPE

from trio_steps import (
    ForkPartialError,
    Fulfilled,
    NotAcceptedError,
    Rejected,
    Retry,
    ValueDiscarded,
    current_scope,
    step,
)
from trio_steps._core.events.discarded import discard_value, discard_values_in
from trio_steps._core.scope import PathScope


def partial(*values, refused=()):
    """Return the error of a fork that holds `values`, and values that it `refused`."""
    failed = [NotAcceptedError("f/p", value) for value in refused] or [OSError("down")]
    error = ForkPartialError("f", failed)
    error.succeeded = tuple(Fulfilled(str(value), value) for value in values)
    error.failed = tuple(Rejected("p", one) for one in failed)
    return error


class Home:
    """Stands for the function that a fork leaves in its error, and takes the values."""

    def __init__(self):
        self.calls = 0

    async def __call__(self):
        self.calls += 1


async def dropped(error):
    """Drop `error` in a step, and return the values that observers are told of."""
    events = []

    @step
    async def drops():
        await discard_values_in(error, current_scope())

    await drops.run(observers=[events.append])
    return [event.value for event in events if isinstance(event, ValueDiscarded)]


async def test_values_in_an_error_go_home() -> None:
    error = partial(1, 2)
    error.discard_values = home = Home()
    assert await dropped(error) == []
    assert home.calls == 1


async def test_values_in_an_error_without_a_home_are_told_of() -> None:
    assert await dropped(partial(1, 2, refused=[3])) == [1, 2, 3]
    assert await dropped(copy.copy(partial(1, 2))) == [1, 2]
    assert await dropped(NotAcceptedError("s", 7)) == [7]
    assert await dropped(OSError()) == []


async def test_values_in_an_error_are_found_at_any_depth_once() -> None:
    inner = partial(1)
    inner.discard_values = home = Home()
    outer = ForkPartialError("g", [inner, ExceptionGroup("", [inner, partial(2), NotAcceptedError("s", 3)])])
    assert sorted(await dropped(ExceptionGroup("", [outer, inner]))) == [2, 3]
    assert home.calls == 1


async def test_values_in_an_error_go_home_from_a_part_of_it() -> None:
    error = partial(1)
    error.discard_values = home = Home()
    part, _ = error.split(OSError)
    assert await dropped(part) == []
    assert home.calls == 1


async def test_values_in_an_error_are_nothing_to_a_step_that_nobody_observes() -> None:
    @step
    async def drops():
        await discard_values_in(partial(1), current_scope())

    await drops()


async def test_values_in_an_error_that_is_tried_again_are_told_of(autojump_clock) -> None:
    events = []
    errors = [partial(1), partial(2)]

    @step(retry=Retry(2, delay=1))
    async def work():
        raise errors.pop(0)

    with pytest.raises(ForkPartialError) as caught:
        await work.run(observers=[events.append])
    assert [result.value for result in caught.value.succeeded] == [2]
    assert [event for event in events if isinstance(event, ValueDiscarded)] == [
        ValueDiscarded(name="work", time=0, scope=ANY_SCOPE, value=1, disposed=False)
    ]


async def test_value_of_a_path_goes_to_its_fork_and_that_of_a_step_inside_does_not() -> None:
    given = []

    async def discard(name, value):
        await trio.lowlevel.checkpoint()
        given.append((name, value))

    fork_scope, path_scope, step_scope = copy.copy(ANY_SCOPE), PathScope(), copy.copy(ANY_SCOPE)
    fork_scope.id, path_scope.id = "f", "p"
    fork_scope.discard_value = discard
    path_scope.parent, step_scope.parent = fork_scope, fork_scope
    path_scope.observers = path_scope.state = path_scope.lease = None
    path_scope.unnamed_inside = False
    await discard_value(path_scope, 1)
    await discard_value(step_scope, 2)
    del fork_scope.discard_value  # as in a fork that has ended
    await discard_value(path_scope, 3)
    assert given == [("f/p", 1)]
