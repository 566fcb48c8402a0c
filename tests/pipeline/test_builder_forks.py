"""A fork as a step of a pipeline, with paths from a function or a lazy source: they name keys as other paths do."""

from __future__ import annotations

import functools
from types import MappingProxyType

import pytest
import trio

from trio_steps import ConfigError, ForkPartialError, Pipeline, StepInputError, current_scope, fork, step
from trio_steps._pipeline.builder import forks as fork_steps


async def run(paths, inputs=MappingProxyType({"a": 1, "b": 2}), **options):
    """Run a pipeline whose only step is a fork of `paths`, and return the output of the fork."""
    views = fork("views", mode="all", paths=paths, **options)
    return (await Pipeline().step(views, provides="views").run(inputs))["views"]


class Lazy:
    """A source that can be iterated many times, and records when it is closed."""

    def __init__(self, *paths):
        self.paths = paths
        self.closed = []

    def __iter__(self):
        try:
            yield from self.paths
        except GeneratorExit:
            self.closed.append(trio.current_time())
            raise


class AsyncLazy(Lazy):
    __iter__ = None

    async def __aiter__(self):
        try:
            for path in self.paths:
                yield path
        except GeneratorExit:
            self.closed.append(trio.current_time())
            raise


class Bare:
    """Iterators that can't be closed."""

    def __init__(self, *paths):
        self.left = list(paths)

    def __iter__(self):
        return self

    def __next__(self):
        if not self.left:
            raise StopIteration
        return self.left.pop(0)


class AsyncBare(Bare):
    __iter__ = None

    def __aiter__(self):
        return self

    async def __anext__(self):
        if not self.left:
            raise StopAsyncIteration
        return self.left.pop(0)


async def wait(b):
    await trio.sleep(b)
    return b


def context_of(ctx, /):
    return dict(ctx)


async def one_by_one(paths):
    for path in paths:
        yield path


async def soon(paths):
    await trio.sleep(1)
    return paths


SOURCES = {
    "a list of a function": lambda paths: lambda ctx: list(paths),
    "a generator of a function": lambda paths: lambda ctx: iter(paths),
    "an async function": lambda paths: lambda ctx: soon(paths),
    "an async generator of a function": lambda paths: lambda ctx: one_by_one(paths),
    "a lazy source": lambda paths: Lazy(*paths),
    "an async source": lambda paths: AsyncLazy(*paths),
    "an iterator that can't be closed": lambda paths: lambda ctx: Bare(*paths),
    "an async one": lambda paths: lambda ctx: AsyncBare(*paths),
}


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES.keys())
async def test_functions_of_any_source_are_called_with_the_keys_they_name(source) -> None:
    paths = [lambda a: a, wait, lambda c="none": c, context_of, step(lambda b: b, retry=None), lambda **rest: rest]
    both = {"a": 1, "b": 2}
    assert await run(source(paths)) == (1, 2, "none", both, 2, both)


async def test_function_of_the_paths_gets_the_context_as_its_input() -> None:
    def paths(ctx):
        return [functools.partial(lambda n, a: (n, a), n) for n in ctx["ns"]]

    assert await run(paths, {"ns": [5], "a": 1}) == ((5, 1),)


async def test_function_of_the_paths_gets_the_scope_too_if_it_wants() -> None:
    assert await run(lambda ctx, scope: [lambda a: (scope.name, a, current_scope().name)]) == (
        ("views", 1, "views/<lambda>"),
    )


async def test_bound_arguments_of_paths_stay_bound() -> None:
    def take(n, a, *, b):
        return n, a, b

    paths = [functools.partial(take, 1), functools.partial(take, b=9, n=2), functools.partial(take, 3, 4, b=5)]
    assert await run(lambda ctx: paths) == ((1, 1, 2), (2, 1, 9), (3, 4, 5))


async def test_functions_of_one_code_are_told_apart_by_their_defaults() -> None:
    def make(*, defaults):
        def path(a, c=7, *, d=8):
            return a, c, d

        if not defaults:
            path.__defaults__ = path.__kwdefaults__ = None
        return path

    full = {"a": 1, "c": 3, "d": 4}
    assert await run(lambda ctx: [make(defaults=True)], {"a": 1}) == ((1, 7, 8),)
    assert await run(lambda ctx: [make(defaults=True), make(defaults=False)], full) == ((1, 3, 4), (1, 3, 4))
    with pytest.raises(ForkPartialError):
        await run(lambda ctx: [make(defaults=True), make(defaults=False)], {"a": 1})


async def test_forks_and_pipelines_among_the_paths_get_the_whole_context() -> None:
    inner = fork("inner", mode="all", paths=lambda ctx: [lambda a: a, lambda b: b])
    nested = Pipeline("nested").step("s", lambda a: {"s": a})
    assert await run(Lazy(inner, nested, fork("known", mode="all", paths=[lambda b: b]))) == (
        (1, 2),
        {"a": 1, "b": 2, "s": 1},
        (2,),
    )


async def test_fork_and_pipeline_that_have_their_input_already_keep_it() -> None:
    inner = fork("inner", mode="all", paths=[lambda topic: topic])
    nested = Pipeline("nested").step("s", lambda a: {"s": a})
    paths = [functools.partial(inner, 5), functools.partial(nested, {"a": 6})]
    assert await run(lambda ctx: paths) == await run(paths) == ((5,), {"a": 6, "s": 6})


async def test_missing_key_names_path_and_key() -> None:
    with pytest.raises(ForkPartialError) as caught:
        await run(lambda ctx: [step(lambda missing: missing, id="odd")])
    [error] = caught.value.exceptions
    assert isinstance(error, StepInputError)
    assert (error.step, error.key, error.available) == ("views/odd", "missing", ("a", "b"))


async def test_paths_do_not_see_what_others_do_to_the_context() -> None:
    def paths(ctx):
        ctx["ns"].append("paths")
        return [spoil, spoil, context_of]

    async def spoil(ns):
        ns.append("path")
        await trio.sleep(1)
        return ns

    inputs = {"ns": []}
    assert await run(paths, inputs) == (["path"], ["path"], {"ns": []})
    assert inputs == {"ns": []}


@pytest.mark.parametrize(("kind", "limit"), [(Lazy, 1), (AsyncLazy, None)])
async def test_source_is_closed_when_the_fork_is_decided(kind, limit) -> None:
    source = kind(wait, wait, wait)
    views = fork("views", mode="race", paths=source, concurrency=limit or 1)
    assert await Pipeline().step(views, provides="v").run({"b": 3}) == {"b": 3, "v": 3}
    assert source.closed == [3]


@pytest.mark.parametrize("kind", [Bare, AsyncBare])
async def test_source_that_can_not_be_closed_is_left_alone(kind) -> None:
    views = fork("views", mode="race", paths=lambda ctx: kind(wait, wait, wait), concurrency=1)
    assert await Pipeline().step(views, provides="v").run({"b": 3}) == {"b": 3, "v": 3}


async def test_source_is_advanced_only_when_there_is_room() -> None:
    pulled = []

    def source(ctx):
        for number in range(3):
            pulled.append((number, trio.current_time()))
            yield wait

    await run(source, concurrency=1)
    assert pulled == [(0, 0), (1, 2), (2, 4)]


async def test_what_is_no_path_and_no_source_is_refused_as_in_any_fork() -> None:
    with pytest.raises(ConfigError, match="it has to return an iterable of steps"):
        await run(lambda ctx: 5)
    with pytest.raises(ForkPartialError) as caught:
        await run(lambda ctx: iter([5]))
    assert "a step is a function or another callable, not 5" in str(caught.value.exceptions[0])
    with pytest.raises(ForkPartialError) as caught:
        await run(lambda ctx: iter([print]))
    assert "does not say which keys" in str(caught.value.exceptions[0])


async def test_functions_that_are_called_alike_are_looked_at_once(monkeypatch) -> None:
    seen = []
    look = fork_steps.signature_of
    monkeypatch.setattr(fork_steps, "signature_of", lambda fn, name: (seen.append(name), look(fn, name))[1])

    def give(n, a):
        return n + a

    assert await run(lambda ctx: (functools.partial(give, n) for n in range(100))) == tuple(range(1, 101))
    assert seen == ["views", "give"]  # the step itself, and only one of its paths


async def test_function_without_parameters_returns_the_paths_and_they_name_keys() -> None:
    async def first(a):
        return a

    def paths():
        return [first, fork("inner", mode="all", paths=lambda: [first, lambda b: b])]

    assert await run(paths) == (1, (1, 2))
