"""Tokens, replay and determinism."""

from __future__ import annotations

import functools
import pickle

import pytest
import trio
import trio.testing
from programs import ticks

from trio_steps.testing import (
    ExplorationError,
    Finding,
    Probe,
    TokenError,
    check_determinism,
    explore,
    replay,
)
from trio_steps.testing._search import minimise as minimise

# tokens and determinism


@pytest.mark.parametrize(
    ("token", "text"),
    [
        ("nonsense", "is damaged"),
        ("s1:0.35:any,x3:ffff", "is damaged"),
        ("s1:0.35:any:fff", "is damaged"),
        ("s1:0.35:any:ffff.ff", "is damaged"),
        ("s9:0.35:any", "is damaged"),
        ("s9:0.35:any:c12:ffff", "is damaged"),
        ("s9:0.35:any:ffff", "has the format 's9'"),
        ("s1:0.1:any:ffff", "was made with Trio 0.1"),
    ],
)
def test_token_that_can_not_be_replayed_says_why(token: str, text: str) -> None:
    async def program(probe: Probe) -> None: ...

    with pytest.raises(TokenError, match=text):
        replay(program, token)


def test_replay_tells_that_the_program_has_changed() -> None:
    async def program(probe: Probe, count: int) -> None:
        await ticks(count)
        raise OSError

    token = explore(functools.partial(program, count=1)).failures[0].token
    run = replay(functools.partial(program, count=2), token)
    assert "it has changed since" in run.notes[0]


def test_program_that_is_not_deterministic_is_found() -> None:
    turns: list[int] = []

    async def program(probe: Probe) -> None:
        turns.append(1)
        await ticks(len(turns))

    failure = explore(program).failures[0]
    assert failure.invariant == "determinism"
    assert "not deterministic" in str(failure)
    with pytest.raises(ExplorationError, match="led elsewhere at step"):
        check_determinism(program)


def test_difference_that_only_the_log_shows_is_found() -> None:
    turns: list[int] = []

    async def program(probe: Probe) -> None:
        turns.append(1)
        await (trio.sleep(1) if len(turns) % 2 else trio.lowlevel.checkpoint())  # noqa: ASYNC105

    with pytest.raises(ExplorationError, match=r"first .*\n.*then "):
        check_determinism(program)


def test_deterministic_program_with_a_finding_is_still_deterministic() -> None:
    async def program(probe: Probe) -> None:
        await ticks(2)
        raise OSError

    check_determinism(program)


def test_finding_says_what_and_where() -> None:
    assert str(Finding(invariant="task", message="x")) == "task: x"


def test_what_is_pickled_names_the_public_module() -> None:
    for error in (TokenError("no"), ExplorationError("no")):
        pickled = pickle.dumps(error, protocol=0)
        assert f"trio_steps.testing\n{type(error).__name__}".encode() in pickled
        assert str(pickle.loads(pickled)) == "no"
