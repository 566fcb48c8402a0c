"""What the tests of runs share: what was found, in short, and some turns that pass."""

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
