"""Virtual time: it passes only when every task is waiting, and then at once."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, final

import trio

from trio_steps.testing._findings import DeadlockError
from trio_steps.testing._places import functions_awaited, place_of, short_name, waits_for, waits_for_process

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

REAL_WAIT: Final = 0.05
"""Real seconds for which the outside world can act before virtual time passes."""

AT_ONCE: Final = 0.0
"""How long Trio has to sleep if virtual time passes, or if a task can run."""

_PATIENCE: Final = 20
_THREAD: Final = "to_thread_run_sync"
_BY_A_THREAD: Final = "run"  # the function that runs what a thread has asked for and waits for
_SYSTEM: Final = "run_system"  # the same in a system task of Trio
_IO: Final = frozenset({"wait_readable", "wait_writable"})


def outside(tasks: Iterable[trio.lowlevel.Task]) -> str | None:
    """Return why the clock must not advance: a task waits for a "thread", a "process" or a "socket".

    Or "idle": a task waits until all others wait, as with `trio.testing`. A thread that itself waits for Trio, through
    `trio.from_thread`, is "asking": it may be waiting for time to pass.
    """
    found: str | None = None
    threads = 0
    for task in tasks:
        names = functions_awaited(task)
        if "wait_woken" in names:
            continue  # a system task of Trio, in every run
        if "wait_all_tasks_blocked" in names:
            return "idle"
        if _THREAD in names:
            threads += _BY_A_THREAD not in names[names.index(_THREAD) :]
        elif waits_for_process(task) and found is None:
            found = "process"
        elif not _IO.isdisjoint(names) and found is None:
            found = "socket"
    if not threads:
        return found
    asking = sum(_SYSTEM in functions_awaited(task) for task in _all_tasks())
    return "thread" if threads > asking else found or "asking"


@final
class VirtualClock(trio.abc.Clock):
    """A clock for `trio.run` that starts at 0 and jumps to the next deadline as soon as all tasks are waiting.

    If all tasks are waiting and there is no deadline, nothing can ever happen again. Then the run is cancelled, and
    `trio.run` raises `trio.TrioInternalError` from a `DeadlockError` that says what each task waits for. Time stands
    still while a task waits for a thread. If a task waits for a socket, time passes after a short while.
    """

    def __init__(self) -> None:
        self._now = 0.0
        self._listened = 0
        self._deadlocked = False

    def start_clock(self) -> None:
        """Do nothing: time is already 0."""

    def current_time(self) -> float:
        """Return the virtual time in seconds."""
        return self._now

    def deadline_to_sleep_time(self, deadline: float) -> float:
        """Jump to `deadline`, unless the outside world or `trio.testing` comes first."""
        if deadline <= self._now or trio.lowlevel.current_statistics().run_sync_soon_queue_size:
            self._listened = 0
            return AT_ONCE
        tasks = list(_all_tasks())
        wait = listen(outside(tasks), deadline, self._listened)
        if wait is not None:
            self._listened += 1
            return wait
        self._listened = 0
        if deadline < math.inf:
            self._now = deadline
            return AT_ONCE
        error = DeadlockError(
            "every task waits, and nothing can wake one:\n"
            + "\n".join(
                f"  {short_name(task.name)} waits for {waits_for(task, lambda _: None)} at {place}"
                for task in tasks
                if (place := place_of(task)) is not None
            )
        )
        if self._deadlocked:
            raise error
        self._deadlocked = True
        trio.lowlevel.spawn_system_task(_raise, error)
        return AT_ONCE


def listen(what: str | None, deadline: float, listened: int) -> float | None:
    """Return how long to wait for the outside world before time passes, in real seconds; None: not at all."""
    if what == "idle":
        return math.inf  # Trio reduces it to the cushion of the waiting task
    if what == "thread":
        return REAL_WAIT
    if what == "process":
        return REAL_WAIT
    if what == "socket" and listened < (1 if deadline < math.inf else _PATIENCE):
        return REAL_WAIT
    return None


def _all_tasks() -> Iterator[trio.lowlevel.Task]:
    root = trio.lowlevel.current_root_task()
    todo = [] if root is None else [root]
    while todo:
        task = todo.pop()
        yield task
        todo += [child for nursery in task.child_nurseries for child in nursery.child_tasks]


async def _raise(error: BaseException) -> None:
    raise error
