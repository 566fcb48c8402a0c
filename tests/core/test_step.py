"""Steps: ids, calls and names."""

from __future__ import annotations

import functools
import gc
import inspect

import pytest
import trio
from paths import ANY_SCOPE

from trio_steps import (
    CircuitBreaker,
    ConfigError,
    Pipeline,
    Retry,
    Step,
    StepStarted,
    StepSucceeded,
    current_scope,
    fork,
    step,
)
from trio_steps._core.describe import describe
from trio_steps._core.step import NO_INPUT


async def fetch(input="nothing"):
    return input


class Service:
    async def load(self, input="nothing"):
        return input

    async def __call__(self, input="nothing"):
        return input


class Named(Service):
    __name__ = "named"


class Misnamed(Service):
    __name__ = 5


class Unnamed(Service):
    __name__ = ""


def with_attributes(partial):
    """Keep `functools.partial` from merging `partial` with one around it."""
    partial.note = "it has a __dict__"
    return partial


# Ids


@pytest.mark.parametrize(
    ("fn", "id"),
    [
        (fetch, "fetch"),
        (lambda: None, "<lambda>"),
        (functools.partial(fetch, 1), "fetch"),
        (functools.partial(functools.partial(fetch), 1), "fetch"),
        (functools.partial(with_attributes(functools.partial(fetch)), 1), "fetch"),
        (Service(), "Service"),
        (functools.partial(Service(), 1), "Service"),
        (Named(), "named"),
        (Misnamed(), "Misnamed"),
        (Unnamed(), "Unnamed"),
        (Service().load, "load"),
        (functools.partial(Service().load, 1), "load"),
        (trio.sleep, "sleep"),
        (len, "len"),
        (dict, "dict"),
        (step(fetch), "fetch"),
        (step(fetch, id="given"), "given"),
        (functools.partial(step(fetch, id="given"), 1), "given"),
        (functools.partial(with_attributes(functools.partial(step(fetch, id="given"))), 1), "given"),
        (fork("f", mode="all", paths=[fetch]), "f"),
        (functools.partial(fork("f", mode="all", paths=[fetch]), 1), "f"),
    ],
)
def test_step_id_is_the_name_of_what_is_called(fn, id) -> None:
    assert step(fn).id == id
    assert describe(fn)[0] == id


def test_step_id_that_is_given_takes_the_place_of_the_name() -> None:
    assert step(fetch, id="mine").id == "mine"
    assert step(functools.partial(fetch, 1), id="mine").id == "mine"
    assert step(step(fetch, id="theirs"), id="mine").id == "mine"


@pytest.mark.parametrize(
    ("fn", "given"),
    [
        (fetch, False),
        (step(fetch), False),
        (step(fetch, id="fetch"), True),
        (step(step(fetch, id="fetch")), True),
        (step(step(fetch), timeout=1), False),
        (step(step(fetch), id="fetch"), True),
        (functools.partial(step(fetch, id="fetch"), 1), False),
        (fork("fetch", mode="all", paths=[]), True),
    ],
)
def test_step_knows_whether_its_id_was_given(fn, given) -> None:
    """An id that was given is never numbered, but a partial of such a step may occur twice."""
    assert describe(fn)[:2] == ("fetch", given)


@pytest.mark.parametrize("id", ["", 5, True, b"fetch", ["fetch"]])
def test_step_id_has_to_be_a_string_that_is_not_empty(id) -> None:
    with pytest.raises(ConfigError, match=r"^id=.*: the id of a step is a non-empty string$"):
        step(fetch, id=id)
    with pytest.raises(ConfigError, match=r"^id="):
        step(id=id)


@pytest.mark.parametrize("provides", ["", 5, ["key"], (), ("",), ("a", "a"), ("a", 5)])
def test_step_provides_a_key_that_is_a_string_and_not_empty(provides) -> None:
    with pytest.raises(ConfigError, match=r"^provides=.*: give the key, a non-empty string; or, for a function"):
        step(fetch, provides=provides)
    with pytest.raises(ConfigError, match=r"^provides="):
        step(provides=provides)


def test_step_shows_its_id() -> None:
    assert "'mine'" in repr(step(fetch, id="mine"))
    assert repr(fork("f", mode="all", paths=[])) == "<fork 'f'>"
    assert repr(NO_INPUT) == "<no input>"


def test_step_is_named_like_a_function() -> None:
    assert step(fetch, id="mine").__name__ == "mine"


def test_step_keeps_its_function() -> None:
    assert step(fetch).fn is fetch
    assert step(timeout=1)(fetch).fn is fetch


def test_step_is_a_step_whatever_made_it() -> None:
    assert isinstance(step(fetch), Step)
    assert isinstance(fork("f", mode="all", paths=[]), Step)


# Misuse


@pytest.mark.parametrize("fn", [5, "fetch", [], object()])
def test_step_refuses_what_can_not_be_called(fn) -> None:
    with pytest.raises(ConfigError) as caught:
        step(fn)
    assert str(caught.value) == (
        f"a step is a function or another callable, not {fn!r}; functools.partial gives a function its arguments"
    )
    with pytest.raises(ConfigError):
        step(timeout=1)(fn)


def test_step_refuses_a_coroutine_and_shows_the_right_form() -> None:
    """The coroutine is closed, because a warning that it was never awaited would not help."""
    coroutine = fetch()
    with pytest.raises(ConfigError) as caught:
        step(coroutine)
    assert str(caught.value) == (
        "a step is a function, not the coroutine that calling it returned: "
        "write partial(fetch, …) or fetch, not fetch(…)"
    )
    assert inspect.getcoroutinestate(coroutine) == inspect.CORO_CLOSED
    del coroutine
    gc.collect()


def test_step_refuses_a_step_that_was_called() -> None:
    with pytest.raises(ConfigError, match="not the coroutine that calling it returned"):
        step(step(fetch)())


def test_step_options_go_by_keyword() -> None:
    with pytest.raises(TypeError):
        step(fetch, "id")


# Calls


async def test_step_without_input_calls_its_function_with_nothing() -> None:
    assert await step(fetch)() == "nothing"
    assert await step(fetch).run() == "nothing"


async def test_step_with_none_calls_its_function_with_none() -> None:
    assert await step(fetch)(None) is None
    assert await step(fetch).run(None) is None


async def test_step_with_input_calls_its_function_with_it() -> None:
    value = object()
    assert await step(fetch)(value) is value
    assert await step(fetch).run(value) is value
    assert await step(fetch).run(input=value) is value


@pytest.mark.parametrize(
    "policies",
    [{"timeout": 1}, {"total_timeout": 1}, {"retry": Retry(2)}, {"circuit_breaker": CircuitBreaker(1, 1)}],
    ids=lambda policies: next(iter(policies)),
)
async def test_step_with_policies_tells_no_input_from_none(policies) -> None:
    assert await step(fetch, **policies)() == "nothing"
    assert await step(fetch, **policies)(None) is None
    assert await step(fetch, **policies)(7) == 7


async def test_step_hands_all_its_arguments_to_its_function() -> None:
    async def work(first, /, second=2, *rest, third, **others):
        return first, second, rest, third, others

    for made in (step(work), step(work, timeout=1), step(functools.partial(work), timeout=1), step(step(work))):
        assert await made(1, third=3) == (1, 2, (), 3, {})
        assert await made(1, 5, 6, 7, third=3, self=8, args=9) == (1, 5, (6, 7), 3, {"self": 8, "args": 9})
        assert await made.run(1, 5, third=3, input=4) == (1, 5, (), 3, {"input": 4})


async def test_step_whose_function_takes_no_input_fails_with_one() -> None:
    async def nothing():
        raise AssertionError

    with pytest.raises(TypeError):
        await step(nothing)(1)


@pytest.mark.parametrize(
    "fn",
    [
        fetch,
        Service(),
        Service().load,
        functools.partial(fetch),
        step(fetch),
        step(fetch, timeout=1),
        functools.partial(step(fetch)),
        lambda value="nothing": value,
        lambda value="nothing": fetch(value),
        lambda value="nothing": step(fetch)(value),
    ],
)
async def test_step_takes_anything_that_can_be_called(fn) -> None:
    assert await step(fn)() == "nothing"
    assert await step(fn)(7) == 7
    assert await step(fn, timeout=1)(7) == 7


async def test_step_calls_a_sync_function_inline() -> None:
    """In the task and the context of the caller, and at once."""
    tasks = []

    def work(input):
        tasks.append(trio.lowlevel.current_task())
        return input + 1

    assert await step(work)(6) == 7
    assert tasks == [trio.lowlevel.current_task()]


async def test_step_awaits_what_a_sync_function_returns_if_that_can_be_awaited() -> None:
    class Promise:
        def __await__(self):
            return fetch(7).__await__()

    assert await step(Promise)() == 7
    assert await step(Promise, timeout=1)() == 7


async def test_step_returns_a_class_of_awaitables_as_the_value_it_is() -> None:
    class Promise:
        def __await__(self):
            raise AssertionError

    assert await step(lambda: Promise)() is Promise
    assert await step(lambda: Promise, timeout=1)() is Promise


async def test_step_runs_nothing_before_it_is_awaited() -> None:
    ran = []
    work = step(lambda: ran.append(True))
    coroutine = work()
    assert ran == []
    await coroutine
    assert ran == [True]


async def test_step_can_be_used_many_times_and_at_once(autojump_clock) -> None:
    results = []

    @step
    async def work(seconds):
        await trio.sleep(seconds)
        results.append((seconds, trio.current_time(), current_scope().name))

    async with trio.open_nursery() as nursery:
        for seconds in (3, 1, 2):
            nursery.start_soon(work, seconds)
    await work(4)
    assert results == [(1, 1, "work"), (2, 2, "work"), (3, 3, "work"), (4, 7, "work")]


def test_step_decorates_with_arguments_or_without() -> None:
    @step
    async def plain():
        pass

    @step()
    async def called():
        pass

    @step(id="mine", timeout=2.0)
    async def configured():
        pass

    assert [made.id for made in (plain, called, configured)] == ["plain", "called", "mine"]
    assert all(isinstance(made, Step) for made in (plain, called, configured))


async def test_step_decorator_can_be_used_many_times() -> None:
    decorate = step(timeout=1)
    assert await decorate(fetch)(1) == 1
    assert await decorate(Service())(2) == 2


# Names


async def test_step_called_in_a_step_is_one_level_down() -> None:
    async def innermost():
        return current_scope().name

    async def inner():
        return await step(innermost, id="c")()

    async def outer():
        return await step(inner, id="b")()

    assert await step(outer, id="a")() == "a/b/c"


@pytest.mark.parametrize(
    "make",
    [
        lambda inner: step(inner, id="outer"),
        lambda inner: step(functools.partial(inner), id="outer"),
        lambda inner: step(inner, id="outer", timeout=1),
        lambda inner: step(step(inner), id="outer"),
        lambda inner: step(functools.partial(with_attributes(functools.partial(inner))), id="outer"),
    ],
    ids=["step", "partial", "policies", "step of a step", "partial of a partial"],
)
@pytest.mark.parametrize("policies", [{}, {"timeout": 1}], ids=["plain", "guarded"])
async def test_step_made_of_a_step_is_one_level_and_not_two(make, policies) -> None:
    inner = step(lambda: current_scope().name, id="inner", **policies)
    assert await make(inner)() == "outer"


async def test_fork_made_into_a_step_is_one_level_and_not_two() -> None:
    async def path():
        return current_scope().name

    inner = fork("f", mode="all", paths=[path])
    assert await step(inner, id="outer", timeout=1)() == ("outer/path",)


async def test_step_called_in_a_function_that_a_step_calls_is_still_one_level_down() -> None:
    inner = step(lambda: current_scope().name, id="inner")

    async def helper():
        return await inner()

    async def outer():
        return await helper()

    assert await step(outer)() == "outer/inner"


async def test_steps_side_by_side_have_names_of_their_own(autojump_clock) -> None:
    names = []

    async def inner(seconds):
        await trio.sleep(seconds)
        names.append(current_scope().name)

    async def outer():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(step(inner, id="slow"), 2)
            nursery.start_soon(step(inner, id="fast"), 1)
            await trio.sleep(3)
            names.append(current_scope().name)

    await step(outer)()
    assert names == ["outer/fast", "outer/slow", "outer"]


# run


async def test_run_hands_its_observers_and_its_state_to_the_step(autojump_clock) -> None:
    events = []
    state = {"key": 1}

    @step
    async def work(input):
        return input, current_scope().state

    value, found = await work.run(7, observers=iter([events.append]), state=state)
    assert value == 7
    assert found is state
    assert events == [
        StepStarted(name="work", scope=ANY_SCOPE, time=0.0),
        StepSucceeded(name="work", scope=ANY_SCOPE, time=0.0, duration=0.0),
    ]


async def test_run_leaves_nothing_behind_for_the_next() -> None:
    events = []

    @step
    async def work():
        return current_scope().state

    await work.run(observers=[events.append], state={"key": 1})
    count = len(events)
    assert await work() is None
    assert len(events) == count


def test_step_that_nobody_awaits_is_warned_of_by_its_id() -> None:
    slow = step(fetch, id="slow")
    for run in (slow(), slow.run(), Pipeline("slow").run()):
        assert inspect.iscoroutine(run)
        assert run.__name__ == run.__qualname__ == "slow"  # what the warning quotes
        run.close()


def test_step_outside_of_trio_says_which_one_and_what_to_do() -> None:
    with pytest.raises(RuntimeError) as caught:
        step(fetch, id="slow")().send(None)
    assert str(caught.value) == (
        "step 'slow' runs only in a Trio program, and this is not one: start it with trio.run(main)"
    )
