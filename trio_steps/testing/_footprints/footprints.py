"""What each step of a run has touched, so that it is known which steps could be swapped.

Two steps of two tasks are *independent* if it makes no difference which comes first. To run a program in fewer orders
without missing a bug, that has to be known, not guessed: tasks also share plain objects, and a lost update of an
attribute is just the kind of bug to be found.

Naive answers: compare the locks and channels that steps use (but they may share a dictionary, and no lock); trace every
instruction, and what it reads and writes (but no trace shows what a C function does to the list that it is given).

What is done instead: a step can touch only what its task can *reach*. That is found by following references from the
frames of its coroutines, from its context, from the value it is woken with, and from the names in the functions that
run in it. All of that counts as read. Every object in it that is different after the step counts as written. A profile
function (`sys.setprofile`) tells which functions run, in Python and in C. Whatever is not known for certain makes a
step depend on all others: a C function or an object that is not listed in `kinds`, a call of Trio that is not listed in
`trios`, a weak reference, an import, an error that ends a task, a timeout that fires.

What is deliberately not done: reading is not distinguished from being able to read. So if two tasks share a list and
one of them appends to it, they depend on each other, even if the other never reads it. That costs runs, but hides no
bugs.
"""

from __future__ import annotations

import contextlib
import decimal
import inspect
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, final

import attrs

from .kinds import Kind, is_quiet
from .names import Names
from .reach import Reach, name_of
from .trios import CLOSES, HARMLESS, STARTS, holds, is_of_trio

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import CodeType, FrameType

    import trio

_TESTING: Final = str(Path(__file__).parents[1]) + os.sep
_CONTEXTLIB: Final = inspect.getfile(contextlib)
_STANDARD: Final = ("<frozen ", os.path.dirname(os.__file__) + os.sep)  # noqa: PTH120 - as it is in code objects
_TELLS_TIME: Final = "fake_time.py"
_MOST: Final = 1_000  # steps


def _count_of_ours() -> int:
    """Return `sys.getrefcount` of an object with no references but our own."""
    held: dict[int, tuple[object, int]] = {0: (object(), 0)}
    return sys.getrefcount(held[0][0])


_OURS: Final = _count_of_ours()


class Actor(Protocol):
    """A task of the program: a player."""

    path: tuple[int, ...]
    task: trio.lowlevel.Task

    @property
    def coroutine(self) -> Any:
        """Its own coroutine, not the player that stands between it and Trio."""
        ...


@final
@attrs.frozen(kw_only=True, eq=False)
class Footprint:
    """One step, and what it touched.

    Attributes:
      path: the path of the task.
      enabled: the tasks that could have run instead, including this one.
      woken: after how many steps of the run this one could have come.
      epoch: steps of different epochs can't be swapped, because time has passed or a batch has ended in between.
      touched: everything that it can have read.
      written: everything that it changed, or may have changed.
      ended: the nursery of its task, if the task has ended.
      reason: why it may have touched more; None if it did not.
    """

    path: tuple[int, ...]
    enabled: tuple[tuple[int, ...], ...]
    woken: int
    epoch: int
    touched: frozenset[object]
    written: frozenset[object]
    ended: object
    reason: str | None

    def depends_on(self, other: Footprint) -> bool:
        """Tell whether the two are not known to be independent."""
        if self.reason is not None or other.reason is not None:
            return True
        if self.ended in other.touched or other.ended in self.touched:
            return True  # two ends of tasks are independent: the last one wakes the parent
        return not (self.written.isdisjoint(other.touched) and other.written.isdisjoint(self.touched))


@final
class Footprints:
    """Watches the steps of one run.

    Attributes:
      steps: the footprint of each step.
      touched: what the running step has touched, as far as that is known before its end.
      too_long: whether there were more steps than are watched.
    """

    def __init__(self) -> None:
        self.steps: list[Footprint] = []
        self.too_long = False
        self._held: dict[int, tuple[object, int]] = {}
        self._count = 0
        self._kinds: dict[type, Kind] = {}
        self._names: dict[CodeType, Names] = {}
        self._woken: dict[tuple[int, ...], int] = {}
        self._stopped = False
        # about the running step
        self._reach = Reach(self._kinds)
        self._codes: set[CodeType] = set()
        self.touched: set[object] = set()
        self._written: set[object] = set()
        self._closes = False

    @property
    def reason(self) -> str | None:
        """Why the running step may touch more than can be seen, or None."""
        return self._reach.reason

    def stop(self) -> None:
        """Stop watching, because what follows is not the program's doing."""
        self._stopped = True

    def doubt(self, reason: str) -> None:
        """Note that more has happened in the last step than could be seen."""
        self.steps[-1] = attrs.evolve(self.steps[-1], reason=reason)

    def step(
        self,
        actor: Actor,
        send: Callable[[Any], Any],
        brought: list[Any],
        *,
        others: Sequence[Actor],
        enabled: int,
        epoch: int,
    ) -> Any:
        """Resume the coroutine of `actor`, and record what that touches.

        Args:
          actor: the task whose turn it is.
          send: resumes it.
          brought: holds the value that it is woken with; emptied, so that nothing else refers to the value.
          others: the other tasks at their gates.
          enabled: how many of the first of these could have run instead.
          epoch: see `Footprint`.
        """
        __tracebackhide__ = True
        if self._stopped or len(self.steps) >= _MOST:
            self.too_long |= not self._stopped
            return send(brought.pop())
        woken = self._wake(actor, others)
        self._begin(actor, brought)
        before = sys.getprofile()
        ended, reason = False, None
        sys.setprofile(self.sees)
        try:
            return send(brought.pop())
        except StopIteration:
            ended = True
            raise
        except BaseException as error:
            reason = f"the end of a task by {type(error).__name__}"
            raise
        finally:
            sys.setprofile(None)
            written = self._end(actor)
            sys.setprofile(self.sees)
            self._let_go()
            sys.setprofile(before)
            if ended and len(actor.path) == 1:
                reason = "the end of the program"
            elif ended and any(holds(actor.task, item) for item, _ in self._held.values()):
                reason = "the end of a task that holds a lock"
            self.steps.append(
                Footprint(
                    path=actor.path,
                    enabled=(actor.path, *(other.path for other in others[:enabled])),
                    woken=woken,
                    epoch=epoch,
                    touched=frozenset(self.touched),
                    written=written,
                    ended=self._number(actor.task.parent_nursery) if ended else None,
                    reason=self.reason or reason,
                )
            )

    def _wake(self, actor: Actor, others: Sequence[Actor]) -> int:
        """Return after how many steps `actor` was woken, and note which others were woken since the last step."""
        now = len(self.steps)
        for other in others:
            self._woken.setdefault(other.path, now)
        return self._woken.pop(actor.path, now)

    def _begin(self, actor: Actor, brought: list[Any]) -> None:
        self._reach = Reach(self._kinds, actor.task)
        self._codes.clear()
        self.touched, self._written = set(), set()
        self._closes = False
        variables = actor.task.context.values()
        # A decimal context is reached only through what is not known: decimals, or C functions.
        self._reach.follow(value for value in variables if type(value) is not decimal.Context)
        self._reach.follow([*brought, actor.coroutine])
        outer: CodeType | None = None
        for frame, _ in actor.task.iter_await_frames():
            self.resumes(frame, outer)
            outer = frame.f_code
        self._note_nurseries(actor)

    def _note_nurseries(self, actor: Actor) -> None:
        if self._closes:
            self._touch_and_write(map(self._number, actor.task.child_nurseries))

    def _end(self, actor: Actor) -> frozenset[object]:
        """Return everything that the step has changed."""
        self._note_nurseries(actor)
        reach = self._reach
        changed = [self._number(item) for item in reach.changed()]
        self.touched.update(map(self._number, reach.touched))
        self.touched.update(changed)
        written = frozenset(self._written.union(changed))
        reach.let_go()
        return written

    def _touch_and_write(self, tokens: Any) -> None:
        tokens = list(tokens)
        self.touched.update(tokens)
        self._written.update(tokens)

    # The identity of an object: its address, until the object is freed and another gets the address

    def _number(self, item: object) -> int:
        held = self._held.get(id(item))
        if held is None:
            self._count += 1
            held = self._held[id(item)] = (item, self._count)
        return held[1]

    def _let_go(self) -> None:
        """Forget the objects that only we refer to, so that they are freed when they would have been."""
        gone = True
        while gone:
            gone = False
            for key in list(self._held):
                if sys.getrefcount(self._held[key][0]) <= _OURS:
                    del self._held[key]
                    gone = True

    # What runs

    def sees(self, frame: FrameType, event: str, arg: Any) -> None:
        """Called by Python when a function is called or resumed, and when a C function is called."""
        if event == "call":
            above = frame.f_back
            while above is not None and above.f_code.co_filename == _CONTEXTLIB:
                above = above.f_back  # a function that calls on behalf of others
            self.resumes(frame, None if above is None else above.f_code)
        elif event == "c_call" and not is_quiet(arg) and not _is_trusted(frame):
            self._reach.doubt(name_of(arg))

    def resumes(self, frame: FrameType, above: CodeType | None) -> None:
        """Note that a function starts or is resumed, called from code `above`."""
        code = frame.f_code
        if above is None or not (_answers_for(above) and (is_of_trio(code) or _is_standard(code))):
            self.runs(code, frame.f_globals)
        if code is STARTS:  # or tries to: a nursery that has closed refuses
            nursery = frame.f_locals["self"]
            self._touch_and_write([self._number(nursery), ("starts", self._number(nursery.parent_task))])

    def runs(self, code: CodeType, module: dict[str, Any]) -> None:
        """Note that a function runs, so that everything it has names for can be reached."""
        if code in self._codes:
            return
        self._codes.add(code)
        if code in HARMLESS:
            self._closes |= code is CLOSES
        elif is_of_trio(code):
            self._reach.doubt(f"{code.co_qualname}() of Trio")
        elif code.co_filename.startswith(_TESTING):
            if code.co_filename.endswith(_TELLS_TIME):
                self._reach.doubt("the time")
        elif code.co_name == "__del__":
            self._reach.doubt(f"{code.co_qualname}()")
        else:
            names = self._names.get(code)
            if names is None:
                names = self._names[code] = Names(code)
            if names.reason is not None:
                self._reach.doubt(names.reason)
            values, read, written = names.look_up(module)
            self._reach.follow(values)
            self.touched.update(read)
            self._touch_and_write(written)


def _answers_for(code: CodeType) -> bool:
    """Tell whether a function is trusted when it calls one of Trio's; `step` itself stands for the program."""
    return is_of_trio(code) or (code.co_filename.startswith(_TESTING) and code.co_filename != __file__)


def _is_standard(code: CodeType) -> bool:
    return code.co_filename.startswith(_STANDARD) and "site-packages" not in code.co_filename


def _is_trusted(frame: FrameType) -> bool:
    """Tell whether a function may make any call: it is Trio's or ours, or the standard library's and called by one."""
    code, above = frame.f_code, frame.f_back
    if _is_standard(code) and above is not None:
        code = above.f_code
    return is_of_trio(code) or code.co_filename.startswith(_TESTING)
