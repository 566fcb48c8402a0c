"""A resumed run returns what the original run returned, whatever the values are.

A value may be passed on as it is, made anew so that it looks the same, or replaced. Which of these is a change is
decided when the step has run; after that the values are written and read, and may be other objects.
"""

from __future__ import annotations

import base64
import json
import pickle
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from pathlib import PurePosixPath
from typing import Any
from uuid import UUID

import attrs
import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from trio_steps import Checkpoint, KeyCollisionError, Pipeline
from trio_steps.store import SqliteStore

few = settings(max_examples=60)


class Color(Enum):
    RED = 1
    BLUE = 2


@dataclass
class Item:
    price: Any


@attrs.frozen
class Key:
    id: Any


class Thing:
    """Equal to itself only; a codec can write it."""

    def __init__(self, name):
        self.name = name

    def __repr__(self):
        return f"Thing({self.name!r})"


class PickleCodec:
    def dumps(self, value, /):
        return base64.b64encode(pickle.dumps(value)).decode()

    def loads(self, text, /):
        return pickle.loads(base64.b64decode(text))


MAKERS = {
    "nan": lambda n: float("nan") if n == 0 else float(n),
    "zero": lambda n: [0.0, -0.0, 1.0][n],
    "decimal": lambda n: Decimal(["1.5", "1.50", "NaN"][n]),
    "datetime": lambda n: datetime(2026, 1, 1 + n, tzinfo=UTC),
    "date": lambda n: date(2026, 1, 1 + n),
    "delta": lambda n: timedelta(n),
    "uuid": lambda n: UUID(int=n),
    "path": lambda n: PurePosixPath(str(n)),
    "fraction": lambda n: Fraction(n, 3),
    "enum": lambda n: [Color.RED, Color.BLUE, None][n],
    "list": lambda n: [n, [float("nan")]],
    "dict": lambda n: {(n, Decimal(1)): {0.0 * -n}},
    "item": lambda n: Item([n]),
    "key": lambda n: {Key(n)},
    "text": lambda n: "a" * n,
}


def maker(kind, place):
    """Return a function that makes values. Things include `place`, as those that are written alike are read as one."""
    if kind == "error":
        return lambda n: ValueError(n, place)
    if kind == "thing":
        return lambda n: Thing((n, place))
    return MAKERS[kind]


def look(value):
    """Return a text that differs for values that a user can tell apart."""
    return repr(value)


def step_of(kind, way, number, place):
    """Return a step that replaces the value, makes one that looks the same, or passes it on."""
    make = maker(kind, place)
    if way == "pass":
        return lambda v: {"v": v}
    if way == "swap":
        return lambda v, w: {"v": w, "w": v}
    return lambda: {"v": make(number)}


ways = st.tuples(st.sampled_from(["make", "pass", "swap"]), st.integers(0, 2))
rows = st.lists(ways, min_size=1, max_size=3)
plans = st.tuples(st.lists(rows, min_size=1, max_size=3), st.sampled_from(["override", "error", "skip"]))


def pipeline_of(kind, plan, codec=None):
    members, policy = plan
    inner = []
    for number, row in enumerate([*members, members[0]]):
        p = Pipeline(f"m{number}")
        for place, (way, n) in enumerate(row):
            p = p.step(step_of(kind, way, n, (number, place)))
        inner.append(p.step("last", lambda: {"z": 1}))
    outer = Pipeline("p", codec=codec).step("group", *inner[:-1], mode="all", merge_policy=policy, on_error="continue")
    return outer.step("alone", inner[-1], merge_policy=policy, on_error="continue").step("end", lambda v: {"end": v})


async def check(kind, plan, same, codec=None):
    first = maker(kind, "v")(0)
    inputs = {"v": first, "w": first if same else maker(kind, "w")(0)}
    pipeline = pipeline_of(kind, plan, codec)
    saved = []

    forgiven = []
    whole = await pipeline.run(
        inputs,
        on_step_complete=lambda event: saved.append((event.name, event.checkpoint.to_json())),
        on_error=lambda name, error: forgiven.append(type(error)),
    )
    assert look(await pipeline.run(inputs, on_error=lambda *_: None)) == look(whole)
    assert set(forgiven) <= {KeyCollisionError}
    for name, text in saved:
        resumed = await pipeline.resume(Checkpoint.from_json(text, codec=codec), on_error=lambda *_: None)
        assert look(resumed) == look(whole), f"resumed after {name}"


def run(*args):
    trio.run(check, *args, clock=trio.testing.MockClock(autojump_threshold=0))


@few
@given(st.sampled_from(["error", *sorted(MAKERS)]), plans, st.booleans())
def test_resumed_run_is_the_run_for_every_value(kind, plan, same) -> None:
    run(kind, plan, same)


@few
@given(st.sampled_from(["thing", "error", *sorted(MAKERS)]), plans, st.booleans())
def test_resumed_run_is_the_run_for_every_value_behind_a_codec(kind, plan, same) -> None:
    run(kind, plan, same, PickleCodec())


@pytest.mark.parametrize("kind", ["error", *sorted(MAKERS)])
async def test_value_that_is_made_anew_and_looks_the_same_is_a_change_only_if_it_is_a_thing(kind) -> None:
    """Only then could a step tell it from the old one."""
    make = maker(kind, "")
    inner = Pipeline("i").step("again", lambda: {"v": make(0)}).step("z", lambda: {"z": 1})
    outer = Pipeline("o").step("i", inner, merge_policy="error")
    if kind == "error":
        with pytest.raises(KeyCollisionError):
            await outer.run({"v": make(0)})
    else:
        assert look(await outer.run({"v": make(0)})) == look({"v": make(0), "z": 1})


async def test_durable_run_that_died_comes_to_what_the_run_comes_to(tmp_path) -> None:
    change = Pipeline("change").step("half", lambda: {"score": 0.5})
    tidy = Pipeline("tidy").step("echo", lambda score: {"score": score}).step("later", lambda: {"z": 1})
    p = Pipeline("p").step("both", change, tidy).step("end", lambda score: {"end": score})

    def die(event):
        if event.name == "both/tidy/echo":
            raise KeyboardInterrupt

    store = SqliteStore(tmp_path / "runs.db")
    with pytest.raises(BaseException, match=r".*") as caught:
        await p.run({"score": float("nan")}, store=store, run_id="r", on_step_complete=die)
    assert isinstance(caught.value, KeyboardInterrupt)
    assert (await p.run(store=store, run_id="r"))["end"] == 0.5


class Rounding:
    """A lossy codec: two values that were not equal may be equal once they have been written and read."""

    def dumps(self, value):
        return json.dumps(value, default=round)

    def loads(self, text):
        return json.loads(text)


async def test_value_that_was_changed_stays_so_even_if_it_comes_back_as_what_it_was_before() -> None:
    inner = Pipeline("n").step("a", lambda: {"x": Fraction(5, 4)}).step("b", lambda: {"y": 1})
    p = Pipeline("p", codec=Rounding()).step("n", inner, merge_policy="error")
    saved = []
    with pytest.raises(KeyCollisionError):
        await p.run({"x": Fraction(9, 8)}, on_step_complete=lambda event: saved.append(event.checkpoint.to_json()))
    for text in saved:
        checkpoint = Checkpoint.from_json(text, codec=Rounding())
        assert checkpoint.entries[0].changes == checkpoint.entries[1].changes == {"x": 1}
        with pytest.raises(KeyCollisionError):
            await p.resume(checkpoint)
