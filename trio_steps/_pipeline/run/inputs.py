"""The input of a durable run is checked before the run is created: a run that can only fail would use up its id."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_steps._core.errors import StepInputError
from trio_steps._pipeline.call import Function
from trio_steps._pipeline.definition import Group

from .journal import Entry
from .loop import as_input

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trio_steps._pipeline.definition import Node, Program


def inputs_entry(program: Program, input: object) -> Entry:
    """Return the first entry of the journal of a run with `input`.

    Raises:
      TypeError: it is neither a mapping nor an object with fields.
      StepInputError: it lacks a key that the pipeline declares, or that a step needs and nothing can provide.
    """
    changes = as_input(input, program)
    for node in program.nodes:
        if node.before.open or node.on_error == "skip-remaining":
            break  # from here on, a key may be provided, or never needed
        if node.condition is None and node.on_error == "raise":
            for name, function in _functions(node):
                for key in function.signature.required:
                    if not (key in changes or key in node.before.keys or key in function.signature.wrapped):
                        raise StepInputError(name, key, changes)
    return Entry(kind="inputs", changes=changes)


def _functions(node: Node) -> Iterator[tuple[str, Function]]:
    """Yield the functions that are called at `node`, with their full names."""
    body = node.body
    if isinstance(body, Function):
        yield node.id, body
    elif isinstance(body, Group) and body.mode == "all":
        for id, member in zip(body.ids, body.members):  # noqa: B905 - as long as each other
            if isinstance(member, Function):
                yield f"{node.id}/{id}", member
