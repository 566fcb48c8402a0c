"""The head of a stored run: a description of its pipeline, for processes that have not imported it.

It has the name of the pipeline, its steps and their kinds, and which keys of which types they provide. A step that is
marked as done by hand is checked against that.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, Final, get_origin
from weakref import WeakKeyDictionary

from trio_steps._core.errors import CheckpointError, ConfigError, listed
from trio_steps._durable.answers import type_name
from trio_steps._pipeline.contract.annotations import UNKNOWN, members
from trio_steps._pipeline.contract.storable import given_by, named, obstacle
from trio_steps._pipeline.definition import ANY, Branch, Each, Group, Repeat
from trio_steps._values.described import described

from .checkpoint import Checkpoint
from .typed import codec_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from trio_steps._pipeline.definition import Nodes, Program

HEAD: Final = 0
"""The number of the head among the parts."""

INPUTS: Final = 1
"""That of the input of the run."""

BRANCH: Final = "branch"
EACH: Final = "each"
RACE: Final = "race"
REPEAT: Final = "repeat"
TRANSFORM: Final = "transform"
"""The kinds of steps that are not like others for whoever only knows their names."""

_WIDER: Final = {
    "builtins:float": ("builtins:int",),
    "builtins:complex": ("builtins:float", "builtins:int"),
}
"""Types that type checkers accept instead of another."""

_heads: Final[WeakKeyDictionary[Program, str]] = WeakKeyDictionary()


def head_of(program: Program) -> str:
    """Return the head of a run of `program`.

    Raises:
      CheckpointError: a step is declared to return what can't be stored.
    """
    head = _heads.get(program)
    if head is None:
        head = _heads[program] = _written(program)
    return head


def _written(program: Program) -> str:
    kinds = dict(_kinds(program.nodes))
    gives: dict[str, dict[str, list[Any]]] = {}
    for step, shape in given_by(program.nodes):
        for name, key in shape.keys.items():
            problem = None if program.codec is not None else obstacle(key.type)
            if problem is not None:
                raise CheckpointError(f"the step is declared to return what can't be stored: {problem}", step, name)
        keys = {name: [key.definite, _names(key.type)] for name, key in shape.keys.items()}
        if kinds.get(step) == EACH:  # that is what one element provides
            gives[f"{step}/{ANY}"] = keys
            gives[step] = {name: [True, ["builtins:list", "builtins:dict"]] for name in keys}
        elif not shape.open:
            gives[step] = keys
    return Checkpoint(program.name, program.steps, (), 0, codec_of(program), {"gives": gives, "kinds": kinds}).to_json()


def _kinds(nodes: Nodes) -> Iterator[tuple[str, str]]:
    """Yield the full names of steps whose kind matters, and the kind."""
    for name, node in named(nodes):
        body = node.body
        if node.transforms:
            yield name, TRANSFORM
        elif isinstance(body, Branch):
            yield name, BRANCH
        elif isinstance(body, Each):
            yield name, EACH
        elif isinstance(body, Repeat):
            yield name, REPEAT
        elif isinstance(body, Group) and body.mode == "race":
            yield name, RACE


def kinds_of(parts: Mapping[int, str]) -> dict[str, str]:
    """Return the kinds of steps that the head among `parts` tells of, by their full names."""
    kinds: dict[str, str] = json.loads(parts[min(parts)]).get("kinds", {})
    return kinds


def _names(kind: object) -> list[str] | None:
    """Return the names of the classes of which values of `kind` are instances; None if that is not known."""
    names: list[str] = []
    for member in members(kind):
        cls = get_origin(member) or member
        if member is UNKNOWN or not isinstance(cls, type):
            return None
        is_typed_dict = dict in cls.__mro__ and hasattr(cls, "__required_keys__")
        names.append(type_name(dict if is_typed_dict else cls))
    return names


def check_output(parts: Mapping[int, str], step: str, pattern: str, output: Mapping[str, object]) -> None:
    """Refuse an output for `step`, of a run that has `parts`, if the step provides other keys or types.

    In its pipeline, the step is called `pattern`.

    Raises:
      ConfigError: the keys or types differ.
    """
    gives: dict[str, dict[str, list[Any]]] = json.loads(parts[min(parts)]).get("gives", {})
    if pattern not in gives:
        return
    keys = gives[pattern]
    what = f"mark_done(…, {step!r}, {{…}})"
    unknown = [key for key in output if key not in keys]
    missing = [key for key, (definite, _) in keys.items() if definite and key not in output]
    if unknown or missing:
        problem = f"has to have {listed(missing)}" if missing else f"has {listed(unknown)}, which the step doesn't give"
        raise ConfigError(f"{what}: the output {problem}; the step gives {listed(keys) if keys else 'nothing'}")
    for key, value in output.items():
        names = keys[key][1]
        if names is not None and not any(_is(value, name) for name in names):
            raise ConfigError(f"{what}: {key!r} has to be {' or '.join(map(_short, names))}, not {described(value)}")


def _is(value: object, name: str) -> bool:
    """Tell whether `value` is an instance of the class of that name."""
    kinds = [type_name(kind) for kind in type(value).__mro__]
    if name in kinds or any(wider in kinds for wider in _WIDER.get(name, ())):
        return True
    module, _, path = name.partition(":")
    cls: Any = sys.modules.get(module)
    for part in path.split("."):
        cls = getattr(cls, part, None)
    try:
        return isinstance(value, cls)
    except TypeError:  # the class is not imported; or it is a protocol, which has no instances
        return cls is not None


def _short(name: str) -> str:
    return name.removeprefix("builtins:")
