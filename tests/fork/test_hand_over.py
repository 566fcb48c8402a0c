"""The function in the how-to that keeps the winner of a race open, taken from its page."""

from __future__ import annotations

import re
from contextlib import asynccontextmanager

import pytest
import trio
from places import docs_page

from trio_steps import ForkPartialError


@pytest.fixture(scope="module")
def first_open():
    page = docs_page("how-to/hand-over.md")
    found = re.search(r"^```python\n(.*?)^@asynccontextmanager\nasync def connect", page, re.DOTALL | re.MULTILINE)
    assert found
    names = {}
    exec(compile(found[1], "hand-over.md", "exec"), names)
    return names["first_open"]


@pytest.fixture
def told():
    return []


@pytest.fixture
def opens(told):
    @asynccontextmanager
    async def opens(name, seconds, error=None):
        await trio.sleep(seconds)
        if error is not None:
            raise error
        told.append(f"{name} open")
        try:
            yield name
        finally:
            told.append(f"{name} closed")

    return opens


async def test_winner_stays_open_in_the_block_and_the_loser_never_opens(first_open, opens, told):
    async with first_open(opens("slow", 5), opens("fast", 1)) as name:
        await trio.sleep(10)
        assert name == "fast"
        assert told == ["fast open"]
    assert told == ["fast open", "fast closed"]
    assert trio.current_time() == 11.25


async def test_runner_up_of_the_same_tick_is_closed_at_once(first_open, opens, told):
    async with first_open(opens("first", 1), opens("second", 0.75)) as name:
        await trio.sleep(1)
        loser = {"first": "second", "second": "first"}[name]
        assert sorted(told) == sorted(["first open", "second open", f"{loser} closed"])
    assert told[-1] == f"{name} closed"


async def test_failure_of_all_is_one_bare_error(first_open, opens):
    errors = OSError("a"), OSError("b")
    with pytest.raises(ForkPartialError) as info:
        async with first_open(opens("a", 1, errors[0]), opens("b", 1, errors[1])):
            pytest.fail("nothing is open")
    assert info.value.exceptions == errors


async def test_error_of_the_block_leaves_it_bare_and_closes_the_winner(first_open, opens, told):
    error = KeyError("mine")
    with pytest.raises(KeyError) as info:
        async with first_open(opens("a", 1)):
            raise error
    assert info.value is error
    assert told == ["a open", "a closed"]


async def test_cancelled_block_closes_the_winner(first_open, opens, told):
    with trio.move_on_after(2) as scope:
        async with first_open(opens("a", 1)):
            await trio.sleep_forever()
    assert scope.cancelled_caught
    assert told == ["a open", "a closed"]
