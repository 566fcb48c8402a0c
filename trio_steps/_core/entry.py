"""The entry of a step: called in a scope that is open, it does the step's own work.

A plain function can be an entry. Anything more (a function with policies, a fork, a pipeline) is a `StepEntry`, which
can also describe itself.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trio_steps._drawing.graph import Graph, Node, Place


class StepEntry(ABC):
    """The entry of a step that knows how the step is drawn."""

    __slots__ = ()

    @abstractmethod
    def __call__(self, /, *args: Any) -> Any:
        """Do the step's own work, in the scope that is open."""

    def takes_input(self, /, *args: Any, **kwargs: Any) -> bool:
        """Tell whether it takes the input of a fork once it has been given `args` and `kwargs`."""
        return not (args or kwargs)

    @abstractmethod
    def outline(self, place: Place) -> Node:
        """Return what is drawn of the step where it is part of something."""

    def graph(self, place: Place) -> Graph:
        """Return what is drawn of the step where it stands alone."""
        from trio_steps._drawing.graph import Graph  # noqa: PLC0415 - what draws nothing need not wait for it

        return Graph((self.outline(place),))
