"""What each step of a run has touched, so that it is known which steps could change places.

Two steps of two tasks are *independent* if it makes no difference which comes first. To run a program in fewer orders
without losing a bug, that has to be known, not guessed: tasks share plain objects, too, and a lost update on an
attribute is the very thing to be found.

Naive answers: compare the locks and channels that steps use (they share a dictionary, and no lock); trace every
instruction, and what it reads and writes (neither names what a function that is written in C does to the list that it
is given).

What is done instead: a step can touch nothing but what its task can *get at*, which is found by following references
from the frames of its coroutines, from its context, from what it is woken with, and from the names that the functions
have that run in it. All of that counts as read. What of it is different after the step, object by object, counts as
written. A profile function (`sys.setprofile`) says which functions run, in Python and in C. Whatever is not known for
certain makes a step depend on all others: a function of C or an object that is not listed in `kinds`, a call of Trio
that is not listed in `trios`, a weak reference, an import, an error that ends a task, a timeout that fires.

What is deliberately not done: reading is not told apart from being able to read. So two tasks that share a list and
one of which appends to it depend on each other, though the other may never look. That costs runs, and no bugs.
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
    """Return what `sys.getrefcount` says of an object that is held, and that no one else has."""
    held: dict[int, tuple[object, int]] = {0: (object(), 0)}
    return sys.getrefcount(held[0][0])


_OURS: Final = _count_of_ours()


class Actor(Protocol):
    """A task of the program: a player."""

    path: tuple[int, ...]
    task: trio.lowlevel.Task

    @property
    def coroutine(self) -> Any:
        """The coroutine of its own, without what stands between it and Trio."""
        ...


@final
@attrs.frozen(kw_only=True, eq=False)
class Footprint:
    """One step, and what it touched.

    Attributes:
      path: of the task.
      enabled: the tasks that could have gone on instead, this one included.
      woken: after how many steps of the run this one could have come.
      epoch: steps of different epochs can't change places: time has passed, or a batch has ended.
      touched: what it can have read.
      written: what it has changed, or may have.
      ended: the nursery that its task was in, if that has ended.
      reason: why more may have been touched; None if that is known.
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
        """Tell whether the two can't be known to be independent."""
        if self.reason is not None or other.reason is not None:
            return True
        if self.ended in other.touched or other.ended in self.touched:
            return True  # two ends of tasks are independent: the last one wakes who waits for all
        return not (self.written.isdisjoint(other.touched) and other.written.isdisjoint(self.touched))


@final
class Footprints:
    """Watches the steps of one run.

    Attributes:
      steps: what each step touched.
      touched: what the step that is running has touched, as far as it is known before it is over.
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
        # of the step that is running
        self._reach = Reach(self._kinds)
        self._codes: set[CodeType] = set()
        self.touched: set[object] = set()
        self._written: set[object] = set()
        self._closes = False

    @property
    def reason(self) -> str | None:
        """Why the step that is running may touch more than can be seen."""
        return self._reach.reason

    def stop(self) -> None:
        """Look no more: what comes now is not the program's doing."""
        self._stopped = True

    def doubt(self, reason: str) -> None:
        """Take note that more has happened in the last step than could be seen."""
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
        """Resume the coroutine of `actor`, and write down what that touches.

        Args:
          actor: whose turn it is.
          send: resumes it.
          brought: what it is woken with; taken out of here, so that no one else has it any more.
          others: those who wait at their gates, too.
          enabled: how many of them could have gone on instead, the first ones.
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
        """Return after how many steps `actor` was woken; take note of who else has been since the last step."""
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
        # to get at a decimal context takes what is not known: decimals, or functions of C
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
        """Return what the step has changed."""
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

    # Who an object is: its address, until it is gone and another one has that

    def _number(self, item: object) -> int:
        held = self._held.get(id(item))
        if held is None:
            self._count += 1
            held = self._held[id(item)] = (item, self._count)
        return held[1]

    def _let_go(self) -> None:
        """Forget the objects that no one else has any more, so that they go when they would have."""
        gone = True
        while gone:
            gone = False
            for key in list(self._held):
                if sys.getrefcount(self._held[key][0]) <= _OURS:
                    del self._held[key]
                    gone = True

    # What runs

    def sees(self, frame: FrameType, event: str, arg: Any) -> None:
        """Called by Python when a function is called, or goes on; and when one is that is written in C."""
        if event == "call":
            above = frame.f_back
            while above is not None and above.f_code.co_filename == _CONTEXTLIB:
                above = above.f_back  # it calls for others
            self.resumes(frame, None if above is None else above.f_code)
        elif event == "c_call" and not is_quiet(arg) and not _is_trusted(frame):
            self._reach.doubt(name_of(arg))

    def resumes(self, frame: FrameType, above: CodeType | None) -> None:
        """Take note that a function starts or goes on, called from code `above`."""
        code = frame.f_code
        if above is None or not (_answers_for(above) and (is_of_trio(code) or _is_standard(code))):
            self.runs(code, frame.f_globals)
        if code is STARTS:  # or tries to: a nursery that has closed refuses
            nursery = frame.f_locals["self"]
            self._touch_and_write([self._number(nursery), ("starts", self._number(nursery.parent_task))])

    def runs(self, code: CodeType, module: dict[str, Any]) -> None:
        """Take note that a function runs: all that it has names for can be got at."""
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
    """Tell whether a function knows what it does when it calls one of Trio's; of `step`, the program calls it."""
    return is_of_trio(code) or (code.co_filename.startswith(_TESTING) and code.co_filename != __file__)


def _is_standard(code: CodeType) -> bool:
    return code.co_filename.startswith(_STANDARD) and "site-packages" not in code.co_filename


def _is_trusted(frame: FrameType) -> bool:
    """Tell whether a function may call what it likes: it is Trio's or ours, or of the library and called by one."""
    code, above = frame.f_code, frame.f_back
    if _is_standard(code) and above is not None:
        code = above.f_code
    return is_of_trio(code) or code.co_filename.startswith(_TESTING)
