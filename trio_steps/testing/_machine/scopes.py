"""The cancel scopes that the program is inside, and how one of them expires.

To make one timeout fire at one moment, we have to know the scopes that are entered at that moment. Trio does not list
them.

Naive answers: look for scopes in the variables of all frames (``with move_on_after(1):`` has no variable), or among
all objects of the collector (which does not know which task is inside, nor at which line it entered).

What is done instead: while a run is watched, entering and leaving a `trio.CancelScope` is recorded, and the original
does the rest. A nursery enters its scope like any other code, but leaves it by another function. Its scope counts as
left once its task no longer lists the nursery.

What is deliberately not done: a call of ``cancel()``. The deadline of the scope becomes *now*, and Trio does what it
does when a deadline has come. Only then does the `Cancelled` have the right source, and only then does code that reads
the scope see what it would see in production.

A `Cancelled` need not end in the scope that it came from. If a scope around that one has been cancelled in the
meantime, it propagates to the outer one. If a scope inside has been shielded in the meantime, it ends there. Both
happen in correct programs, so both are recorded: only a `Cancelled` that no scope caught may have been swallowed.
"""

from __future__ import annotations

import gc
import inspect
import math
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, cast, final

import trio

from trio_steps._core.errors import leaves
from trio_steps._core.scope import current
from trio_steps.testing._patches import patched
from trio_steps.testing._places import Place, place_of_entering

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from trio_steps._core.scope import Scope

    from .player import Player

_MANAGER: Final[Any] = type(trio.open_nursery(strict_exception_groups=True))
_OPENS_NURSERY: Final = _MANAGER.__aenter__.__code__
_SLEEPS: Final[Any] = trio.sleep_until.__code__  # it uses a scope with a deadline, which is not a timeout


@final
class Entered:
    """A scope that was entered.

    Attributes:
      number: its place in the order in which scopes were entered, from 0.
      player: the task that is inside.
      place: the line at which it was entered, if that was asked for.
      within: the step that is running there, if there is one.
      step: the full name of the step or fork that it belongs to, if this library made it.
      first: the first point at which it could have expired, or -1.
      last: the last such point.
      expired: whether it was made to expire.
      caught: whether it has caught the resulting `Cancelled`.
      passed_on: whether that has propagated to a scope around it that has been cancelled too.
      open: whether the task that first got a `Cancelled` was inside, and this scope's shield did not keep it out.
      left: whether the program has left it.
    """

    __slots__ = (
        "_scope", "caught", "expired", "first", "last", "left", "number", "open", "passed_on", "place", "player",
        "scope_id", "step", "within",
    )  # fmt: skip

    def __init__(self, number: int, scope: trio.CancelScope, player: Player) -> None:
        self.number: int = number
        self.player: Player = player
        self.place: Place | None = None
        self.step: str | None = None
        self.within: Scope | None = current.get()
        self.first: int = -1
        self.last: int = -1
        self.expired: bool = False
        self.caught: bool = False
        self.passed_on: bool = False
        self.open: bool = False
        self.left: bool = False
        self.scope_id: int = id(scope)
        self._scope: trio.CancelScope | None = scope

    @property
    def deadline(self) -> float:
        """The time at which it expires; infinite if it does not, or already has."""
        scope = self._scope
        return math.inf if scope is None or scope.cancel_called else scope.deadline

    def is_due(self, now: float) -> bool:
        """Tell whether its deadline has come. Unlike `trio.CancelScope.cancel_called`, this changes nothing."""
        return self._scope is not None and self._scope.deadline <= now

    @property
    def is_shielded(self) -> bool:
        """Whether it keeps out cancellations of the scopes around it."""
        return self._scope is not None and self._scope.shield

    def is_cancelled(self, now: float) -> bool:
        """Tell whether it has been cancelled, or its deadline has come. This changes nothing."""
        return self.is_due(now) or (self._scope is not None and self._scope.cancel_called)

    def is_around(self, player: Player) -> bool:
        """Tell whether the task of `player`, or one of its ancestors, has entered it."""
        return player.path[: len(self.player.path)] == self.player.path

    def expire(self, now: float) -> None:
        """Set its deadline to `now`."""
        assert self._scope is not None
        self.expired = True
        self._scope.deadline = now

    def leave(self) -> None:
        """Note that the program has left it, and release it."""
        assert self._scope is not None
        self.caught = self._scope.cancelled_caught
        if not self.expired:
            self._scope = None
        self.left = True

    @property
    def has_caught(self) -> bool:
        """Whether it has caught its `Cancelled`, now or when it was left."""
        return self.caught if self._scope is None else self._scope.cancelled_caught

    def raised(self, error: BaseException) -> bool:
        """Tell whether `error` is shown to come from this scope: a frame that raised it knew the scope."""
        if self.within is not None and getattr(error, "step", None) == self.within.name:
            return True
        traceback = error.__traceback__
        while traceback is not None:
            if any(map(self._is_known_to, traceback.tb_frame.f_locals.values())):
                return True
            traceback = traceback.tb_next
        return False

    def _is_known_to(self, value: object) -> bool:
        if value is self._scope:
            return True
        held = gc.get_referents(value)
        named = [inner for one in held if type(one) is dict for inner in cast("dict[str, object]", one).values()]
        return any(one is self._scope for one in (*held, *named))

    def __str__(self) -> str:
        what = "a timeout" if self.step is None else f"the timeout of step {self.step!r}"
        return f"{what} in task {self.player.label}" + ("" if self.place is None else f", set at {self.place.story},")


@final
class Scopes:
    """All scopes of one run.

    Attributes:
      entered: the scopes that could have expired at some point, by number; empty unless listed.
      others: whether another scope has run out of time by itself, and caught the resulting `Cancelled`.
      shielded: whether a scope has caught a `Cancelled` from outside, because it was shielded after that came.
      between: for each point, whether it was between two batches of Trio; empty unless listed.
    """

    def __init__(self, *, places: bool, lists: bool) -> None:
        self.entered: list[Entered] = []
        self.others: bool = False
        self.shielded: bool = False
        self.between: bytearray = bytearray()
        self._count = 0
        self._places = places
        self._lists = lists
        self._live: dict[int, Entered] = {}
        self._nurseries: dict[Player, list[Entered]] = {}

    @contextmanager
    def watching(self, tasks: dict[trio.lowlevel.Task, Player]) -> Generator[None]:
        """Record what happens to the scopes of `tasks`."""
        enter: Any = trio.CancelScope.__enter__
        leave: Any = trio.CancelScope.__exit__

        @trio.lowlevel.enable_ki_protection
        def entering(scope: trio.CancelScope) -> Any:
            entered = enter(scope)
            frame = inspect.currentframe()
            caller = frame.f_back.f_code if frame is not None and frame.f_back is not None else None
            if caller is not _SLEEPS and trio.lowlevel.in_trio_task():
                player = tasks.get(trio.lowlevel.current_task())
                if player is not None:
                    self._enter(scope, player, caller is _OPENS_NURSERY)
            return entered

        @trio.lowlevel.enable_ki_protection
        def leaving(scope: trio.CancelScope, *error: Any) -> Any:
            known = self._live.get(id(scope))
            if known is None:
                return leave(scope, *error)
            now = trio.current_time()
            self.moved(known.player, now)
            try:
                return leave(scope, *error)
            finally:
                del self._live[id(scope)]
                self._leave(known, now, unwinds=_has_cancelled(error[1]))

        with patched([(trio.CancelScope, "__enter__", entering), (trio.CancelScope, "__exit__", leaving)]):
            yield

    def _enter(self, scope: trio.CancelScope, player: Player, of_nursery: bool) -> None:
        entered = Entered(self._count, scope, player)
        self._count += 1
        self._live[id(scope)] = entered
        if of_nursery:
            self._nurseries.setdefault(player, []).append(entered)
        if self._places:
            entered.place, ours = place_of_entering()
            if ours and entered.within is not None:
                entered.step = entered.within.name

    def _leave(self, entered: Entered, now: float, *, unwinds: bool) -> None:
        due = entered.is_due(now) and not entered.expired
        shielded = entered.open and entered.is_shielded
        entered.leave()
        self.others |= due and entered.caught
        self.shielded |= shielded and entered.caught
        if entered.expired and unwinds and not entered.caught:
            around = self._around(entered.player, entered.number)
            entered.passed_on = any(other.is_cancelled(now) for other in around)

    def _around(self, player: Player, before: float = math.inf) -> Iterator[Entered]:
        """Yield the scopes that may cancel `player`, entered before number `before`, the innermost first.

        A shield ends the search only if the same task set it. A parent may have set it later, for itself alone.
        """
        for entered in reversed(self._live.values()):
            if entered.number < before and entered.is_around(player):
                yield entered
                if entered.player is player and entered.is_shielded:
                    return

    def moved(self, player: Player, now: float) -> None:
        """Find the nurseries that `player` has left, after it has taken a step."""
        nurseries = self._nurseries.get(player)
        if not nurseries:
            return
        open_ = () if player.ended else {id(nursery.cancel_scope) for nursery in player.task.child_nurseries}
        for entered in nurseries:
            if entered.scope_id not in open_:
                self._live.pop(entered.scope_id, None)
                self._leave(entered, now, unwinds=True)  # nothing tells whether it unwinds
        self._nurseries[player] = [entered for entered in nurseries if not entered.left]

    def reach(self, point: int, *, between_batches: bool) -> None:
        """Record which scopes could expire at `point`, when the program reaches it."""
        if not self._lists or point < len(self.between):
            return
        self.between.append(between_batches)
        for entered in self._live.values():
            if entered.deadline < math.inf:
                if entered.first < 0:
                    entered.first = point
                    self.entered.append(entered)
                entered.last = point

    def at(self, number: int) -> Entered | None:
        """Return the scope with that number, if it can expire now."""
        able = (entered for entered in self._live.values() if entered.deadline < math.inf)
        return next((entered for entered in able if entered.number == number), None)

    def any(self, chance: float) -> Entered | None:
        """Return a scope that can expire now: the first for 0, the last for almost 1."""
        able: Sequence[Entered] = [entered for entered in self._live.values() if entered.deadline < math.inf]
        return able[int(chance * len(able))] if able else None

    def reached(self, player: Player) -> None:
        """Record which scopes a `Cancelled` that `player` gets has come through, or into."""
        for entered in self._live.values():
            entered.open = entered.is_around(player) and not entered.is_shielded

    def is_alone(self, expired: Entered, player: Player, now: float) -> bool:
        """Tell whether a `Cancelled` that `player` gets now can come from no other scope around it."""
        return not any(entered is not expired and entered.is_cancelled(now) for entered in self._around(player))


def sleeps_until(task: trio.lowlevel.Task, now: float) -> bool:
    """Tell whether `task` sleeps until `now` or an earlier time."""
    return any(frame.f_code is _SLEEPS and frame.f_locals["deadline"] <= now for frame, _ in task.iter_await_frames())


def _has_cancelled(error: BaseException | None) -> bool:
    return error is not None and any(isinstance(leaf, trio.Cancelled) for leaf in leaves(error))
