"""The state of a run: each path has its own copy."""

from __future__ import annotations

from functools import partial
from typing import Any

import trio
import trio.testing

from trio_steps import (
    current_scope,
    fork,
    gather,
)

# state


async def test_each_path_has_its_own_deep_copy_of_the_state() -> None:
    seen: list[Any] = []

    async def path(name: str) -> None:
        state = current_scope().state
        assert state is not None
        state["list"].append(name)  # type: ignore[attr-defined]
        await trio.sleep(1)
        seen.append(state["list"])

    state: dict[str, object] = {"list": []}
    await fork("f", mode="all", paths=[partial(path, "a"), partial(path, "b")]).run(state=state)
    assert sorted(seen) == [["a"], ["b"]]
    assert state == {"list": []}


async def test_race_leaves_the_winners_state_and_other_modes_change_nothing() -> None:
    async def path(name: str, seconds: float) -> str:
        state = current_scope().state
        assert state is not None
        await trio.sleep(seconds)
        state["who"] = name
        state.pop("old", None)
        return name

    paths = [partial(path, "slow", 2), partial(path, "quick", 1)]
    state: dict[str, object] = {"old": 1}
    assert await fork("f", mode="race", paths=paths).run(state=state) == "quick"
    assert state == {"who": "quick"}
    for mode in ("all", "settle"):
        state = {"old": 1}
        await fork("f", mode=mode, paths=paths).run(state=state)
        assert state == {"old": 1}
    state = {"old": 1}
    await fork("f", mode="quorum", need=1, paths=paths).run(state=state)
    assert state == {"old": 1}


async def test_nested_race_hands_the_state_up_level_by_level() -> None:
    def path() -> None:
        state = current_scope().state
        assert state is not None
        state["deep"] = True

    inner = fork("inner", mode="race", paths=[path])
    state: dict[str, object] = {}
    await fork("outer", mode="race", paths=[inner]).run(state=state)
    assert state == {"deep": True}
    state = {}
    await fork("outer", mode="all", paths=[inner]).run(state=state)
    assert state == {}


async def test_state_is_copied_when_the_path_starts() -> None:
    state: dict[str, object] = {"n": 0}
    seen: list[object] = []

    def path() -> None:
        here = current_scope().state
        assert here is not None
        seen.append(here["n"])
        state["n"] = 1

    await fork("f", mode="all", paths=[path, path], concurrency=1).run(state=state)
    assert seen == [0, 1]


async def test_nothing_is_copied_when_no_state_was_given() -> None:
    assert await gather(lambda: current_scope().state) == (None,)


async def test_state_that_cannot_be_copied_is_the_failure_of_the_path() -> None:
    class Stubborn:
        def __deepcopy__(self, memo: object) -> None:
            raise TypeError("not me")

    results = await fork("f", mode="settle", paths=[lambda: 1]).run(state={"x": Stubborn()})
    assert [str(result.error) for result in results] == ["not me"]
