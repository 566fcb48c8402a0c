"""Helpers for the tests of runs: the findings in short, and a program that takes some turns."""

from __future__ import annotations

from typing import Any

import trio


def invariants(run: Any) -> list[str]:
    return [finding.invariant for finding in run.findings]


def message(run: Any) -> str:
    return "\n".join(map(str, run.findings))


async def ticks(count: int) -> None:
    for _ in range(count):
        await trio.lowlevel.checkpoint()
