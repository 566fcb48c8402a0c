"""`observing`: observers for every run that begins inside a block, whoever begins it.

Problem: observe a whole program with one line in ``main``, in a fixture or in a middleware, where no run can be given
``observers=``: they begin elsewhere, in functions and tasks further inside.

Naive answer: a context variable with the observers, which every run adds to its own. A run inside a run would then tell
them twice; and one inside a step with ``log=False`` would tell them what that step is to keep quiet.

What is done instead. The variable holds the scope that the block was opened in as well. A run that begins in this very
scope takes the observers. All that runs inside such a run has them from it, as it has those of ``observers=``.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final, final

import attrs

from trio_steps._core.errors import ConfigError
from trio_steps._core.public import public
from trio_steps._core.scope import current

from .records import observers_of

if TYPE_CHECKING:
    from collections.abc import Generator

    from trio_steps._core.scope import Scope

    from .records import Observer


@final
@attrs.frozen(eq=False)
class Ambient:
    """The observers of a block, and of the blocks around it in the same scope."""

    observers: tuple[Observer, ...]
    scope: Scope | None


ambient_observers: Final[ContextVar[Ambient | None]] = ContextVar("trio_steps.observing", default=None)


@public
@contextmanager
def observing(*observers: Observer) -> Generator[None]:
    """Give observers to every run that begins inside the block, in this task and in the tasks that it starts.

    One line observes a whole program::

        with observing(recorder, Tracing()):
            await main()

    They are told after those that a run is given itself. One that is given twice is told once. A run that has begun
    before the block is not observed, nor is one in a task that somebody outside of the block starts.

    Args:
      observers: called with every event.

    Raises:
      ConfigError: there are none, or one is no function.
    """
    if not observers:
        raise ConfigError("observing(): give it the observers, observing(recorder)")
    scope = current.get()
    around = ambient_observers.get()
    outer = around.observers if around is not None and around.scope is scope else ()
    token = ambient_observers.set(Ambient((*observers_of(observers), *outer), scope))
    try:
        yield
    finally:
        ambient_observers.reset(token)
