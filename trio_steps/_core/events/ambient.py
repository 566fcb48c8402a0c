"""`observing`: observers for every run that begins inside a block, wherever it begins.

Problem: observe a whole program with one line in ``main``, in a fixture or in middleware. The runs begin elsewhere,
in functions and tasks further inside, so that line can't pass ``observers=`` to them.

Naive answer: a context variable with the observers, which every run adds to its own. A run inside a run would then tell
them twice, and a run inside a step with ``log=False`` would tell them what that step keeps quiet.

What is done instead. The variable also holds the scope in which the block was opened. A run that begins in this very
scope takes the observers. Everything inside such a run inherits them, like those of ``observers=``.
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
@attrs.frozen(eq=False, repr=False)
class Ambient:
    """The observers of a block, and of the blocks around it in the same scope."""

    observers: tuple[Observer, ...]
    scope: Scope | None


ambient_observers: Final[ContextVar[Ambient | None]] = ContextVar("trio_steps.observing", default=None)


@public
@contextmanager
def observing(*observers: Observer) -> Generator[None]:
    """Observe every run that begins inside the block, in this task and in the tasks that it starts.

    One line observes a whole program::

        with observing(recorder, Tracing()):
            await main()

    They are told after the run's own observers. An observer that is given twice is told once. A run that began before
    the block is not observed, and neither is a run in a task that was started outside the block.

    Args:
      observers: called with every event.

    Raises:
      ConfigError: there are no observers, or one is not a sync function.
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
