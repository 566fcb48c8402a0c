"""Run the programs of the corpus under plain Trio, judge them like `explore`, and count the bugs that chance finds."""

from __future__ import annotations

import gc
import sys
import warnings
from typing import Any

import trio

from trio_steps.testing import Probe, VirtualClock


def plain_run_fails(program: Any) -> bool:
    """Run a program once as a test would, undisturbed, and tell whether anything is wrong."""
    probe = Probe()
    raised: list[Any] = []
    hook, sys.unraisablehook = sys.unraisablehook, raised.append

    async def main() -> Any:
        return await program(probe)

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            value = trio.run(main, clock=VirtualClock())
            gc.collect(0)
        probe.ended({}, value)
    except BaseException:
        return True
    finally:
        sys.unraisablehook = hook
    return bool(probe.findings or raised)


def found_in(program: Any, runs: int) -> int:
    """Return how many plain runs show that something is wrong."""
    return sum(plain_run_fails(program) for _ in range(runs))
