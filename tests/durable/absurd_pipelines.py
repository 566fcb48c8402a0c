"""Pipelines that are run by workers in separate processes, and record what they do in a file."""

from __future__ import annotations

import os
import time
from pathlib import Path

import trio

from trio_steps import Pipeline, current_scope


def note(what: str) -> None:
    """Add a line in one write: several processes write to the file."""
    scope = current_scope()
    line = f"{what} {scope.run_id} {os.getpid()} {time.monotonic()}\n"
    with Path(os.environ["NOTES"]).open("ab", buffering=0) as file:
        file.write(line.encode())


def first() -> None:
    note("first")


async def slow() -> None:
    note("slow")
    await trio.sleep(float(os.environ.get("SLOW", "4")))
    note("slow-done")


def blocks() -> None:
    note("blocks")
    time.sleep(4)
    note("blocks-done")


def last() -> None:
    note("last")


patient = Pipeline("patient").step(first).step(slow).step(last)
blocking = Pipeline("blocking").step(first).step(blocks).step(last)
deadly = Pipeline("deadly").step(first).step("dies", lambda: os._exit(9))
three = Pipeline("three").step("a", lambda: note("a")).step("b", lambda: note("b")).step("c", lambda: note("c"))
