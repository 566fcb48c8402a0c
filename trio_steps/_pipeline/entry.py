"""The entry of a pipeline that is part of something, such as a path of a fork."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

from trio_steps._core.entry import StepEntry
from trio_steps._core.events.observers import Observers
from trio_steps._core.scope import current_scope
from trio_steps._core.step import Step

from .run.loop import execute

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from trio_steps._drawing.graph import Graph, Node, Place

    from .definition import Program


@final
class PipelineEntry(StepEntry):
    """The entry of a pipeline, with or without an input."""

    __slots__ = ("__name__", "program")

    def __init__(self, program: Program) -> None:
        self.program = program
        self.__name__: str = program.name

    def __call__(self, /, *args: Any) -> Coroutine[Any, Any, Any]:
        """Run the pipeline in the scope that is open, with the input in `args`, if there is one."""
        program = self.program
        scope = current_scope()
        if program.observers:
            scope.observers = Observers(program.observers, scope.observers)
        return execute(program, program.hooks, None, *args, prefix=f"{scope.name}/")

    @property
    def trusted_as(self) -> None:
        """Nothing: it runs any number of functions in the task of its caller."""
        return

    def outline(self, place: Place) -> Node:
        """Return what is drawn of the pipeline as a part of something."""
        from .outline import frame_of  # noqa: PLC0415 - imported only to draw

        return frame_of(self.program, place)

    def graph(self, place: Place) -> Graph:
        """Return what is drawn of the pipeline when it stands alone."""
        from .outline import graph_of_pipeline  # noqa: PLC0415 - imported only to draw

        return graph_of_pipeline(self.program, place)


def program_of(step: object) -> Program | None:
    """Return the program of `step` if it is a pipeline, or the entry of one, that still takes its input; else None."""
    entry: object = step.entry if isinstance(step, Step) else step
    return entry.program if isinstance(entry, PipelineEntry) else None
