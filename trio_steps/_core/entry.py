"""The entry of a step does the step's own work. It is called when the step's scope is open.

A plain function can be an entry. Anything more (a function with policies, a fork, a pipeline) is a `StepEntry`, which
can also describe itself.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trio_steps._drawing.graph import Graph, Node, Place


class StepEntry(ABC):
    """An entry that knows how its step is drawn."""

    __slots__ = ()

    @abstractmethod
    def __call__(self, /, *args: Any) -> Any:
        """Do the step's own work, in the scope that is open."""

    def takes_input(self, /, *args: Any, **kwargs: Any) -> bool:
        """Tell whether it takes the input of a fork when `args` and `kwargs` are already bound."""
        return not (args or kwargs)

    @property
    def function(self) -> object:
        """The function that is called with the arguments of the step, if it is one that has nothing else to say."""
        return None

    @property
    def trusted_as(self) -> object:
        """What a fork trusts to close its cancel scopes when this ran well; None: nothing."""
        return type(self)

    @abstractmethod
    def outline(self, place: Place) -> Node:
        """Return the drawing of the step as part of a larger diagram."""

    def graph(self, place: Place) -> Graph:
        """Return the diagram of the step alone."""
        from trio_steps._drawing.graph import Graph  # noqa: PLC0415 - imported only to draw

        return Graph((self.outline(place),))
