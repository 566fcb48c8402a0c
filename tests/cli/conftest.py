"""A module with pipelines of every kind, and a command line that runs in its directory."""

from __future__ import annotations

import sys

import pytest

from trio_steps._cli.commands import main

SHOP = """
import datetime
import decimal
import enum
import pathlib
import signal
from collections import deque
from dataclasses import dataclass
from typing import TypedDict
from uuid import UUID

import attrs
import trio

from trio_steps import Pipeline, Retry, when

class Order(TypedDict):
    order: int

async def pay(order: int):
    await trio.sleep(0)
    return {"paid": order}

checkout = Pipeline("checkout", inputs=Order).step("pay", pay).step("thank", lambda: {"text": "thänks"})
empty = Pipeline("empty")

@attrs.frozen
class Point:
    x: int

@dataclass
class Size:
    width: int

class Colour(enum.IntEnum):
    RED = 1

strange = Pipeline("strange").step("all", lambda: {
    "null": None, "float": 0.5, "enum": Colour.RED, "point": Point(1), "size": Size(2),
    "list": [(1, 2), {3}, deque([4])], "date": datetime.date(2026, 1, 2), "time": datetime.time(1, 2),
    "path": pathlib.PurePosixPath("a/b"), "uuid": UUID(int=1), "decimal": decimal.Decimal("1.50"),
    "keys": {1: "one", (2, 3): "two"}, "other": 1j, "type": int,
})

def no():
    raise OSError("no money")

failing = Pipeline("failing").step("a", lambda: {"a": 1}).step("bad", no)

tries = [OSError("busy"), OSError("still busy")]

def later():
    if tries:
        raise tries.pop(0)

def tail():
    raise ValueError("forgiven")

several = (
    Pipeline("several")
    .step("later", later, retry=Retry(attempts=3))
    .step("skip", later, condition=lambda: False)
    .step("quiet", later, log=False)
    .step("race", trio.sleep_forever, lambda: {"won": 1}, mode="race")
    .step("forgiven", tail, on_error="continue")
)
wide = Pipeline("wide").for_each("each", lambda n: n, over="ns", each="n", into="out", concurrency=1)

async def interrupted():
    signal.raise_signal(signal.SIGINT)
    await trio.sleep_forever()

async def terminated():
    signal.raise_signal(signal.SIGTERM)
    await trio.sleep_forever()

async def slow_cleanup():
    try:
        await trio.sleep_forever()
    finally:
        with trio.CancelScope(shield=True):
            await trio.sleep(0.01)
            print("cleaned up")

async def bad_cleanup():
    try:
        await interrupted()
    finally:
        raise ValueError("bad clean-up")

async def impatient():
    try:
        await interrupted()
    finally:
        signal.raise_signal(signal.SIGINT)

async def late():
    signal.raise_signal(signal.SIGINT)
    return {"late": True}

stopped = Pipeline("stopped").step("first", lambda: {"a": 1}).step("last", interrupted, slow_cleanup)
stopped_sigterm = Pipeline("stopped").step("last", terminated)
stopped_badly = Pipeline("stopped").step("last", bad_cleanup)
stopped_twice = Pipeline("stopped").step("last", impatient)
stopped_late = Pipeline("stopped").step("last", late)

class group:
    inner = checkout
"""


@pytest.fixture(autouse=True)
def shop(tmp_path, monkeypatch):
    """The current directory, with a module "shop" in it."""
    (tmp_path / "shop.py").write_text(SHOP, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name in ("shop", "broken", "package", "package.inner"):
            del sys.modules[name]


@pytest.fixture
def run(capsys):
    """Run a command line, and return its exit status and what it wrote to standard output and standard error."""

    def run(*argv):
        status = main([str(arg) for arg in argv])
        return status, *capsys.readouterr()

    return run
