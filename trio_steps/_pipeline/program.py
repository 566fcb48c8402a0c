"""What a pipeline is: the builder adds to it, the loop runs it. The `Pipeline` of the user is a handle on one."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, final

import attrs

from trio_steps._values.copying import copy_value

from .contract.annotations import fields_of, is_typed_dict
from .definition import names_of
from .run.checkpoint import ANY
from .run.hooks import Hooks

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from trio_steps._core.events import Observer

    from .contract.flow import Flow
    from .definition import Nodes
    from .run.checkpoint import Codec


@final
@attrs.frozen(kw_only=True, eq=False, slots=False)
class Program:
    """A pipeline.

    Attributes:
      name: what it is called.
      name_given: whether that was given by hand.
      flow: what is known after its last node.
      nodes: its steps.
      share: the keys that are not copied.
      observers: those of every run.
      hooks: those of every run.
      codec: how the values in its checkpoints are written.
      done: what ``outputs`` was told; None if it was not.
      prefix: what its nodes' full names begin with, as far as that is known: it is built as a case of a branch.
    """

    name: str
    name_given: bool
    flow: Flow
    nodes: Nodes = ()
    share: AbstractSet[str] = frozenset()
    observers: tuple[Observer, ...] = ()
    hooks: Hooks = attrs.field(factory=Hooks)
    codec: Codec | None = None
    done: type[Any] | None = None
    prefix: str = ""

    @functools.cached_property
    def steps(self) -> tuple[str, ...]:
        """The full names of all steps, each before those inside it."""
        return tuple(names_of(self.nodes))

    @functools.cached_property
    def has_aliases(self) -> bool:
        """Values of its context may be in other values too: the results of pipelines that are run for each element."""
        return any(f"/{ANY}/" in name for name in self.steps)

    def result(self, values: dict[str, object]) -> Any:
        """Return what a run returns that ends with the context `values`."""
        done = self.done
        if done is None or is_typed_dict(done):
            return values
        if attrs.has(done):
            names = {field.name: field.alias for field in attrs.fields(done) if field.init}
        else:
            names = {name: name for name in fields_of(done) or ()}
        return done(**{alias: values[name] for name, alias in names.items() if name in values})

    def result_inside(self, values: dict[str, object]) -> Any:
        """Return the result of a run inside another one; what makes an object of it does not get the other's values."""
        if self.done is None or is_typed_dict(self.done):
            return values
        fields = fields_of(self.done) or ()
        return self.result({name: copy_value(values[name]) for name in fields if name in values})
