"""A pipeline inside a step: built beforehand, or by a function that adds the steps here, ``lambda p: p.step(…)``."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, TypeAlias, final

import attrs

from trio_steps._core.describe import close_unawaited
from trio_steps._core.errors import ConfigError, add_note
from trio_steps._pipeline.definition import Program, sharing
from trio_steps._pipeline.entry import program_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_steps._core.step import Step
    from trio_steps._pipeline.contract.flow import Need
    from trio_steps._pipeline.contract.shape import Shape
    from trio_steps._pipeline.definition import Nodes

    from .steps import NewStep

    Start: TypeAlias = Callable[[Program], Step[..., Any]]
    """Makes the empty pipeline that a function of a pipeline receives."""


@final
@attrs.frozen(kw_only=True)
class Inner:
    """The steps of a pipeline inside a step, what they need of the context around them, and what they provide."""

    nodes: Nodes
    needs: tuple[Need, ...]
    provided: Shape


def inner_of(new: NewStep, then: object, inside: str, what: str, start: Start) -> Inner:
    """Return what is known about a pipeline inside the step `new`.

    Args:
      new: the step, as far as it is known.
      then: the pipeline, or a function that receives an empty one and returns it with steps.
      inside: the full name of the part of `new` that it is, such as a case.
      what: the same in words, for messages.
      start: see `Start`.

    Raises:
      ConfigError: it is neither, or can't work.
    """
    program = program_of(then)
    if program is None:
        program = _built(new, then, inside, what, start)
    needs, provided = (*program.flow.needs, *program.flow.taken), program.flow.output
    if program.prefix != f"{inside}/":  # it was built beforehand
        needs, provided = tuple(need.within(inside) for need in needs), provided.within(inside)
    return Inner(nodes=sharing(program.row, new.share), needs=needs, provided=provided)


def _built(new: NewStep, then: Any, inside: str, what: str, start: Start) -> Program:
    if not callable(then):
        raise ConfigError(f"{what} is {then!r}; give a pipeline, or a function of one, lambda p: p.step(…)")
    name = inside.rpartition("/")[2]
    empty = start(
        Program(
            name=name,
            name_given=True,
            flow=new.flow.nested(),
            share=new.share,
            strict=new.program.strict,
            prefix=f"{inside}/",
        )
    )
    try:
        result: object = then(empty)
    except ConfigError as error:
        if not any(f" '{inside}/" in note for note in getattr(error, "__notes__", ())):
            add_note(error, f"in the case '{inside}'")
        raise
    built = program_of(result)
    if inspect.iscoroutine(result):
        name = close_unawaited(result)
        raise ConfigError(f"{what} is an async function; give one that adds it to a pipeline, lambda p: p.step({name})")
    if built is None:
        raise ConfigError(
            f"{what} has a function that returns {result!r}; it has to return the pipeline, p.step(…): "
            "to run it as a step, lambda p: p.step(function)"
        )
    return built
