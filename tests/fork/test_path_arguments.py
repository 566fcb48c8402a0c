"""A path that requires more than its fork gives is refused at once, or when the fork is called, before any path."""

from __future__ import annotations

import functools
from functools import partial

import pytest
import trio

from trio_steps import (
    ConfigError,
    Fulfilled,
    Pipeline,
    current_scope,
    fork,
    gather,
    race,
    settle,
    step,
    stream,
)
from trio_steps._core import describe


async def fine() -> int:
    return 1


async def fetch(url):
    return url


async def two(first, second):
    return first, second


async def keyed(*, key):
    return key


async def optional(url="u", *, key="k"):
    return url, key


async def anything(*args, **kwargs):
    return args, kwargs


@functools.wraps(fetch)
async def injected(*args, **kwargs):
    """A decorator that passes the argument itself, as frameworks do."""
    return await fetch("injected", *args, **kwargs)


class Api:
    async def get(self, url):
        return url

    async def ping(self):
        return "ping"

    @step
    async def load(self, url):
        return url

    @classmethod
    async def made(cls, url):
        return url

    async def __call__(self, url):
        return url


class Bare:
    async def __call__(self):
        return "bare"


NEEDY = [
    pytest.param(fetch, "url", id="function"),
    pytest.param(lambda url: fetch(url), "url", id="lambda"),
    pytest.param(Api().get, "url", id="method"),
    pytest.param(Api.made, "url", id="class method"),
    pytest.param(Api().load, "url", id="step on a method"),
    pytest.param(Api(), "url", id="callable object"),
    pytest.param(step(fetch), "url", id="step"),
    pytest.param(step(fetch, timeout=1), "url", id="step with policies"),
    pytest.param(functools.partial(two, 1), "second", id="partial"),
    pytest.param(functools.partial(two, second=2), "first", id="partial by name"),
    pytest.param(functools.partial(functools.partial(two), 1), "second", id="partial of a partial"),
    pytest.param(functools.partial(step(two, timeout=1), 1), "second", id="partial of a step"),
    pytest.param(keyed, "key", id="keyword only"),
]


@pytest.mark.parametrize("call", [race, gather, settle, stream])
@pytest.mark.parametrize(("path", "name"), NEEDY)
def test_path_that_requires_an_argument_is_refused_on_the_spot(call, path, name) -> None:
    """Even outside a Trio program, because nothing can pass the argument later."""
    for paths in ([fine, path], [[path, fine]], [{"a": fine, "b": path}]):
        with pytest.raises(ConfigError, match=f"requires '{name}', and is called without arguments: "):
            call(*paths)


@pytest.mark.parametrize(
    ("path", "told"),
    [
        (
            fetch,
            (
                "path 'fetch' requires 'url', and is called without arguments: give it what it needs, "
                "partial(fetch, url=…) or lambda: fetch(url=…)"
            ),
        ),
        (
            functools.partial(two),
            (
                "path 'two' requires 'first' and 'second', and is called without arguments: give it what it needs, "
                "partial(two, first=…, second=…) or lambda: two(first=…, second=…)"
            ),
        ),
        (
            lambda url: url,
            (
                "path '<lambda>' requires 'url', and is called without arguments: give it what it needs, "
                "partial(fn, url=…) or lambda: fn(url=…)"
            ),
        ),
        (
            step(fetch, id="load"),
            (
                "path 'load' requires 'url', and is called without arguments: give it what it needs, "
                "partial(fetch, url=…) or lambda: fetch(url=…)"
            ),
        ),
    ],
    ids=["one", "two", "lambda", "id"],
)
def test_error_says_which_path_and_which_argument_and_shows_the_right_form(path, told) -> None:
    with pytest.raises(ConfigError) as caught:
        gather(fine, path)
    assert str(caught.value) == told


def test_error_shows_no_name_where_a_parameter_has_none() -> None:
    async def placed(url, /, seconds):
        return url, seconds

    with pytest.raises(ConfigError) as caught:
        race(placed)
    assert str(caught.value) == (
        "path 'placed' requires 'url' and 'seconds', and is called without arguments: give it what it needs, "
        "partial(placed, …, seconds=…) or lambda: placed(…, seconds=…)"
    )


def test_error_names_the_path_and_not_just_its_function() -> None:
    paths = [functools.partial(two, 1, 2), functools.partial(two, 1), functools.partial(two, 1, 2)]
    with pytest.raises(ConfigError, match="path 'two#2' requires 'second'"):
        settle(*paths)
    with pytest.raises(ConfigError, match="path 'b' requires 'second'"):
        settle(dict(zip("abc", paths, strict=True)))


async def test_path_that_is_given_all_it_needs_is_not_refused() -> None:
    api = Api()
    paths = [
        optional,
        functools.partial(optional, key="other"),
        anything,
        lambda url="late": fetch(url),
        functools.partial(fetch, "u"),
        functools.partial(fetch, url="u"),
        functools.partial(step(two, timeout=1), 1, second=2),
        functools.partial(keyed, key=1),
        functools.partial(api.get, "u"),
        api.ping,
        Bare(),
        injected,
        dict,  # has no signature
        functools.partial(trio.to_thread.run_sync, str, 1),
        fork("inner", mode="all", paths=[fine]),
        Pipeline("flow"),
    ]
    assert await gather(*paths) == (
        ("u", "k"),
        ("u", "other"),
        ((), {}),
        "late",
        "u",
        "u",
        (1, 2),
        1,
        "u",
        "ping",
        "bare",
        "injected",
        {},
        "1",
        (1,),
        {},
    )


@pytest.mark.parametrize("mode", ["race", "all", "settle", "quorum"])
@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda *paths: list(paths), id="known"),
        pytest.param(lambda *paths: dict(zip("abcd", paths, strict=False)), id="mapping"),
        pytest.param(lambda *paths: lambda *_input: list(paths), id="function"),
    ],
)
async def test_fork_refuses_such_a_path_when_it_is_called_and_runs_none(mode, make) -> None:
    started = []

    async def first():
        started.append(1)

    async def rest(input, more):
        started.append(2)

    more = {"need": 1} if mode == "quorum" else {}
    built = fork("f", mode=mode, paths=make(first, rest), **more)
    for args, told in (
        ((), "requires 'input' and 'more', and is called without arguments"),
        (("topic",), "requires 'more' besides 'input', which is its input"),
        ((), "requires 'input' and 'more', and is called without arguments"),  # it is still wrong the second time
    ):
        with pytest.raises(ConfigError, match=told):
            await built(*args)
    assert started == []


async def test_fork_whose_paths_take_its_input_is_refused_only_when_it_is_called_without_one() -> None:
    started = []

    async def first():
        started.append("first")

    async def topical(topic):
        return topic

    built = fork("f", mode="all", paths=[first, topical])
    told = (
        "path 'topical' requires 'topic', and is called without arguments: give it what it needs, "
        "partial(topical, topic=…) or lambda: topical(topic=…), or call the fork with an input"
    )
    for _ in range(2):
        with pytest.raises(ConfigError) as caught:
            await built()
        assert str(caught.value) == told
        assert caught.value.__notes__ == ["in step 'f'"]
        assert started == []
        assert await built("owls") == (None, "owls")
        started.clear()


async def test_stream_of_such_a_fork_is_refused_before_any_path() -> None:
    async def first():
        raise AssertionError

    built = fork("f", mode="settle", paths=[first, fetch])
    with pytest.raises(ConfigError, match="path 'fetch' requires 'url'"):
        async with built.stream() as results:
            [_ async for _ in results]
    async with fork("f", mode="settle", paths=[fetch]).stream("u") as results:
        assert [result async for result in results] == [Fulfilled("fetch", "u")]


async def test_path_that_is_added_is_refused_where_it_is_added() -> None:
    async def root():
        with pytest.raises(ConfigError, match="path 'fetch' requires 'url', and is called without arguments"):
            current_scope().add(fetch)
        current_scope().add(functools.partial(fetch, "u"))
        return "root"

    async def of_input(topic):
        with pytest.raises(ConfigError, match="path 'two' requires 'second' besides 'first'"):
            current_scope().add(two)
        current_scope().add(fetch)
        return topic

    assert await gather(root, growing=True) == ("root", "u")
    assert await fork("f", mode="all", paths=[of_input], growing=True)("owls") == ("owls", "owls")


async def test_fork_that_is_a_step_of_a_pipeline_has_paths_that_name_keys() -> None:
    """Also those that are added, wherever the paths of the fork come from."""

    async def first(topic, *, depth):
        current_scope().add(added)
        return topic, depth

    async def added(topic, depth):
        return "added", topic, depth

    for paths in ([first], lambda context: [first], {"first": first}):
        grown = fork("grown", mode="all", paths=paths, merge=lambda made: {"made": [*made]}, growing=True)
        if isinstance(paths, dict):
            grown = fork("grown", mode="all", paths=paths, merge=lambda made: {"made": [*made.values()]}, growing=True)
        result = await Pipeline("p").step("grow", grown)({"topic": "owls", "depth": 2})
        assert result["made"] == [("owls", 2), ("added", "owls", 2)]


async def test_fork_whose_paths_function_takes_nothing_is_given_no_input_by_the_fork_around_it() -> None:
    """It takes no input, like a path that is a function without parameters."""

    def paths():
        return [fine, partial(fetch, "bound")]

    inner = fork("inner", mode="all", paths=paths)
    outer = fork("outer", mode="all", paths=[inner, fetch, fork("other", mode="all", paths=lambda url: [fetch])])
    assert await outer("u") == ((1, "bound"), "u", ("u",))


@pytest.fixture
def hole():
    """Return what leaves an argument of a partial open. Before Python 3.14, any object can stand for it.

    It is a function that does so, because pytest-trio can't pass a Placeholder on.
    """
    return lambda: describe._PLACEHOLDER


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (lambda hole: (two, hole, 2), "path 'two' requires 'first', and is called without arguments: "),
        (
            lambda hole: (lambda *args: args, hole, 2),
            "path '<lambda>' requires '*args', and is called ",
        ),
        (lambda hole: (Api().get, hole, 2), "path 'get' requires 'url', and is called without arguments: "),
    ],
)
def test_argument_that_a_partial_leaves_open_is_required(hole, given, told) -> None:
    with pytest.raises(ConfigError) as caught:
        describe.check_arguments(partial(*given(hole())), partial(*given(hole())).func.__name__, has_input=None)
    assert str(caught.value).startswith(told)


async def test_path_with_an_argument_left_open_says_what_it_lacks(hole) -> None:
    def refuses(first, second):
        raise TypeError("Python itself refuses such a call")

    path = partial(refuses, hole(), 2)
    for [result] in (await settle(path), await settle(iter([path])), await fork("f", mode="settle", paths=[path])()):
        assert isinstance(result.error, ConfigError)
        assert str(result.error).startswith("path 'refuses' requires 'first', and is called without arguments: give it")


async def test_type_error_of_a_path_that_has_all_its_arguments_stays() -> None:
    def refuses(first):
        raise TypeError("mine")

    [result] = await settle(partial(refuses, 1))
    assert type(result.error) is TypeError


async def test_fork_whose_paths_function_does_not_say_what_it_takes_is_given_the_input() -> None:
    inner = fork("inner", mode="all", paths=iter)  # which has no signature
    assert await fork("outer", mode="all", paths=[inner])([fine, fine]) == ((1, 1),)
