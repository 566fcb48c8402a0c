"""Where we are: the running step, its full name, its state, and what it lends to the steps inside it."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, final

import attrs

if TYPE_CHECKING:
    from ._events import Observers
    from ._lending import Lease


@final
@attrs.define(eq=False)
class Scope:
    """A step that is running, as `current_scope` shows it to the code of that step.

    Attributes:
      id: the step's id, unique among its siblings.
      parent: the scope it runs in, or None at the top.
      state: what ``run(state=…)`` was given: each path has a deep copy of its own. None if nothing was given.
    """

    id: str
    parent: Scope | None
    state: dict[str, object] | None = attrs.field(repr=False)
    observers: Observers | None = attrs.field(repr=False)
    lease: Lease | None = attrs.field(repr=False)
    unnamed_inside: bool = attrs.field(default=False, repr=False)  # what runs in it does not have its id in the name

    @property
    def name(self) -> str:
        """The full name: the ids from the top down to this one, joined by ``/``."""
        ids = [self.id]
        scope = self.parent
        while scope is not None:
            if not scope.unnamed_inside:
                ids.append(scope.id)
            scope = scope.parent
        return "/".join(reversed(ids))


current: ContextVar[Scope | None] = ContextVar("trio_steps.current_scope", default=None)


def current_scope() -> Scope:
    """Return the scope of the step that is running.

    Raises:
      RuntimeError: no step is running here.
    """
    scope = current.get()
    if scope is None:
        raise RuntimeError("current_scope() was called outside of any step; call it in the body of one")
    return scope
