"""Forks that grow: paths that add paths."""

from __future__ import annotations

from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import trio
from paths import never, raises, returns

from trio_steps import (
    ConfigError,
    ForkPartialError,
    NoPathsError,
    PathsCounted,
    RateLimit,
    current_scope,
    fork,
    gather,
    race,
    settle,
    step,
    stream,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

LINKS = {"/": ["a", "b", "c"], "a": ["d", "b"], "b": ["e"], "c": [], "d": ["a", "f"], "e": [], "f": []}
SECONDS = {page: 1 + number / 16 for number, page in enumerate(LINKS)}


class Crawler:
    """Reads each page once, and adds the pages that it links to."""

    def __init__(self) -> None:
        self.seen = {"/"}
        self.starts: list[tuple[float, str]] = []
        self.running = self.most = 0

    async def visit(self, page: str) -> str:
        self.starts.append((trio.current_time(), page))
        self.running += 1
        self.most = max(self.most, self.running)
        await trio.sleep(SECONDS[page])
        self.running -= 1
        for link in LINKS[page]:
            if link not in self.seen:
                self.seen.add(link)
                current_scope().add(step(partial(self.visit, link), id=link))
        return page

    @property
    def root(self) -> Any:
        return step(partial(self.visit, "/"), id="/")


@pytest.mark.parametrize("concurrency", [None, 1, 2, "limiter"])
async def test_crawler_reads_each_page_once(concurrency: Any) -> None:
    crawler = Crawler()
    limit = trio.CapacityLimiter(2) if concurrency == "limiter" else concurrency
    pages = await gather(crawler.root, concurrency=limit, growing=True)
    assert pages == ("/", "a", "b", "c", "d", "e", "f")  # in the order in which they joined
    assert [page for _, page in crawler.starts] == list(pages)  # and in which they started
    assert crawler.most == {None: 3, 1: 1}.get(concurrency, 2)
    assert trio.current_time() == {None: 4.6875, 1: 8.3125}.get(concurrency, 4.75)


async def test_growing_settle_and_stream_have_every_path() -> None:
    assert [result.step_id for result in await settle(Crawler().root, growing=True)] == ["/", *"abcdef"]
    async with stream(Crawler().root, growing=True, concurrency=2, ordered=True) as results:
        assert [result.value async for result in results] == ["/", *"abcdef"]


async def test_growing_race_is_won_by_an_added_path() -> None:
    async def adds() -> str:
        current_scope().add(returns(1, "added"))
        await trio.sleep(5)
        return "first"

    assert await race(adds, growing=True) == "added"
    assert trio.current_time() == 1


async def test_growing_quorum_is_impossible_only_when_nothing_runs() -> None:
    async def adds() -> str:
        await trio.sleep(1)
        current_scope().add(returns(1, "added"))
        return "first"

    pair = fork("pair", mode="quorum", need=2, paths=lambda: iter([adds]), growing=True)
    assert await pair() == ("first", "added")

    async def adds_a_failure() -> str:
        await trio.sleep(1)
        current_scope().add(raises(1, OSError()))
        return "first"

    pair = fork("pair", mode="quorum", need=2, paths=lambda: iter([adds_a_failure]), growing=True)
    with pytest.raises(ForkPartialError) as caught:
        await pair()
    assert trio.current_time() == 4
    assert [result.value for result in caught.value.succeeded] == ["first"]


async def test_growing_quorum_may_need_more_paths_than_it_begins_with() -> None:
    async def adds() -> str:
        current_scope().add(returns(1, "a"))
        current_scope().add(returns(2, "b"))
        return "first"

    assert await fork("three", mode="quorum", need=3, paths=[adds], growing=True)() == ("first", "a", "b")
    with pytest.raises(ForkPartialError) as caught:
        await fork("four", mode="quorum", need=4, paths=[adds], growing=True)()
    assert [type(error) for error in caught.value.exceptions] == [NoPathsError]
    assert [result.value for result in caught.value.succeeded] == ["first", "a", "b"]


@pytest.mark.parametrize("concurrency", [None, 3, "limiter"])
async def test_known_paths_with_a_slot_have_joined_before_one_of_them_adds_another(concurrency: Any) -> None:
    async def adds() -> str:
        current_scope().add(returns(0, "added"))
        return "first"

    limit = trio.CapacityLimiter(3) if concurrency == "limiter" else concurrency
    for _ in range(20):  # Trio runs the tasks of a tick in any order
        found = await gather(adds, returns(1, "a"), returns(1, "b"), concurrency=limit, growing=True)
        assert found == ("first", "a", "b", "added")


async def test_free_slot_takes_an_added_path_before_it_asks_the_source() -> None:
    order: list[str] = []

    async def path(name: str, *more: str) -> None:
        order.append(name)
        await trio.sleep(1)
        for one in more:
            current_scope().add(partial(path, one))

    def paths() -> Iterator[Callable[[], Any]]:
        yield partial(path, "a", "a1", "a2")
        yield partial(path, "b")

    await gather(paths(), concurrency=1, growing=True)
    await gather([partial(path, "a", "a1", "a2"), partial(path, "b")], concurrency=1, growing=True)
    assert order == ["a", "a1", "a2", "b"] * 2


async def test_added_path_does_not_wait_for_a_quiet_source() -> None:
    order: list[tuple[float, str]] = []

    async def path(name: str, *more: str) -> None:
        for one in more:
            current_scope().add(partial(path, one))
        await trio.sleep(1)
        order.append((trio.current_time(), name))

    async def paths() -> AsyncIterator[Callable[[], Any]]:
        yield partial(path, "a", "a1")
        await trio.sleep(10)
        yield partial(path, "b")

    for limit in (1, trio.CapacityLimiter(1)):
        start = trio.current_time()
        await gather(paths(), concurrency=limit, growing=True)
        assert order == [(start + 1, "a"), (start + 2, "a1"), (start + 11, "b")]
        order.clear()


async def test_added_paths_keep_the_stagger_and_the_rate() -> None:
    starts: list[float] = []

    async def path(more: int) -> None:
        starts.append(trio.current_time())
        for _ in range(more):
            current_scope().add(partial(path, 0))

    await gather(partial(path, 3), stagger=2, growing=True)
    assert starts == [0, 2, 4, 6]
    starts.clear()
    await gather(partial(path, 3), rate=RateLimit(1, per=3.0), growing=True)
    assert starts == [6, 9, 12, 15]


@pytest.mark.parametrize("options", [{"rate": RateLimit(1, per=1.0)}, {"stagger": 1}])
async def test_added_path_that_starts_in_the_turn_of_another_takes_no_second_turn(options: dict[str, Any]) -> None:
    starts: list[tuple[float, str]] = []

    async def path(name: str, *more: str) -> None:
        starts.append((trio.current_time(), name))
        for one in more:
            current_scope().add(partial(path, one))

    await gather(partial(path, "a", "a1"), partial(path, "b"), partial(path, "c"), growing=True, **options)
    assert starts == [(0, "a"), (1, "a1"), (2, "b"), (3, "c")]


@pytest.mark.parametrize("shared", [False, True])
async def test_path_that_is_added_while_the_next_of_an_async_source_waits_for_a_token_starts_once(shared: bool) -> None:
    starts: list[tuple[float, str]] = []

    async def path(name: str, *more: str) -> str:
        starts.append((trio.current_time(), name))
        await trio.sleep(1)
        for one in more:
            current_scope().add(partial(path, one))
        await trio.sleep(1)
        return name

    async def paths() -> AsyncIterator[Callable[[], Any]]:
        yield partial(path, "a", "a1", "a2")
        yield partial(path, "b")  # waits for a token when the others are added
        yield partial(path, "c")

    limiter = trio.CapacityLimiter(1)
    names = await gather(paths(), concurrency=limiter if shared else 1, growing=True)
    assert names == ("a", "b", "a1", "a2", "c")
    assert starts == [(0, "a"), (2, "b"), (4, "a1"), (6, "a2"), (8, "c")]
    assert limiter.borrowed_tokens == 0


async def test_added_path_is_called_with_the_input_of_the_fork() -> None:
    async def leaf(topic: str) -> str:
        return f"leaf of {topic}"

    async def root(topic: str) -> str:
        current_scope().add(leaf)
        return f"root of {topic}"

    tree = fork("tree", mode="all", paths=[root], growing=True)
    assert await tree("owls") == ("root of owls", "leaf of owls")


async def test_added_path_starts_with_the_variables_of_the_caller() -> None:
    variable = ContextVar("variable", default="nothing")
    seen: list[str] = []

    async def leaf() -> None:
        seen.append(variable.get())

    async def root() -> None:
        variable.set("the path's")
        current_scope().add(leaf)

    variable.set("the caller's")
    await gather(root, growing=True)
    assert seen == ["the caller's"]


async def test_path_adds_from_a_step_inside_it() -> None:
    async def helper() -> None:
        current_scope().add(returns(0, "added"))

    async def root() -> str:
        await step(helper)()
        return "root"

    assert await gather(root, growing=True) == ("root", "added")


async def test_tree_that_is_walked_depth_first() -> None:
    async def node(depth: int) -> int:
        if depth:
            inner = await fork("node", mode="all", paths=[partial(node, depth - 1)] * 2, growing=True)()
            return sum(inner) + 1
        return 1

    assert await node(4) == 31


async def test_nested_forks_grow_under_one_limiter() -> None:
    limiter = trio.CapacityLimiter(1)

    async def leaf() -> str:
        await trio.sleep(1)
        return "leaf"

    async def inner() -> tuple[str, ...]:
        async def adds() -> str:
            current_scope().add(leaf)
            return "adds"

        return await gather(adds, concurrency=limiter, growing=True)

    assert await gather(inner, inner, concurrency=limiter, growing=True) == (("adds", "leaf"), ("adds", "leaf"))


async def test_failure_of_an_added_path_ends_the_fork() -> None:
    async def root() -> None:
        current_scope().add(raises(1, OSError("added")))
        await trio.sleep_forever()

    with pytest.raises(ForkPartialError) as caught:
        await gather(root, growing=True)
    assert [(result.step_id, result.kind) for result in caught.value.failed] == [
        ("root", "cancelled"),
        ("bad", "step_failed"),
    ]


async def test_known_paths_that_never_started_are_accounted_for() -> None:
    with pytest.raises(ForkPartialError) as caught:
        await gather([raises(1, OSError()), never, never], concurrency=1, growing=True)
    assert [(result.step_id, getattr(result.error, "started", None)) for result in caught.value.failed] == [
        ("bad", None),
        ("never", False),
        ("never#2", False),
    ]


async def test_paths_are_counted_when_no_more_can_come() -> None:
    events: list[Any] = []
    await gather(Crawler().root, growing=True, observers=[events.append])
    assert [(event.time, event.total) for event in events if isinstance(event, PathsCounted)] == [(4.6875, 7)]


async def test_growing_fork_without_paths_ends() -> None:
    assert await gather(growing=True) == ()
    assert await gather(iter([]), growing=True) == ()


async def test_growing_fork_ends_though_a_path_left_its_nursery_open() -> None:
    async def leaves_open() -> None:
        await trio.open_nursery().__aenter__()

    results = await settle(leaves_open, returns(1, "a"), growing=True)
    assert [result.kind for result in results] == ["step_failed", None]


async def test_growing_fork_is_cancelled_from_outside() -> None:
    async def adds() -> None:
        current_scope().add(adds)
        await trio.sleep(1)

    with trio.move_on_after(10) as scope:
        await gather(adds, concurrency=1, growing=True)
    assert (scope.cancelled_caught, trio.current_time()) == (True, 10)


# The names of added paths


@pytest.mark.parametrize("concurrency", [1, None])
async def test_added_path_has_a_name_that_no_path_has_or_will_have(concurrency: int | None) -> None:
    async def path(*more: str) -> str:
        for _ in more:
            current_scope().add(path)
        return current_scope().id

    names = await gather([partial(path, "one", "two"), path, path], concurrency=concurrency, growing=True)
    assert sorted(names) == ["path", "path#2", "path#3", "path#4", "path#5"]


async def test_added_path_of_very_many_has_a_name_of_its_own() -> None:
    async def path(*more: str) -> str:
        for _ in more:
            current_scope().add(path)
        return current_scope().id

    names = await gather([partial(path, "one"), *[path] * 6000], growing=True)
    assert len(names) == len(set(names)) == 6002


async def test_added_path_takes_no_key_of_a_path_that_has_not_started() -> None:
    async def last() -> str:
        return "added"

    async def adds() -> str:
        current_scope().add(last)
        return "first"

    found = await gather({"root": adds, "last": returns(0, "known")}, concurrency=1, growing=True)
    assert found == {"root": "first", "last#2": "added", "last": "known"}


@pytest.mark.parametrize("id", ["root", "last", "step", "step#2"])
async def test_added_path_is_refused_if_its_id_is_a_key_of_the_results_already(id: str) -> None:
    async def named() -> int:
        return 1

    async def adds() -> str:
        for _ in range(2):
            current_scope().add(partial(named))
        current_scope().add(returns(0, 2, id="step"))
        current_scope().add(returns(0, 3, id="step#2"))
        with pytest.raises(ConfigError, match=f"fork 'gather' has a path '{id}', and its results go by name: "):
            current_scope().add(returns(0, 4, id=id))
        return "root"

    found = await gather({"root": adds, "last": returns(0, "last")}, concurrency=1, growing=True)
    assert found == {"root": "root", "named": 1, "named#2": 1, "step": 2, "step#2": 3, "last": "last"}


# Bad input


async def test_adding_to_a_fork_that_does_not_grow_is_refused() -> None:
    async def adds() -> None:
        with pytest.raises(ConfigError, match="the fork 'outer/inner' does not grow: make it with growing=True"):
            current_scope().add(never)

    inner = fork("inner", mode="all", paths=[adds])
    await fork("outer", mode="all", paths=[inner], growing=True)()


async def test_adding_outside_of_any_fork_is_refused() -> None:
    async def adds() -> None:
        with pytest.raises(ConfigError, match="'alone' does not run in a fork, so it has no fork to add a path to"):
            current_scope().add(never)

    await step(adds, id="alone")()


async def test_adding_what_cannot_be_called_is_refused_and_changes_nothing() -> None:
    async def adds() -> str:
        with pytest.raises(ConfigError, match="a step is a function or another callable, not 5"):
            current_scope().add(5)  # type: ignore[arg-type]
        return "a"

    assert await gather(adds, growing=True) == ("a",)


async def test_adding_to_a_fork_that_is_decided_is_refused() -> None:
    async def adds_late() -> None:
        try:
            await trio.sleep_forever()
        finally:
            with pytest.raises(RuntimeError, match=r"fork 'race' is decided, so no path can be added: .* path 'a' won"):
                current_scope().add(never)

    assert await race(returns(1, "a"), adds_late, growing=True) == "a"


async def test_adding_to_a_fork_that_is_over_is_refused() -> None:
    scopes: list[Any] = []

    async def keeps_its_scope() -> None:
        scopes.append(current_scope())

    await gather(keeps_its_scope, growing=True)
    with pytest.raises(RuntimeError, match="the fork is over, so no path can be added"):
        scopes[0].add(never)


async def test_growing_fork_without_paths_waits_for_no_token() -> None:
    limiter = trio.CapacityLimiter(1)
    await limiter.acquire()
    with trio.fail_after(1):
        assert await fork("f", mode="all", paths=[], growing=True, concurrency=limiter)() == ()
