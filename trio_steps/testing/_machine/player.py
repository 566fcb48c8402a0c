"""The player: it stands between Trio and one coroutine, and resumes the coroutine only when it is told to.

Trio resumes a task by ``task.coro.send(outcome)``. A player takes the place of ``task.coro``. It keeps what Trio sends,
and makes the task wait at a *gate*: a trap that refuses to be aborted, like a task that has been woken. When the
conductor opens the gate, the coroutine gets what was kept, and Trio gets the coroutine's next trap.

Most traps come from checkpoints, which ask Trio to resume the task as soon as others have had their turn. Trio would do
that at once, only for the task to wait at its gate. So a player does not pass such a trap on. Its task goes to the gate
directly, which saves one of two turns of Trio's loop for each step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol, final

import outcome
import trio

from trio_steps.testing._places import place_of, short_name

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CoroutineType

    from trio_steps.testing._places import Place

    from .faults import Fault


_reschedule: Final = trio.lowlevel.reschedule

_NOTHING: Final = object()


def _trap_of(coroutine: Any) -> Any:
    """Return the trap that Trio's own `coroutine` yields to Trio."""
    trap = coroutine.send(None)
    coroutine.close()
    return trap


_LETS_RUN: Final[Any] = _trap_of(trio.lowlevel.cancel_shielded_checkpoint())  # noqa: ASYNC105

_TRIES: Final = 20
"""How many times a task that is ended by force may wait in its clean-up."""


class Abandoned(BaseException):
    """Ends the tasks of a run that can't end by itself."""


class Stage(Protocol):
    """Decides whose turn it is: a conductor.

    Attributes:
      gate: the trap that makes a task wait for its turn.
      queue: the players at their gates.
    """

    gate: Any
    queue: list[Player]

    @property
    def fault(self) -> Fault:
        """Makes a call fail."""
        ...

    def delivered(self, player: Player, error: trio.Cancelled) -> None:
        """Record that `player` got `error`."""
        ...

    def fault_fired(self, player: Player) -> BaseException:
        """Return the fault, which `player` is about to get."""
        ...


@final
class Player:
    """One task of the program under test.

    Attributes:
      path: where it was spawned: a number for each task from the program's root down to it.
      parked: whether it waits at the gate.
      ended: whether its coroutine has ended.
    """

    __slots__ = (
        "_base", "_brought", "_gate", "_held", "_inner", "_is_given_fault", "_meets_trap", "_number", "_queue", "_send",
        "_stage", "children", "ended", "parked", "path", "seen", "task", "traps",
    )  # fmt: skip

    def __init__(self, stage: Stage, task: trio.lowlevel.Task, path: tuple[int, ...], number: int) -> None:
        self._stage = stage
        self.task: trio.lowlevel.Task = task
        self.path: tuple[int, ...] = path
        self.children: int = 0
        self.parked: bool = False
        self.ended: bool = False
        self.traps: int = 0
        self.seen: int = -1  # the trap at which it was last examined for what it waits for
        self._base = short_name(task.name)
        self._number = number  # among siblings of the same name
        self._gate = stage.gate
        self._queue = stage.queue
        self._held: Any = _NOTHING
        self._brought: list[Any] | None = None
        watched = stage.fault.watched
        self._meets_trap = stage.fault.meets_trap if watched else None
        self._is_given_fault = stage.fault.comes_to if watched else None
        self._inner: CoroutineType[Any, Any, Any] = task.coro
        self._send = self._inner.send
        task.coro = self  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]

    @property
    def coroutine(self) -> CoroutineType[Any, Any, Any]:
        """The task's own coroutine."""
        return self._inner

    def watched_by(self, step: Callable[[Player, Callable[[Any], Any], list[Any]], Any]) -> None:
        """Let `step` resume the coroutine. It gets a function to call, and in a list the value that Trio has sent."""
        brought = self._brought = list[Any]()
        send = self._send

        def watched(value: Any) -> Any:
            if not brought:
                brought.append(value)
            return step(self, send, brought)

        self._send = watched

    @property
    def label(self) -> str:
        """The name of the task, with a number if its parent has several of that name."""
        base = short_name(self.task.name)
        return base if self._number == 1 or base != self._base else f"{base}#{self._number}"

    @property
    def place(self) -> Place | None:
        """The line at which it waits; None if it has not started."""
        return place_of(self.task) if self.traps else None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)  # cr_frame and the like: Trio and others look at them

    def open(self) -> None:
        """Let the coroutine continue with what Trio has sent."""
        _reschedule(self.task)

    def kill(self) -> None:
        """End the task, whatever it waits for. Nothing can be concluded from the run after this."""
        self.parked = True
        self._send = self._die
        _reschedule(self.task)

    def send(self, value: Any) -> Any:
        """Called by Trio to resume the task: it goes to its gate, or continues if the gate is open."""
        __tracebackhide__ = True
        if not self.parked:
            return self._park(value)
        self.parked = False
        if self._held is not _NOTHING:
            value, self._held = self._held, _NOTHING
        try:
            trap = self._send(value)
        except BaseException:
            self.ended = True
            raise
        self.traps += 1
        if self._meets_trap is not None:
            self._meets_trap()
        elif trap is _LETS_RUN:  # Trio opens the gate with the same value that it would send here
            self.parked = True
            self._queue.append(self)
            return self._gate
        return trap

    def _park(self, value: Any) -> Any:
        error = value.error if type(value) is outcome.Error else None
        if self._is_given_fault is not None and self._is_given_fault(self.task, error):
            value = outcome.Error(self._stage.fault_fired(self))
        elif isinstance(error, trio.Cancelled):
            self._stage.delivered(self, error)
        if self._brought is None:
            self._held = value
        else:
            self._brought.append(value)
        self.parked = True
        self._queue.append(self)
        return self._gate

    def throw(self, *error: Any) -> Any:
        """Called by Trio when the coroutine has yielded something that is not a trap."""
        try:
            return self._inner.throw(*error)
        except BaseException:
            self.ended = True
            raise

    def _die(self, _value: Any) -> Any:
        self._close()
        raise Abandoned

    def _close(self) -> None:
        """End the coroutine, whatever it raises."""
        self.ended = True
        for _ in range(_TRIES):
            try:
                self._inner.close()
            except BaseException:  # noqa: BLE001, S112
                continue
            return
        # It continues whatever is raised in it. It is released here, where its calls still yield. Later, outside of
        # Trio, each call would fail at once, and it would spin forever.
        self._inner = _no_coroutine()
        self._send = self._inner.send


def _no_coroutine() -> Any:
    async def ended() -> None: ...

    coroutine = ended()
    coroutine.close()
    return coroutine
