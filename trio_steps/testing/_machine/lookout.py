"""Watches more than the steps of a run: calls that could fail, objects, which task wakes which, and reads of the time.

Each of these costs time in every step or call, so it is watched only if it is needed: in a run whose log is kept, or
that makes a call fail, or that finds out what could be disturbed.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Protocol, final

import trio

from trio_steps.testing._places import place_of_caller, runs_program

from .fake_time import overhearing
from .synced import Synced, Wakes

if TYPE_CHECKING:
    from collections.abc import Generator

    from trio_steps.testing._findings import Finding

    from .faults import Fault
    from .player import Player
    from .trace import Story


class Watched(Protocol):
    """The run that is watched: a conductor."""

    now: float
    finding: Finding | None
    story: Story
    notes: dict[str, None]

    def fault_fired(self, player: Player) -> BaseException:
        """Return the fault, which `player` is about to get."""
        ...


@final
class Lookout:
    """Watches one run.

    Attributes:
      synced: the events, locks and channels of the program, if its log is kept.
      asked_for_time: which function of the `time` module was called first, and at which line, if its log is kept.
    """

    def __init__(
        self, tasks: dict[trio.lowlevel.Task, Player], fault: Fault, *, fires: bool, keeps_log: bool, survey: bool
    ) -> None:
        self.synced = Synced(self._running) if keeps_log else None
        self.asked_for_time = ""
        self._tasks = tasks
        self._fault = fault
        self._fires = fires
        self._counts = survey or fires or keeps_log

    @contextmanager
    def watching(self, run: Watched) -> Generator[None]:
        """Watch what happens in the block."""
        with ExitStack() as stack:
            if self._counts:
                stack.enter_context(self._fault.watching(lambda task: self._fault_at_once(run, task)))
            if self.synced is not None:
                stack.enter_context(self.synced.watching())
                stack.enter_context(overhearing(lambda name: self._asks_for_time(run, name)))
            yield

    def instruments(self, run: Watched) -> list[trio.abc.Instrument]:
        """Return the instruments for Trio, besides the conductor."""
        instruments: list[trio.abc.Instrument] = [self._fault] if self._fires else []
        if self.synced is not None:
            instruments.append(Wakes(lambda task: self._woken(run, task)))
        return instruments

    def name_of(self, item: object) -> str | None:
        """Return the name of an event, a lock or a channel, if it has one."""
        return None if self.synced is None else self.synced.name(item)

    def _fault_at_once(self, run: Watched, task: trio.lowlevel.Task) -> BaseException | None:
        player = self._tasks.get(task)
        return None if player is None else run.fault_fired(player)

    def _running(self) -> str | None:
        """Return the label of the running task, if it is one of the program's."""
        player = self._tasks.get(trio.lowlevel.current_task()) if trio.lowlevel.in_trio_task() else None
        return None if player is None else player.label

    def _woken(self, run: Watched, task: trio.lowlevel.Task) -> None:
        """Record which task wakes `task`, but not that a task is started, nor wakes that end the run."""
        if run.finding is not None or not trio.lowlevel.in_trio_task():
            return
        waker, woken = self._tasks.get(trio.lowlevel.current_task()), self._tasks.get(task)
        if waker is not None and woken is not None and woken.traps and waker is not woken and runs_program():
            run.story.wakes(run.now, waker, woken)

    def _asks_for_time(self, run: Watched, name: str) -> None:
        place = None if self.asked_for_time or self._running() is None else place_of_caller()
        if place is not None:
            self.asked_for_time = f"time.{name}() at {place}"
            run.notes[f"it read the real time, {self.asked_for_time}; clock=True makes it virtual"] = None
