"""Every option of every function that makes a fork refuses values of a wrong kind, at once, and says which option."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from junk import named, wrong

from trio_steps import ConfigError, current_scope, fork, gather, race, settle, stream

if TYPE_CHECKING:
    from collections.abc import Callable

COMMON = {
    "concurrency": "1 huge none limiter",
    "stagger": "0 1 1.5 infinity none",
    "timeout": "1 1.5 infinity none",
    "dispose": "none function async",
    "accept": "none function",
    "rate": "none",
    "growing": "true false",
}
FORK = {**COMMON, "mode": "function async", "merge": "none function async", "need": "none"}
ON_THE_SPOT = {**COMMON, "observers": "empty tuple"}
STREAM = {**ON_THE_SPOT, "ordered": "true false", "buffer": "1 huge none", "mode": ""}
OF_A_FORK = {"ordered": "true false", "buffer": "1 huge none", "observers": "empty tuple", "state": "none mapping"}
OF_A_RUN = {"observers": "empty tuple", "state": "none mapping"}


async def path() -> int:
    return 1


settled = fork("f", mode="settle", paths=[path])


def make_fork(**options: Any) -> None:
    fork("f", **{"mode": "all", "paths": [path], **options})


@pytest.mark.parametrize(("option", "right"), FORK.items())
def test_fork_refuses_a_wrong_value_of_an_option_and_says_which_fork(option: str, right: str) -> None:
    for value in wrong(right):
        with pytest.raises(ConfigError, match=rf"^fork 'f': {option}\b") as caught:
            make_fork(**{option: value})
        assert len(str(caught.value)) < 500


@pytest.mark.parametrize(("option", "right"), FORK.items())
def test_fork_takes_a_right_value_of_an_option(option: str, right: str) -> None:
    for value in named(right):
        make_fork(**{option: value})


@pytest.mark.parametrize("call", [race, gather, settle])
@pytest.mark.parametrize(("option", "right"), ON_THE_SPOT.items())
def test_fork_on_the_spot_refuses_a_wrong_value_of_an_option_when_it_is_called(
    call: Callable[..., Any], option: str, right: str
) -> None:
    for value in wrong(right):
        with pytest.raises(ConfigError, match=rf"^{option}\b"):
            call(path, **{option: value})  # not awaited


@pytest.mark.parametrize("call", [race, gather, settle])
@pytest.mark.parametrize(("option", "right"), ON_THE_SPOT.items())
def test_fork_on_the_spot_takes_a_right_value_of_an_option(call: Callable[..., Any], option: str, right: str) -> None:
    for value in named(right):
        call(path, **{option: value}).close()


@pytest.mark.parametrize(("option", "right"), STREAM.items())
def test_stream_checks_the_value_of_an_option_before_it_is_entered(option: str, right: str) -> None:
    for value in wrong(right):
        with pytest.raises(ConfigError, match=rf"^(stream\()?{option}\b"):
            stream(path, **{option: value})
    for value in named(right):
        stream(path, **{option: value})


@pytest.mark.parametrize(("option", "right"), OF_A_FORK.items())
def test_stream_of_a_fork_checks_the_value_of_an_option_before_it_is_entered(option: str, right: str) -> None:
    for value in wrong(right):
        with pytest.raises(ConfigError, match=rf"^{option}\b"):
            settled.stream(**{option: value})
    for value in named(right):
        settled.stream(**{option: value})


@pytest.mark.parametrize(("option", "right"), OF_A_RUN.items())
async def test_run_refuses_a_wrong_value_of_an_option_before_any_path_starts(option: str, right: str) -> None:
    started: list[str] = []
    made = fork("f", mode="settle", paths=[lambda: started.append("path")])
    for value in wrong(right):
        with pytest.raises(ConfigError, match=rf"^{option}\b"):
            await made.run(**{option: value})
    assert not started


def test_stream_names_its_two_modes() -> None:
    for mode in ("race", "quorum", "some"):
        with pytest.raises(ConfigError) as caught:
            stream(path, mode=mode)  # type: ignore[call-overload]
        assert str(caught.value) == f'stream(mode={mode!r}): use "settle" or "all", the modes with results to read'


def test_ordered_given_as_text_is_not_taken_for_true() -> None:
    with pytest.raises(ConfigError) as caught:
        stream(path, ordered="as they come")  # type: ignore[call-overload]
    told = "ordered='as they come': give True for results in path order, or False for results as paths end"
    assert str(caught.value) == told


@pytest.mark.parametrize("bad", [None, 5, "text", [path]])
def test_bad_path_in_a_mapping_is_refused_with_its_key(bad: Any) -> None:
    for make in (race, gather, settle, stream):
        with pytest.raises(ConfigError, match=r"^path 'orders': a step is a function or another callable, not "):
            make({"user": path, "orders": bad})
    with pytest.raises(ConfigError, match=r"^fork 'page': path 'orders': a step is a function"):
        fork("page", mode="all", paths={"user": path, "orders": bad})


def test_coroutine_in_a_mapping_is_refused_with_its_key_and_without_a_warning() -> None:
    with pytest.raises(ConfigError) as caught:
        gather({"user": path(), "orders": path()})  # type: ignore[type-var]
    assert str(caught.value) == (
        "path 'user': a step is a function, not the coroutine that calling it returned: "
        "write partial(path, …) or path, not path(…)"
    )


def test_coroutine_given_as_the_paths_says_what_to_give_and_leaves_no_warning() -> None:
    with pytest.raises(ConfigError) as caught:
        fork("page", mode="all", paths=path())  # type: ignore[call-overload]
    assert str(caught.value) == (
        "fork 'page': paths is the coroutine that calling path returned: write paths=path if it returns the paths for "
        "an input, or paths=[partial(path, …)] if it is a path"
    )


async def two(first: int, second: int) -> int:
    return first + second


async def by_name(*, key: str) -> str:
    return key


NEEDY = [
    pytest.param(two, "'first' and 'second', and is called without arguments: give it what it needs", id="two"),
    pytest.param(by_name, "'key', and is called without arguments: give it what it needs, partial", id="by name"),
]


@pytest.mark.parametrize("concurrency", [None, 1])
@pytest.mark.parametrize(("needy", "told"), NEEDY)
async def test_lazy_path_that_requires_more_fails_with_the_error_of_a_known_one(
    needy: Any, told: str, concurrency: int | None
) -> None:
    """It is that path's failure, because the others may have run by then."""
    first, second, last = await settle((p for p in (path, needy, path)), concurrency=concurrency)
    assert (first.value, last.value) == (1, 1)
    assert isinstance(second.error, ConfigError)
    assert str(second.error).startswith(f"path '{needy.__name__}' requires {told}")
    assert second.error.__context__ is None
    assert second.error.__notes__ == [f"in step 'settle/{needy.__name__}'"]


async def test_lazy_path_of_a_fork_is_told_what_it_lacks_besides_the_input() -> None:
    made: Any = fork("f", mode="settle", paths=lambda _=0: iter([two, by_name]))
    missing, named = await made(1)
    assert str(missing.error).startswith("path 'two' requires 'second' besides 'first', which is its input")
    assert str(named.error).startswith(
        "path 'by_name' requires 'key', and a fork gives its paths nothing but the input"
    )
    missing, _ = await made()
    assert str(missing.error).startswith("path 'two' requires 'first' and 'second', and is called without arguments")


async def test_lazy_path_that_takes_the_input_is_told_to_call_the_fork_with_one() -> None:
    async def load(url: str) -> str:
        return url

    made: Any = fork("f", mode="settle", paths=lambda _="": iter([load]))
    [alone] = await made()
    assert str(alone.error).endswith("partial(load, url=…) or lambda: load(url=…), or call the fork with an input")
    [given] = await made("u")
    assert given.value == "u"


async def test_type_error_of_a_lazy_path_itself_stays() -> None:
    def broken() -> int:
        return len(5)  # type: ignore[arg-type]

    [result] = await settle(iter([broken]))
    assert type(result.error) is TypeError


async def test_state_of_a_run_is_the_dict_that_was_given() -> None:
    seen: list[object] = []
    state: dict[str, object] = {"user": "ada"}
    made = fork("f", mode="settle", paths=[lambda: seen.append(current_scope().state)])
    await made.run(state=state)
    assert seen == [state]
