"""A path takes the input of its fork if it requires an argument."""

from __future__ import annotations

import functools

import pytest
import trio

from trio_steps import ConfigError, Pipeline, fork, step
from trio_steps._core.describe import check_arguments, describe, takes_input


class Service:
    async def load(self, input="nothing"):
        return input

    async def store(self, input):
        return input

    async def __call__(self, input):
        return input


async def anything(*inputs):
    pass


async def keywords(*, key=None, **others):
    pass


async def optional(input="nothing"):
    pass


async def required(input, limit=1):
    pass


async def required_by_place(input, /):
    pass


async def two(first, second):
    pass


async def named(input, *, key):
    pass


async def nothing():
    pass


@functools.wraps(required)
async def wrapper(*args, **kwargs):
    pass


@pytest.mark.parametrize(
    ("fn", "takes"),
    [
        (nothing, False),
        (keywords, False),
        (required, True),
        (required_by_place, True),
        (optional, False),
        (anything, False),
        (wrapper, True),
        (functools.partial(nothing), False),
        (functools.partial(required), True),
        (functools.partial(required, 1), False),
        (functools.partial(required, limit=2), True),
        (functools.partial(two, 1), True),
        (functools.partial(two, second=1), True),
        (functools.partial(named, key=1), True),
        (functools.partial(optional), False),
        (functools.partial(anything, 1), False),
        (functools.partial(trio.to_thread.run_sync, print, 1), False),
        (Service().load, False),
        (Service().store, True),
        (Service(), True),
        (trio.Event().wait, False),
        (trio.sleep, True),
        (dict, True),  # its signature can't be told
        (step(nothing), False),
        (step(required), True),
        (step(nothing, timeout=1), False),
        (step(required, timeout=1), True),
        (step(two, timeout=1, id="s"), None),
        (step(step(nothing, timeout=1), timeout=2), False),
        (step(step(required, timeout=1), timeout=2), True),
        (functools.partial(step(required), 1), False),
        (functools.partial(step(required, timeout=1), 1), False),
        (functools.partial(step(required, timeout=1)), True),
        (functools.partial(step(nothing, timeout=1)), False),
        (functools.partial(step(two, timeout=1), second=1), True),
        (fork("f", mode="all", paths=[]), True),
        (functools.partial(fork("f", mode="all", paths=[]), 1), False),
        (step(fork("f", mode="all", paths=[]), timeout=1), True),
        (Pipeline("p"), True),
        (functools.partial(Pipeline("p"), {}), False),
        (two, None),
        (named, None),
        (functools.partial(two, first=1), None),
    ],
)
def test_path_is_given_the_input_if_it_requires_it(fn, takes) -> None:
    if takes is None:
        with pytest.raises(ConfigError):
            takes_input(describe(fn)[2])
    else:
        assert takes_input(describe(fn)[2]) is takes


@pytest.mark.parametrize(
    ("fn", "told"),
    [
        (
            two,
            (
                "path 'two' requires 'second' besides 'first', which is its input, and a fork gives its paths "
                "nothing but the input: give it the rest, partial(two, second=…) or lambda first: two(first, second=…)"
            ),
        ),
        (
            named,
            (
                "path 'named' requires 'key' besides 'input', which is its input, and a fork gives its paths "
                "nothing but the input: give it the rest, partial(named, key=…) or lambda input: named(input, key=…)"
            ),
        ),
        (
            functools.partial(two, first=1),
            (
                "path 'two' requires 'second', and a fork gives its paths nothing but the input: "
                "give it the rest, partial(two, second=…) or lambda: two(second=…)"
            ),
        ),
    ],
    ids=["positional", "keyword", "partial"],
)
def test_path_that_requires_more_is_refused_and_shows_the_right_form(fn, told) -> None:
    for path in (fn, step(fn, timeout=1)):
        id, _, call = describe(path)
        with pytest.raises(ConfigError) as caught:
            takes_input(call)
        assert str(caught.value) == told
        with pytest.raises(ConfigError) as caught:
            check_arguments(call, id, has_input=True)
        assert str(caught.value) == told


@pytest.mark.parametrize("policies", [{}, {"timeout": 1}], ids=["plain", "guarded"])
async def test_path_that_is_a_partial_of_a_step_is_called_without_the_input_it_has_no_place_for(policies) -> None:
    """A policy does not change how a step is called."""

    async def double(number):
        return 2 * number

    doubled = functools.partial(step(double, **policies), 4)
    assert await fork("f", mode="all", paths=[doubled])("input") == (8,)


async def test_path_that_has_all_it_needs_is_not_given_the_input_on_top(autojump_clock) -> None:
    async def traced(fn, *args):
        return fn(*args)

    def tag(item, times=1):
        return f"{item}:{times}"

    tag_all = fork("f", mode="all", paths=lambda items: [functools.partial(traced, tag, item) for item in items])
    assert await tag_all(("a", "b")) == ("a:1", "b:1")


def test_input_given_by_name_is_refused_at_the_call_with_the_right_form() -> None:
    made = fork("f", mode="all", paths=[required])
    with pytest.raises(
        TypeError, match=r"^Fork\.run\(\) got an unexpected keyword argument 'input': the input is given b"
    ):
        made.run(input=3)
    with pytest.raises(TypeError, match=r"^Fork\.run\(\) got an unexpected keyword argument 'topic'$"):
        made.run(topic=3)
