"""Two threads count without a lock. Not found: threads have no gates, and run as the operating system decides."""

from __future__ import annotations

import threading
from typing import Any

import trio

TITLE = "lost update between two threads"


async def buggy(probe: Any) -> None:
    counts = {"calls": 0}

    def count() -> None:
        seen = counts["calls"]
        counts["calls"] = seen + 1

    def count_in_two_threads() -> None:
        threads = [threading.Thread(target=count) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    await trio.to_thread.run_sync(count_in_two_threads)
    assert counts["calls"] == 2
