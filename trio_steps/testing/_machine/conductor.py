"""The conductor: it runs a program one step at a time, and decides which task takes the next step.

Trio asks its clock how long to sleep exactly when no task can run. Then every task of the program is waiting: for
something, or at its gate because it has been woken. So the conductor is the clock. It opens one gate and tells Trio
not to sleep. If no task is at a gate, it lets virtual time pass.

Every such moment is a *point*, and the program can be cancelled there. With two or more tasks to choose from, it is
also a *decision*.
"""

from __future__ import annotations

import gc
import math
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final, final

import trio

from trio_steps._fork.engine.trust import afresh
from trio_steps.testing._findings import Finding
from trio_steps.testing._places import short_name

from .clock import AT_ONCE, listen, outside
from .disturbance import Disturbance
from .fake_time import FakeTime
from .lookout import Lookout
from .player import Player
from .scopes import Scopes
from .trace import Story
from .turns import Turns, path_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from trio_steps.testing._footprints.footprints import Footprints
    from trio_steps.testing._probe import Probe

    from .faults import Fault
    from .hearing import Hearing
    from .schedules import Schedule
    from .token import Recipe

_CLEAN_UP: Final = 1000
"""How many steps a program may take after it was cancelled, on top of twice the steps before that."""

_TEARDOWN: Final = 1000

_reschedule: Final = trio.lowlevel.reschedule


@final
class Conductor(trio.abc.Clock, trio.abc.Instrument):
    """Runs `program` once, under `trio.run` with itself as the clock and as an instrument."""

    __slots__ = (
        "_batches", "_by_task", "_ends_batch", "_fakes_time", "_footprints", "_hearing", "_host", "_host_scope",
        "_keeps_batches", "_keeps_log", "_last", "_listened", "_max_seconds", "_max_steps", "_moves", "_names",
        "_policy", "_quiet_until", "_stuck", "crash", "disturbance", "error", "fault", "finding", "gate",
        "lookout", "notes", "now", "order", "players", "points", "probe", "program", "queue", "returned",
        "scopes", "steps", "story", "turns", "value",
    )  # fmt: skip

    def __init__(
        self,
        program: Callable[[Probe], Awaitable[Any]],
        probe: Probe,
        schedule: Schedule | None,
        recipe: Recipe,
        fault: Fault,
        hearing: Hearing,
        *,
        max_steps: int,
        max_seconds: float,
        keep_log: bool = False,
        survey: bool = False,
        closely: bool = False,
        clock: bool = False,
        footprints: Footprints | None = None,
    ) -> None:
        self.program = program
        self.probe = probe
        self.value: Any = None
        self.error: BaseException | None = None
        self.returned = False  # the root task has ended
        self.points: int = 0
        self.steps = 0
        self.order: list[tuple[int, ...]] = []  # the path of the task of every step; () where time passes
        self._by_task: dict[trio.lowlevel.Task, Player] = {}
        self.lookout = Lookout(
            self._by_task, fault, fires=recipe.fault_at is not None, keeps_log=keep_log, survey=survey
        )
        self.story = Story(kept=keep_log, name_of=self.lookout.name_of)
        self.turns = Turns(schedule, recipe.policy, self._tell_choice if keep_log else None)
        self.queue = self.turns.queue
        self.fault = fault
        self.scopes = None
        if survey or closely or recipe.expire_at is not None:
            self.scopes = Scopes(places=keep_log, lists=survey)
        self.disturbance = Disturbance(recipe, fault, self.scopes, self.story)
        # the next point at which there is more to do than to count it; None: there is no other
        self._quiet_until: int | None = self.disturbance.at if self.scopes is None else 0
        self.notes: dict[str, None] = {}
        self.finding: Finding | None = None  # that the run could not end by itself
        self.crash: BaseException | None = None
        self.players: list[Player] = []
        self._hearing = hearing
        self._policy = recipe.policy
        self._keeps_batches = recipe.policy != "any"
        self._footprints = footprints
        self._batches = 0  # how many batches have ended; counted with footprints
        self._ends_batch = False
        self._fakes_time = clock
        self._keeps_log = keep_log
        self._max_steps = max_steps
        self._max_seconds = max_seconds
        self._host: trio.lowlevel.Task | None = None
        self._host_scope: trio.CancelScope | None = None
        self._names: dict[tuple[tuple[int, ...], str], int] = {}
        self.now = 0.0  # virtual seconds
        self._moves = False  # whether an opened task has yet to run; the last one is still in its batch
        self._last: Player | None = None
        self._listened = 0
        self._stuck = 0
        self.gate: Any = None  # one trap serves all gates; Trio's own function yields it

    def run(self) -> None:
        """Run the program to its end.

        Raises:
          KeyboardInterrupt: the user pressed Ctrl-C.
          SystemExit: the program raised it.
        """
        maker = trio.lowlevel.wait_task_rescheduled(lambda _: trio.lowlevel.Abort.FAILED)  # noqa: ASYNC105
        self.gate = maker.send(None)
        try:
            with ExitStack() as stack:
                stack.enter_context(afresh())
                stack.enter_context(self.probe.counting())
                stack.enter_context(self.lookout.watching(self))
                if self.scopes is not None:
                    stack.enter_context(self.scopes.watching(self._by_task))
                if self._fakes_time:
                    stack.enter_context(FakeTime(self.current_time).telling())
                trio.run(self._main, clock=self, instruments=[self, *self.lookout.instruments(self)])
        finally:
            maker.close()
        if self.crash is not None:
            raise self.crash

    # What runs in Trio

    async def _main(self) -> None:
        self._hearing.watch_generators()
        self._hearing.heed_ctrl_c()
        async with trio.open_nursery() as nursery:
            self._host = trio.lowlevel.current_task()
            self._host_scope = nursery.cancel_scope
            nursery.start_soon(self._root, name=name_of(self.program))
        gc.collect(0)  # so that garbage of this run is reported in this run

    async def _root(self) -> None:
        frame: Any = None
        try:
            with self.disturbance.scope:
                # not in a variable: the traceback of an error would keep the coroutine alive
                awaitable = [self.program(self.probe)]
                frame = getattr(awaitable[0], "cr_frame", None)
                self.value = await awaitable.pop()
        except BaseException as error:  # noqa: BLE001 - it is the result, even a stray Cancelled
            self.error = error
        finally:
            self.returned = True
        # A frame that is referenced keeps its variables when it ends. The program's are checked, then freed.
        variables = {} if frame is None else dict(frame.f_locals)
        self.probe.ended(variables, self.value)
        if frame is not None:
            frame.clear()

    # What Trio asks of a clock

    def start_clock(self) -> None:
        """Do nothing: time is 0 already."""

    def current_time(self) -> float:
        """Return the virtual time. In a batch, Trio's own loop gets a time at which no deadline has come yet."""
        if self._keeps_batches and (self.turns.rest_of_batch or self._moves) and not trio.lowlevel.in_trio_task():
            return -math.inf
        return self.now

    def deadline_to_sleep_time(self, deadline: float) -> float:
        """Let one task run, or time pass. Trio calls this when no task can run."""
        turns = self.turns
        self._moves = False
        count = len(turns.queue)
        if count > turns.known + 1:
            turns.sort()
        turns.known = count
        if self._keeps_log:
            self.story.tell_step(self.now)
        if self.finding is not None:
            return self._tear_down(deadline)
        if deadline <= self.now and not (self._keeps_batches and turns.rest_of_batch):
            if self._footprints is not None and self.order and self.order[-1]:
                self._footprints.doubt("a timeout that fires at once")
            return AT_ONCE  # Trio cancels what has run out of time first
        if not count:
            return self._idle(deadline)
        if self.points != self._quiet_until:
            self.points += 1
        elif self._reach_point():
            return AT_ONCE
        self.steps += 1
        if self.steps > self._max_steps:
            return self._livelock(f"the program has not ended after {self._max_steps} steps" + self._after())
        player = turns.take()
        self.order.append(player.path)
        self._last = player
        self._moves = True
        if self._keeps_log:
            self.story.steps(player)
        _reschedule(player.task)
        return AT_ONCE

    def _step_watched(self, player: Player, send: Callable[[Any], Any], brought: list[Any]) -> Any:
        """Let `player` take its step, and record what the step touches."""
        __tracebackhide__ = True
        assert self._footprints is not None
        if self._keeps_batches:
            self._batches += self._ends_batch
            self._ends_batch = not self.turns.rest_of_batch
        return self._footprints.step(
            player,
            send,
            brought,
            others=self.queue,
            enabled=self.turns.rest_of_batch if self._keeps_batches else len(self.queue),
            epoch=len(self.order) - self.steps + self._batches,
        )

    def _tell_choice(self, players: Sequence[Player], choice: int) -> None:
        if self._policy == "trio":
            self.story.reversed(players if choice else None)
        else:
            self.story.chose(players[choice], players[0])

    # When no task can run

    def _idle(self, deadline: float) -> float:
        self.turns.rest_of_batch = 0
        what = self._outside()  # before anything else, because a thread may be done already
        if what is not None and what != "idle":
            self.notes[f"it waited for a {'thread' if what == 'asking' else what}: such a run is not deterministic"] = (
                None
            )
        if trio.lowlevel.current_statistics().run_sync_soon_queue_size:
            return AT_ONCE
        if self.returned:
            return self._idle_at_the_end(deadline)
        wait = listen(what, deadline, self._listened)
        if wait is not None:
            self._listened += 1
            return wait
        self._listened = 0
        if self._reach_point():
            return AT_ONCE
        if deadline == math.inf:
            return self._deadlock()
        self.order.append(())
        self.now = deadline
        self.story.says(self.now, "time passes")
        if self.disturbance.injected and self.now > self.disturbance.since + self._max_seconds:
            return self._livelock(f"the program has not ended {self._max_seconds:g} s after it was cancelled")
        return AT_ONCE

    def _outside(self) -> str | None:
        """Tell where the next event has to come from. It examines only tasks that have moved since the last call."""
        moved = [player for player in self.players if not player.ended and player.seen != player.traps]
        what = outside(player.task for player in moved)
        if what is None:
            for player in moved:
                player.seen = player.traps
        return what

    def _idle_at_the_end(self, deadline: float) -> float:
        """Let Trio finish after the root has ended: it closes async generators, and there may be a stray task."""
        if deadline < math.inf:
            self.now = deadline
            return AT_ONCE
        self._stuck += 1
        if self._stuck > _TEARDOWN:
            raise AssertionError("trio.run does not end")
        return AT_ONCE

    # What is done to the program

    def _reach_point(self) -> bool:
        """Disturb the program as planned for this point. If nothing is planned, count the point and return False."""
        scopes = self.scopes
        if scopes is not None:
            self._quiet_until = self.points + 1
            if self._last is not None:
                scopes.moved(self._last, self.now)
            scopes.reach(self.points, between_batches=not self.turns.rest_of_batch)
        if self.disturbance.strike(self.points, self.now, self.players, self._last):
            if self.disturbance.cancels:
                self._max_steps = min(self._max_steps, 3 * self.steps + _CLEAN_UP)
            return True
        self.points += 1
        return False

    def delivered(self, player: Player, error: trio.Cancelled) -> None:
        """Record that `player` got `error`."""
        self.story.delivers(player, error)
        self.disturbance.delivered(player, error, self.now)

    def fault_fired(self, player: Player) -> BaseException:
        """Return the fault, which `player` is about to get."""
        return self.disturbance.fault_fired(player, self.players, self.now)

    # What Trio tells an instrument; an error here would only be logged, so it is kept

    def task_spawned(self, task: trio.lowlevel.Task) -> None:
        """Put a player between Trio and a task of the program."""
        try:
            nursery = task.parent_nursery
            if nursery is None:
                return
            parent = nursery.parent_task
            above = self._by_task.get(parent)
            if above is None:
                if parent is not self._host:
                    return
                path: tuple[int, ...] = (0,)
            else:
                path = (*above.path, above.children)
                above.children += 1
            key = (path[:-1], short_name(task.name))
            self._names[key] = number = self._names.get(key, 0) + 1
            player = Player(self, task, path, number)
            if self._footprints is not None:
                player.watched_by(self._step_watched)
            self._by_task[task] = player
            self.players.append(player)
        except BaseException as error:  # noqa: BLE001 - raised when the run is over
            self.crash = error

    # When it does not end

    def _deadlock(self) -> float:
        waiting = [player for player in self.players if not player.ended]
        lines = [f"nothing can run, and there is no deadline to wait for{self._after()}:"]
        lines += [f"  {self.story.line_of(player)}" for player in waiting]
        place = next((player.place for player in reversed(waiting) if player.place is not None), None)
        what = "; ".join(sorted({f"{short_name(player.task.name)} at {player.place}" for player in waiting}))
        self.finding = Finding(invariant="deadlock", message="\n".join(lines), place=place, what=what)
        return self._give_up()

    def _livelock(self, message: str) -> float:
        player = self.queue[0] if self.queue else max((p for p in self.players if not p.ended), key=path_of)
        lines = [message, *(f"  {self.story.line_of(other)}" for other in self.players if not other.ended)]
        if self.lookout.asked_for_time and not self._fakes_time:
            lines.append(
                f"  it reads the time from Python, {self.lookout.asked_for_time}: clock=True makes that virtual too"
            )
        self.finding = Finding(invariant="livelock", message="\n".join(lines), place=player.place, what="no end")
        return self._give_up()

    def _after(self) -> str:
        return ", after it was cancelled" if self.disturbance.injected else ""

    def _give_up(self) -> float:
        assert self._host_scope is not None
        if self._footprints is not None:
            self._footprints.stop()
        self.turns.rest_of_batch = 0
        self._max_steps = self.steps + _TEARDOWN
        self._host_scope.cancel(reason="the run is given up")
        return AT_ONCE

    def _tear_down(self, deadline: float) -> float:
        """Run everything to its end, by cancellation as long as that works, and then by force."""
        self.turns.rest_of_batch = 0
        if self.returned and not self.queue:
            return self._idle_at_the_end(deadline)
        self.steps += 1
        if self.steps <= self._max_steps:
            if self.queue:
                self.queue.pop(0).open()
                return AT_ONCE
            if deadline < math.inf:
                self.now = max(self.now, deadline)
                return AT_ONCE
        player = max((player for player in self.players if not player.ended), key=path_of, default=None)
        if player is None:
            raise AssertionError("the run can't be given up")
        if player.parked:
            self.queue.remove(player)
        player.kill()
        return AT_ONCE


def name_of(function: object) -> str:
    """Return the short name of a function, through `functools.partial`."""
    function = getattr(function, "func", function)
    name: object = getattr(function, "__qualname__", None)
    return short_name(name if isinstance(name, str) else type(function).__qualname__)
