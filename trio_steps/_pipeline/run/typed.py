"""Codecs that are told the declared type of what they write and read.

Problem: libraries such as msgspec and pydantic write a value without its type, and need the type to read it. The type
is declared by the step that provides the value, and a codec knows neither steps nor keys.

What is done instead. A codec with `dumps_as` and `loads_as` is bound to its pipeline, which looks up what is declared
for a key where it was provided. Without an annotation, or without the pipeline, that is `Any`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias, cast, final
from weakref import WeakKeyDictionary

import attrs

from trio_steps._pipeline.contract.annotations import UNKNOWN
from trio_steps._pipeline.contract.storable import given_by_node
from trio_steps._pipeline.definition import Each, Repeat, find

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from trio_steps._pipeline.contract.shape import Key
    from trio_steps._pipeline.definition import Program
    from trio_steps._values.codec import Codec, TypedCodec

    from .journal import Entry

AnyCodec: TypeAlias = "Codec | TypedCodec"

_bound: WeakKeyDictionary[Program, Bound] = WeakKeyDictionary()


@final
@attrs.frozen(eq=False)
class Places:
    """Where the values of an entry of the journal were provided.

    Attributes:
      step: the full name of the step; empty for the input.
      case: the id of the element or the number of the round, if it is of one.
      sources: the steps that provided the keys that `step` did not provide itself.
    """

    step: str
    case: str | None
    sources: Mapping[str, str]


@final
class Bound:
    """A `TypedCodec` that knows its pipeline."""

    def __init__(self, codec: TypedCodec, program: Program) -> None:
        self._codec = codec
        self._program = program
        self._known: dict[tuple[str, bool], Mapping[str, Key]] = {}

    def dumps_as(self, value: Any, declared: Any, /) -> str:
        return self._codec.dumps_as(value, declared)

    def loads_as(self, text: str, declared: Any, /) -> Any:
        return self._codec.loads_as(text, declared)

    def declared(self, places: Places, key: str) -> object:
        """Return the declared type of a key; `Any` if there is none."""
        step = places.sources.get(key, places.step)
        case = places.case if step == places.step else None
        known = (step, case is None)
        keys = self._known.get(known)
        if keys is None:
            keys = self._known[known] = _keys(self._program, step, case)
        return keys[key].type if key in keys else UNKNOWN


def codec_of(program: Program) -> AnyCodec | None:
    """Return the codec of a pipeline, bound to it if it wants to know declared types."""
    typed = _typed(program.codec)
    if typed is None:
        return program.codec
    bound = _bound.get(program)
    if bound is None:
        bound = _bound[program] = Bound(typed, program)
    return bound


def dumps(codec: AnyCodec, value: object, places: Places, key: str | None) -> object:
    """Return what a codec writes `value` as."""
    typed = _typed(codec)
    return cast("Codec", codec).dumps(value) if typed is None else typed.dumps_as(value, _declared(typed, places, key))


def loads(codec: AnyCodec, text: str, places: Places, key: str | None) -> object:
    """Return what a codec reads from `text`."""
    typed = _typed(codec)
    return cast("Codec", codec).loads(text) if typed is None else typed.loads_as(text, _declared(typed, places, key))


def _typed(codec: AnyCodec | None) -> TypedCodec | None:
    return cast("TypedCodec", codec) if hasattr(codec, "loads_as") else None


def _declared(codec: TypedCodec, places: Places, key: str | None) -> object:
    return codec.declared(places, key) if isinstance(codec, Bound) and key is not None else UNKNOWN


def sources_of(entries: Iterable[Entry]) -> dict[str, str]:
    """Return which steps provided the keys of a context last, except those that came with the input."""
    sources: dict[str, str] = {}
    for entry in entries:
        sources.update({key: entry.sources.get(key, entry.step) for key in entry.changes})
    return {key: source for key, source in sources.items() if source}


def _keys(program: Program, step: str, case: str | None) -> Mapping[str, Key]:
    """Return what is known about the keys that a step provides."""
    nodes = program.nodes
    if not step:  # the input
        return (nodes[0].before if nodes else program.flow.context).keys
    node = find(nodes, step)
    if node is None:  # it is a case of a branch, or not in the pipeline any more
        around = step.rpartition("/")[0]
        return _keys(program, around, None) if around else {}
    body = node.body
    if isinstance(body, (Each, Repeat)):
        if case is None:
            return node.after.keys
        if body.nodes:
            return body.nodes[-1].after.keys
    name = step if step.rpartition("/")[2] == node.id else step.rpartition("/")[0]
    given = dict(given_by_node(node, name))
    return given[step].keys if step in given else node.after.keys
