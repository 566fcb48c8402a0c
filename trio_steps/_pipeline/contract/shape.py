"""What is known about a context before anything runs: its keys, their types, and which steps provide them when.

These are immutable values and a few pure operators on them. `flow` uses them for the parts of a pipeline.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

import attrs

from .annotations import UNKNOWN, type_name, union
from .layered import Layered

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from trio_steps._pipeline.context import MergePolicy

_SHOWN = 20
"""Messages show this many keys."""


@final
@attrs.frozen
class Source:
    """The provider of a key, if all of `when` hold: a step, or None for the input of the pipeline."""

    step: str | None = None
    when: tuple[str, ...] = ()

    def __str__(self) -> str:
        who = "the input" if self.step is None else f"step {self.step!r}"
        return f"{who} provides it" + (f" only if {' and '.join(self.when)}" if self.when else "")


@final
@attrs.frozen
class Key:
    """What is known about one key.

    Attributes:
      type: the type of its value.
      sources: what may have provided it.
      definite: whether it is certain to be there.
    """

    type: object = UNKNOWN
    sources: tuple[Source, ...] = (Source(),)
    definite: bool = True

    def only_if(self, when: str) -> Key:
        """Return the key for the case that it is provided only if `when` holds too."""
        sources = tuple(
            source if when in source.when else attrs.evolve(source, when=(*source.when, when))
            for source in self.sources
        )
        return Key(self.type, sources, definite=False)

    def or_else(self, other: Key, definite: bool) -> Key:
        """Return the key for the case that it has either this value or the value of `other`."""
        return Key(
            union((self.type, other.type)), tuple(dict.fromkeys(self.sources + other.sources)), definite=definite
        )

    def untyped(self) -> Key:
        """Return the key for the case that any other value may have replaced its value."""
        return attrs.evolve(self, type=UNKNOWN)


def _layered(keys: Mapping[str, Key]) -> Layered[Key]:
    return keys if isinstance(keys, Layered) else Layered(keys)


def _untyped(key: Key) -> Key:
    return key.untyped()


def _untyped_if_maybe(key: Key) -> Key:
    return key if key.definite else key.untyped()


@final
@attrs.frozen
class Shape:
    """What is known about a context, or about what a step adds to it.

    Attributes:
      keys: the known keys, in the order in which they were provided.
      open: whether a step may have provided other keys.
      outside: whether the input may have other keys.
    """

    keys: Layered[Key] = attrs.field(factory=Layered[Key], converter=_layered)
    open: bool = False
    outside: bool = False

    @property
    def anything(self) -> bool:
        """Whether there may be keys other than the known ones."""
        return self.open or self.outside

    @property
    def types(self) -> dict[str, object]:
        """The type of each key."""
        return {name: key.type for name, key in self.keys.items()}

    def __str__(self) -> str:
        shown = [
            f"{name}{'' if key.definite else '?'}: {type_name(key.type)}"
            for name, key in list(self.keys.items())[:_SHOWN]
        ]
        if len(self.keys) > _SHOWN:
            shown.append(f"{len(self.keys) - _SHOWN} more")
        if self.anything:
            shown.append("…")
        return f"{{{', '.join(shown)}}}"

    def only_if(self, when: str) -> Shape:
        """Return what is provided if all this depends on `when`."""
        return attrs.evolve(self, keys={name: key.only_if(when) for name, key in self.keys.items()})

    def within(self, prefix: str) -> Shape:
        """Return the same shape, with the sources as steps of `prefix`."""

        def renamed(source: Source) -> Source:
            return source if source.step is None else attrs.evolve(source, step=f"{prefix}/{source.step}")

        return attrs.evolve(
            self,
            keys={name: attrs.evolve(key, sources=tuple(map(renamed, key.sources))) for name, key in self.keys.items()},
        )


NOTHING: Final = Shape()
ANYTHING: Final = Shape(open=True)


def merge(shapes: Sequence[Shape], policy: MergePolicy = "override", *, at_once: bool = False) -> Shape:
    """Return what is known after `shapes` are merged one after the other; linear in the keys of all but the first.

    The rule is that of the context: the later one wins, or with ``"skip"`` the earlier one. An open shape may have any
    key. So if both may have provided a key, its type is unknown.

    The outputs of a parallel step are merged `at_once`: a nested pipeline that leaves a key as it was before the step
    does not win over a sibling that changes it. So a key that two members provide has either type.
    """
    if not shapes:
        return NOTHING
    first, *others = shapes
    keys, unknown, outside = first.keys, first.open, first.outside
    for shape in others:
        if shape.anything:
            keys = keys.each(_untyped if policy in ("override", "warn") else _untyped_if_maybe)
        changes: dict[str, Key] = {}
        for name, new in shape.keys.items():
            old = keys.get(name)
            if old is None:
                wins = new.definite and policy != "skip"
                changes[name] = new if wins or not (unknown or outside) else new.untyped()
                continue
            winner, loser = (old, new) if policy == "skip" else (new, old)
            if at_once or not winner.definite:
                winner = winner.or_else(loser, winner.definite or loser.definite)
            changes[name] = winner
        keys = keys.plus(changes)
        unknown = unknown or shape.open
        outside = outside or shape.outside
    return Shape(keys, unknown, outside)


def alternatives(shapes: Sequence[tuple[Shape, str]]) -> Shape:
    """Return what is known after one of `shapes` applied, each only if its condition holds."""
    if len(shapes) == 1:
        return shapes[0][0]
    found: dict[str, list[tuple[Key, str]]] = {}
    telling: dict[str, int] = {}  # how many of the open shapes have this key
    anything = 0
    for shape, when in shapes:
        anything += shape.anything
        for name, key in shape.keys.items():
            found.setdefault(name, []).append((key, when))
            telling[name] = telling.get(name, 0) + shape.anything
    keys: dict[str, Key] = {}
    for name, places in found.items():
        everywhere = len(places) == len(shapes) and all(key.definite for key, _ in places)
        either = [key if everywhere else key.only_if(when) for key, when in places]
        sources = dict.fromkeys(source for key in either for source in key.sources)
        key = Key(union([key.type for key in either]), tuple(sources), everywhere)
        # an open shape may have provided the key without declaring it
        keys[name] = key if telling[name] == anything else key.untyped()
    return Shape(keys, any(shape.open for shape, _ in shapes), any(shape.outside for shape, _ in shapes))
