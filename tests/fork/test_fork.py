"""A fork is a step: its input, its paths, its merge, its nesting, and what it refuses."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import trio
from paths import never, returns
from ways import LIMITS, how

from trio_steps import (
    ConfigError,
    ForkPartialError,
    fork,
    gather,
    race,
    settle,
    step,
)

# forks are steps


async def test_fork_calls_a_path_that_has_no_place_for_the_input_without_it() -> None:
    async def fetch(id: str, patience: float = 10) -> tuple[str, float]:
        return id, patience

    by_input = fork("f", mode="all", paths=lambda ids: [partial(fetch, id) for id in ids])
    assert await by_input("ab") == (("a", 10), ("b", 10))
    assert await fork("g", mode="all", paths=[lambda: 1, step(lambda: 2, timeout=1), fetch])("x") == (1, 2, ("x", 10))


async def test_fork_hands_its_input_to_every_path() -> None:
    async def double(n: int) -> int:
        return 2 * n

    def square(n: int) -> int:
        return n * n

    both = fork("both", mode="all", paths=[double, square])
    assert await both(3) == (6, 9)
    assert await both.run(4) == (8, 16)


async def test_fork_distinguishes_none_from_no_input() -> None:
    def paths(*args: Any) -> list[Any]:
        return [lambda: args]

    both = fork("f", mode="all", paths=paths)
    assert await both() == ((),)
    assert await both(None) == ((None,),)
    assert await fork("g", mode="all", paths=[lambda given: given])(None) == (None,)


async def test_fork_leaves_a_path_alone_that_has_what_it_requires() -> None:
    def tag(item: str, times: int = 1) -> str:
        return f"{item}:{times}"

    async def traced(fn: Any, *args: Any) -> Any:
        return fn(*args)

    tags = fork("f", mode="all", paths=lambda items: [partial(traced, tag, item) for item in items])
    assert await tags(("a", "b")) == ("a:1", "b:1")
    assert await fork("f", mode="all", paths=[partial(tag, "a"), tag])("b") == ("a:1", "b:1")


async def generates() -> Any:
    yield 1


class Generates:
    def __call__(self) -> Any:
        yield 1

    async def method(self) -> Any:
        yield 1


@pytest.mark.parametrize(
    "path",
    [generates, partial(generates), Generates(), Generates().method, partial(Generates()), partial(Generates().method)],
    ids=range(6),
)
async def test_path_that_would_only_make_a_generator_is_refused(path: Any) -> None:
    says = r"has a yield in it, so calling it runs nothing.*paths="
    with pytest.raises(ConfigError, match=says):
        fork("f", mode="all", paths=[path])
    with pytest.raises(ConfigError, match=says):
        step(path)
    with pytest.raises(ForkPartialError) as caught:
        await gather(iter([path]))
    assert [type(error) for error in caught.value.exceptions] == [ConfigError]


async def test_object_that_only_looks_like_a_function_is_a_path() -> None:
    class Odd:
        __code__ = "none"

        def __call__(self) -> str:
            return "odd"

    assert await gather(Odd()) == ("odd",)


async def test_fork_can_be_nested_and_run_again() -> None:
    inner = fork("inner", mode="race", paths=[returns(1, "x"), returns(2, "y")])
    outer = fork("outer", mode="all", paths=[inner, returns(3, "z")])
    assert await outer() == ("x", "z")
    assert await outer() == ("x", "z")
    assert trio.current_time() == 6


async def test_fork_in_fork_in_fork_a_thousand_deep() -> None:
    deep: Any = returns(1, "core")
    for level in range(1000):
        deep = fork(f"f{level}", mode="race", paths=[deep])
    assert await deep() == "core"
    assert trio.current_time() == 1


async def test_fork_of_a_thousand_forks() -> None:
    inner = [fork(f"f{n}", mode="all", paths=[returns(1, n)]) for n in range(1000)]
    assert await fork("outer", mode="all", paths=inner, merge=len)() == 1000


async def test_fork_a_thousand_deep_can_be_cancelled() -> None:
    deep: Any = never
    for level in range(1000):
        deep = fork(f"f{level}", mode="all", paths=[deep])
    with trio.move_on_after(1) as scope:
        await deep()
    assert scope.cancelled_caught


async def test_paths_function_gets_the_input() -> None:
    by_input = fork("f", mode="all", paths=lambda ids: [returns(0, id, id=id) for id in ids])
    assert await by_input("abc") == ("a", "b", "c")


async def test_paths_function_may_be_async() -> None:
    async def paths(n: int) -> list[Any]:
        await trio.sleep(1)
        return [returns(1, n)]

    assert await fork("f", mode="all", paths=paths)(5) == (5,)
    assert trio.current_time() == 2


async def test_functions_that_require_two_arguments_get_the_scope() -> None:
    def paths(n: int, scope: Any) -> list[Any]:
        return [returns(0, (n, scope.name), id="p")]

    def merge(values: list[Any], scope: Any) -> Any:
        return values, scope.name

    both = fork("f", mode="all", paths=paths, merge=merge)
    assert await both(1) == ([(1, "f")], "f")
    assert await fork("g", mode="all", paths=lambda _input, scope: [returns(0, scope.name)], merge=list)() == ["g"]


async def test_merge_with_an_optional_second_argument_does_not_get_the_scope() -> None:
    assert await fork("f", mode="all", paths=[returns(0, 1), returns(0, 2)], merge=sum)() == 3

    def merge(values: list[int], extra: str = "mine") -> Any:
        return values, extra

    assert await fork("f", mode="all", paths=[returns(0, 1)], merge=merge)() == ([1], "mine")


async def test_exception_from_merge_comes_out_as_it_is() -> None:
    error = ZeroDivisionError()

    def merge(values: list[int]) -> None:
        raise error

    with pytest.raises(ZeroDivisionError) as caught:
        await fork("f", mode="all", paths=[returns(0, 1)], merge=merge)()
    assert caught.value is error


async def test_values_that_merge_did_not_return_are_disposed_of() -> None:
    disposed: list[int] = []

    def merge(values: list[int]) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fork("f", mode="all", paths=[returns(0, 1), returns(0, 2)], merge=merge, dispose=disposed.append)()
    assert disposed == [1, 2]


# on the spot


async def test_spot_forks_take_one_iterable_too() -> None:
    assert await race(iter([returns(2, "a"), returns(1, "b")])) == "b"
    assert await gather([returns(2, "a"), returns(1, "b")]) == ("a", "b")
    assert [result.value for result in await settle(returns(0, name) for name in "xyz")] == ["x", "y", "z"]

    async def probes() -> Any:
        for name in "ab":
            await trio.sleep(1)
            yield returns(0, name)

    assert [result.value for result in await settle(probes(), concurrency=1)] == ["a", "b"]


# misuse


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"mode": "some"}, 'mode=\'some\': use "race", "all", "settle" or "quorum"'),
        ({"mode": 5}, "mode=5"),
        ({"concurrency": 0}, "concurrency=0: at least 1 path"),
        ({"concurrency": -1}, "concurrency=-1"),
        ({"concurrency": 1.5}, "concurrency=1.5: give an int, a trio.CapacityLimiter"),
        ({"concurrency": True}, "concurrency=True"),
        ({"mode": "race", "merge": sum}, "nothing to merge in a race"),
        ({"mode": "quorum"}, "needs need=k"),
        ({"mode": "quorum", "need": True}, "needs need=k"),
        ({"mode": "quorum", "need": 0}, "need=0: a quorum needs 1 path or more, at most 2"),
        ({"mode": "quorum", "need": 3}, "need=3"),
        ({"mode": "quorum", "need": 0, "paths": list}, "need=0: a quorum needs 1 path or more"),
        ({"need": 1}, "need=1 goes with mode=\"quorum\", not with mode='all'"),
        ({"merge": 5}, "merge=5: give a function"),
        ({"dispose": 5}, "dispose=5: give a function"),
        ({"stagger": -1}, "stagger must be a number of seconds, 0 or more, not -1"),
        ({"stagger": "1"}, "stagger must be a number of seconds"),
        ({"timeout": 0}, "timeout=0 leaves no time"),
        ({"timeout": -1}, "timeout must be a number of seconds"),
        ({"timeout": float("nan")}, "timeout must be a number of seconds"),
        ({"paths": [5]}, "a step is a function or another callable, not 5"),
        ({"paths": [step(len, id="a"), step(len, id="a")]}, "two paths of a fork have the id 'a'"),
        ({"paths": iter([len])}, "can be iterated over only once"),
        ({"paths": "abc"}, "paths='abc': give an iterable of steps"),
        ({"paths": {5: len}}, "paths={5: …}: the keys are the ids of the paths, so use strings"),
        ({"paths": {"": len}}, "paths={'': …}: the keys are the ids of the paths"),
        ({"paths": {"a": 5}}, "a step is a function or another callable, not 5"),
        ({"accept": 5}, "accept=5: give a function"),
        ({"rate": 5}, "rate=5: give a RateLimit(10, per=1.0)"),
        ({"growing": 1}, "growing=1: give True"),
        ({"paths": 5}, "paths=5"),
        ({"id": ""}, "id='': the id of a step is a non-empty string"),
        ({"id": 5}, "id=5"),
    ],
)
def test_misuse_is_refused_when_the_fork_is_built(arguments: dict[str, Any], words: str) -> None:
    config: dict[str, Any] = {"id": "f", "mode": "all", "paths": [len, max], **arguments}
    with pytest.raises(ConfigError) as caught:
        fork(config.pop("id"), **config)
    assert words in str(caught.value)
    assert isinstance(caught.value, ValueError)


def test_one_shot_async_iterator_is_refused_by_a_reusable_fork() -> None:
    async def source() -> Any:
        yield len

    paths = source()
    with pytest.raises(ConfigError, match="pass a function"):
        fork("f", mode="all", paths=paths)


async def test_coroutine_instead_of_a_function_is_refused_without_a_warning() -> None:
    async def fetch(url: str) -> None:
        """Never run."""

    with pytest.raises(ConfigError, match=r"write partial\(fetch, …\) or fetch, not fetch\(…\)"):
        await race(fetch("x"))
    with pytest.raises(ConfigError, match="not the coroutine"):
        await race(fetch("x"), fetch("y"))


async def test_bad_path_in_what_a_function_returned_runs_nothing() -> None:
    started: list[int] = []
    with pytest.raises(ConfigError, match="not 'oops'"):
        await fork("f", mode="settle", paths=lambda: [lambda: started.append(1), "oops"])()
    with pytest.raises(ConfigError, match="returned 5; it has to return an iterable"):
        await fork("f", mode="settle", paths=lambda: 5)()
    assert started == []


@pytest.mark.parametrize(
    ("returned", "form"),
    [
        ({"a": str}, r"async one, not a mapping: give that as it is, paths=\{…\}"),
        ("abc", r"returned 'abc'; it has to return an iterable of steps, or an async one\nin step"),
        (7, r"returned 7; it has to return an iterable of steps, or an async one\nin step"),
    ],
    ids=["mapping", "text", "number"],
)
async def test_function_of_paths_that_returns_something_else_is_told_what_to_return(returned: Any, form: str) -> None:
    with pytest.raises(ConfigError, match=form):
        await fork("f", mode="all", paths=lambda _: returned)(1)


@pytest.mark.parametrize("limit", LIMITS)
async def test_what_a_path_returns_is_awaited_if_it_can_be_in_a_function_that_is_trusted_too(limit: str) -> None:
    async def keep() -> str:
        await trio.sleep(1)
        return "kept"

    class Promise:
        def __await__(self) -> Any:
            return keep().__await__()

    def path() -> Promise:
        return Promise()

    for runs in (1, 2):  # after the first run, the function is trusted
        assert await fork("f", mode="all", **how(limit, [path, path]))() == ("kept", "kept")
        assert trio.current_time() == runs
