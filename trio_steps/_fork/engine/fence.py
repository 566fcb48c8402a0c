"""Cancel scopes that a path leaves open: they are reported, and no other path runs inside them.

Problem: a path enters a cancel scope and ends without leaving it. Trio lets that pass if the task ends too. But a
worker takes the next path, which then runs inside a scope of another path. It is cancelled by a deadline that is not
its own, or shielded from a cancellation that it should see.

Naive answer: a scope of our own around every path, a *fence*, which can't be closed while a scope inside it is open. It
costs more than everything else about a path. Trio's public API has no other way to see an open scope.

What is done instead. A function is fenced until it has once ended by itself and left nothing open. From then on, it is
trusted in every fork of the program, because a function that forgets to close a scope mostly does so each time. A fork
has 16 such fences at most at a time. Other paths that are not trusted run without one, and their worker takes no path
after them: a thousand losers of a race never end by themselves, and a fence for each would double what they cost.

A worker also has a fence around the paths that it runs. It closes that fence after each path that failed, because that
is where clean-up is missed. Otherwise it does so after 1, 16 and 128 paths, or, if every path is trusted, after 128. A
worker that finds a scope open is replaced. Where each path has its own task, an open scope can't affect other paths.

What is deliberately not done: checking after each path of a trusted function. A function that leaves a scope open only
now and then, and returns a value, can affect the paths that its worker runs after it, 127 at most. Where each path has
its own task, such a scope is not reported: Trio forgets it with the task.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

import trio

from .trust import trust

if TYPE_CHECKING:
    from .verdict import ForkRun


MOST_FENCES: Final = 16
"""How many paths of a fork run in a fence at the same time."""


@final
class Fence:
    """A cancel scope around the paths in `ran`, to see whether they leave a scope open inside. It is entered once.

    A nursery that is left open is not its concern: the worker sees that, and the fence stays open around it.

    Attributes:
      clean: False if a scope was left open.
    """

    __slots__ = ("_fork", "_ran", "_scope", "clean")

    def __init__(self, fork: ForkRun, ran: list[str]) -> None:
        self._fork = fork
        self._ran = ran
        self._scope = trio.CancelScope()
        self.clean = True

    def __enter__(self) -> None:
        self._scope.__enter__()

    def __exit__(self, *_: object) -> None:
        if trio.lowlevel.current_task().child_nurseries:
            return
        try:
            self._scope.__exit__(None, None, None)  # never cancelled, so it need not see what is raised
        except RuntimeError as error:
            self.clean = False
            self._report(error)

    def _report(self, error: RuntimeError) -> None:
        fork, ran = self._fork, self._ran
        suspects = (
            " or ".join(map(repr, ran)) if len(ran) <= 16 else f"{ran[0]!r} or … or {ran[-1]!r} ({len(ran)} paths)"
        )
        bug = RuntimeError(f"path {suspects} of fork {fork.name!r} ended with its own cancel scope still open")
        bug.__cause__ = error
        fork.discarded.report(fork.name, bug)


@final
class Trial:
    """The first run of a path, in a fence. If it ends by itself and leaves no scope open, its `code` is trusted.

    It is no coroutine: a coroutine would turn the StopIteration of a sync path into another error.
    """

    __slots__ = ("_code", "_fork", "fence")

    def __init__(self, fork: ForkRun, id: str, code: object) -> None:
        self._fork = fork
        self._code = code
        self.fence = Fence(fork, [id])

    def __enter__(self) -> None:
        self._fork.fences += 1
        self.fence.__enter__()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._fork.fences -= 1
        self.fence.__exit__()
        if self._code is not None and self.fence.clean and (kind is None or issubclass(kind, Exception)):
            trust(self._code)
