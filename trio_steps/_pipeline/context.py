"""What flows through a pipeline: the context, and how outputs are merged into it. Pure and synchronous.

- A `Store` is the context of one run, or of one nested pipeline. It is changed in place, by the run loop only.
- A `Snapshot` is what a store held at one moment. It costs nothing. The store pays for it, with a copy of its dict,
  only if it changes while the snapshot is in use.
- A `Context` is the read-only mapping that a step function gets: a snapshot whose values are copied on first access.
- `merge` decides what outputs mean for a store and changes nothing; ``store.update(merged.changes, merged.sources)``
  can't fail. So a merge happens whole or not at all, and its cost is per key of the outputs only.
"""

from __future__ import annotations

import weakref
from collections import ChainMap
from collections.abc import Collection, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from types import CoroutineType
from typing import Any, Final, Literal, TypeAlias, cast, final

import attrs

from trio_steps._core.errors import KeyCollisionError, StepOutputError, listed
from trio_steps._core.public import public
from trio_steps._values.copying import copy_value
from trio_steps._values.described import described
from trio_steps._values.equality import equal

from .contract.records import field_names

MergePolicy: TypeAlias = Literal["override", "error", "warn", "skip"]
"""What happens to a key that is already there: the later value wins (override, warn), or the first one stays (skip)."""


# The context


class _Everything:
    """Stands for all keys, where a set of keys is expected."""

    def __contains__(self, _key: object) -> bool:
        return True


EVERYTHING: Final = cast("Collection[str]", _Everything())


@final
class Inputs(dict[str, object]):
    """The input that the caller gave to a run, with each value copied when it is first looked up.

    The dict itself holds the copies, and what steps have set. So most look-ups, and all updates, take no longer than
    those of any dict. The rest is in `given`, where `__missing__` finds it. Iteration, ``in`` and `len` cover both;
    methods of a dict that do not use these cover the dict itself only.

    Attributes:
      given: what the caller gave, in its order. It does not change until it is released.
    """

    __slots__ = ("_has_copies", "_share", "given")

    def __init__(self, given: dict[str, object], share: Collection[str]) -> None:
        """Take over `given`, the caller's values. Those of the keys in `share` are never copied."""
        super().__init__()
        self.given: dict[str, object] = given
        self._share = share
        self._has_copies = False  # which use `given` too

    def __missing__(self, key: str) -> object:
        value = self.given[key]
        if key not in self._share:
            value = copy_value(value)
        self[key] = value
        return value

    def __contains__(self, key: object) -> bool:
        return super().__contains__(key) or key in self.given

    def __iter__(self) -> Iterator[str]:
        return iter(self.now())

    def __len__(self) -> int:
        return len(self.now())

    def now(self) -> dict[str, object]:
        """Return all values as they are now in a plain dict, without copying any."""
        values = dict(self.given)
        values.update(list(super().items()))  # list() is atomic, even if another thread looks up a key
        return values

    def untouched(self) -> set[str]:
        """Return the keys whose values are still the caller's."""
        return self.given.keys() - super().keys()

    def copy(self) -> Inputs:
        """Return another one, which makes its own copies."""
        other = Inputs(self.given, self._share)
        other.update(list(super().items()))
        self._has_copies = other._has_copies = True
        return other

    def release(self) -> dict[str, object]:
        """Return all values as they are now in a plain dict. This object must not be used again."""
        if self._has_copies:
            return self.now()
        self.given.update(super().items())
        return self.given


@final
class Snapshot(Mapping[str, object]):
    """What a `Store` held at one moment. The values are not copied, so they must not be passed to a step."""

    __slots__ = ("__weakref__", "base", "origin", "own", "sources")

    def __init__(self, own: dict[str, object], sources: dict[str, str], origin: str, base: Snapshot | None) -> None:
        self.own: dict[str, object] = own
        self.sources: dict[str, str] = sources
        self.origin: str = origin
        self.base: Snapshot | None = base

    def _layer(self, key: object) -> Snapshot | None:
        layer: Snapshot | None = self
        while layer is not None and key not in layer.own:
            layer = layer.base
        return layer

    def _all(self) -> dict[str, object]:
        if self.base is None:
            return self.own
        layers: list[dict[str, object]] = []
        layer: Snapshot | None = self
        while layer is not None:
            layers.append(layer.own)
            layer = layer.base
        return dict(ChainMap(*layers))

    def __getitem__(self, key: str) -> object:
        layer = self._layer(key)
        if layer is None:
            raise KeyError(key)
        return layer.own[key]

    def __contains__(self, key: object) -> bool:
        return self._layer(key) is not None

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def source_of(self, key: str) -> str:
        """Return where the value of `key` came from."""
        layer = self._layer(key)
        if layer is None:
            raise KeyError(key)
        return layer.sources.get(key, layer.origin)


@final
class Store(Mapping[str, object]):
    """The context of a run, or of a nested pipeline within one. Only the run loop holds and changes it.

    A nested store sees what the store around it holds. Drop the nested store before the outer one changes.
    """

    __slots__ = ("_base", "_origin", "_own", "_same", "_snapshot", "_sources", "_under")

    def __init__(self, values: dict[str, object], source: str, under: Snapshot | None = None) -> None:
        """Take over `values`, which came from `source`; see `nested` for `under`."""
        self._own = values
        self._sources: dict[str, str] = {}
        self._origin = source
        self._under = under  # what a patch is relative to
        self._base = under  # what is visible around it; a transform hides it
        self._same: dict[str, bool] = {}  # for each key, whether it was decided to be as it was in `under`
        self._snapshot: weakref.ref[Snapshot] | None = None

    def __getitem__(self, key: str) -> object:
        if key in self._own or self._base is None:
            return self._own[key]
        return self._base[key]

    def __contains__(self, key: object) -> bool:
        return key in self._own or (self._base is not None and key in self._base)

    def __iter__(self) -> Iterator[str]:
        return iter(self.now())

    def __len__(self) -> int:
        return len(self.now())

    def source_of(self, key: str) -> str:
        """Return where the value of `key` came from."""
        return self.now().source_of(key)

    def now(self) -> Snapshot:
        """Return what the store holds now, at no cost."""
        snapshot = None if self._snapshot is None else self._snapshot()
        if snapshot is None:
            snapshot = Snapshot(self._own, self._sources, self._origin, self._base)
            self._snapshot = weakref.ref(snapshot)
        return snapshot

    def readable(self) -> Mapping[str, object]:
        """Return a mapping to look keys up in right now. It is faster than the store itself."""
        return self._own if self._base is None else self

    def update(self, changes: Mapping[str, object], sources: Mapping[str, str]) -> None:
        """Enter `changes`, whose values came from `sources`. It can't fail."""
        if self._snapshot is not None:
            self._let_go(self._snapshot)
        if self._same:
            self._undecide(changes)
        self._own.update(changes)
        self._sources.update(sources)

    def enter(self, changes: dict[str, object], source: str) -> None:
        """Enter `changes`, all of which came from `source`. It can't fail."""
        if self._snapshot is not None:
            self._let_go(self._snapshot)
        if self._same:
            self._undecide(changes)
        self._own.update(changes)
        sources = self._sources
        for key in changes:
            sources[key] = source

    def _let_go(self, snapshot: weakref.ref[Snapshot]) -> None:
        if snapshot() is not None:  # a snapshot uses the dict: leave it unchanged
            self._own = self._own.copy()
            self._sources = self._sources.copy()
        self._snapshot = None

    def _undecide(self, changes: Mapping[str, object]) -> None:
        self._same = {key: same for key, same in self._same.items() if key not in changes}

    def replace(self, values: dict[str, object], source: str) -> None:
        """Hold `values` of `source` and nothing else, as after a transform. The store around a nested one is hidden."""
        self._own = values
        self._sources = {}
        self._same = {}
        self._origin = source
        self._base = None
        self._snapshot = None

    def untouched(self) -> AbstractSet[str]:
        """Return the keys whose values are still the caller's."""
        return self._own.untouched() if type(self._own) is Inputs else frozenset()

    def release(self) -> dict[str, object]:
        """Return what the store of a run holds, in a dict that no one else has. The store must not be used again."""
        own = self._own
        if self._snapshot is not None and self._snapshot() is not None:
            return own.now() if type(own) is Inputs else own.copy()
        return own.release() if type(own) is Inputs else own

    def nested(self) -> Store:
        """Return a store for a nested pipeline, which sees what this one holds, and keeps its changes to itself."""
        return Store({}, "", self.now())

    def _unchanged(self, changes: Mapping[str, object]) -> frozenset[str]:
        under: Mapping[str, object] = self._under or {}
        return frozenset(key for key, value in changes.items() if key in under and equal(under[key], value))

    def seen_with(self, given: Mapping[str, object], sources: Mapping[str, str], missing: Collection[str]) -> Store:
        """Return a store that holds what this one does, but `given` of `sources`, and no key in `missing`."""
        store = self.nested()
        if any(key in self for key in missing):
            store = Store({key: self[key] for key in self if key not in missing}, "")
            store.update({}, {key: self.source_of(key) for key in store})
        store.update(given, sources)
        return store

    def decide(self, changes: Mapping[str, object], unchanged: Collection[str] | None = None) -> Collection[str] | None:
        """Decide which keys of `changes`, which were entered last, have not changed, and so are not part of a patch.

        A recorded run decides this as soon as a step has run. Later, after the values have been written and read back,
        equality no longer matters.

        Args:
          changes: keys and values.
          unchanged: what was decided before; None to decide now.

        Returns:
          what was decided; None if there is no patch.
        """
        if self._under is None:
            return None
        if unchanged is None:
            unchanged = self._unchanged(changes)
        for key in changes:
            self._same[key] = key in unchanged
        return unchanged

    def patch(self) -> dict[str, object]:
        """Return the keys that are new or changed since this store began. The cost is per key that was written."""
        own, decided = self._own, self._same
        unchanged = self._unchanged({key: value for key, value in own.items() if key not in decided})
        return {key: value for key, value in own.items() if key not in unchanged and not decided.get(key)}


@public
@final
class Context(Mapping[str, object]):
    """The whole context, for a step function with one positional-only parameter. It is read-only, and a copy.

    Each value is copied on first access, and is then the same copy each time. Making a `Context` costs nothing.
    """

    __slots__ = ("_copies", "_share", "_values")

    def __init__(self, values: Mapping[str, object], share: Collection[str] = ()) -> None:
        """Show `values`. Those of the keys in `share` are not copied."""
        self._values = values
        self._share = share
        self._copies: dict[str, object] = {}

    def __getitem__(self, key: str) -> object:
        copies = self._copies
        if key in copies:
            return copies[key]
        value = self._values[key]
        if key not in self._share:
            copies[key] = value = copy_value(value)
        return value

    def __contains__(self, key: object) -> bool:
        return key in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"<Context of {listed(self._values)}>"


# Outputs


@final
@attrs.define  # never changed; not frozen, which would triple its cost
class Output:
    """What one function, or one nested pipeline, adds to the context.

    Attributes:
      source: the full name of the function or pipeline.
      values: a value for each key, already copied.
      is_patch: `values` come from a nested pipeline or a branch, so an equal value is not a collision.
    """

    source: str
    values: Mapping[str, object]
    is_patch: bool = False


@final
@attrs.frozen
class Collision:
    """`second` provided a `key` that `first` had provided, and won."""

    key: str
    first: str
    second: str


@final
@attrs.frozen(eq=False)
class Merged:
    """The outcome of a merge.

    Attributes:
      changes: the keys to set in the context.
      sources: where the value of each of them came from.
      collisions: what to warn about; empty unless the policy is "warn".
    """

    changes: dict[str, object]
    sources: dict[str, str]
    collisions: tuple[Collision, ...]


def merge(context: Store, outputs: Iterable[Output], policy: MergePolicy, step: str) -> Merged:
    """Decide what `outputs`, in the order of their functions, change in `context`. Nothing is changed yet.

    The policy applies among the outputs, then against the context. In a patch, a value that equals that of an earlier
    output is not a collision, and one that equals that of the context is left out.

    Raises:
      KeyCollisionError: a key collides and `policy` is "error".
    """
    changes: dict[str, object] = {}
    sources: dict[str, str] = {}
    collisions: list[Collision] = []

    def collide(key: str, first: str, second: str) -> bool:
        """Tell whether `second` wins."""
        if policy == "error":
            raise KeyCollisionError(key, step, (first, second))
        if policy == "warn":
            collisions.append(Collision(key, first, second))
        return policy != "skip"

    for output in outputs:
        source = output.source
        for key, value in output.values.items():
            if key in changes and (
                (output.is_patch and equal(changes[key], value)) or not collide(key, sources[key], source)
            ):
                continue
            changes[key] = value
            sources[key] = source
    if policy != "override":
        for key in [key for key in changes if key in context]:
            if not collide(key, context.source_of(key), sources[key]):
                del changes[key], sources[key]
    return Merged(changes, sources, tuple(collisions))


def as_output(result: object, step: str, share: Collection[str] = ()) -> dict[str, object]:
    """Return what the step returned as a new dict with every value copied.

    Args:
      result: a mapping with str keys, an instance of a class with fields (one level of them), or None (nothing).
      step: the full name of the step.
      share: keys whose values are not copied.

    Raises:
      StepOutputError: it is something else.
    """
    if result is None:
        return {}
    kind: type[Any] = type(result)
    if kind is dict or isinstance(result, Mapping):
        return _copy_items(cast("Mapping[object, object]", result), step, share)
    names = field_names(kind)
    if names is not None:
        return _copy_items({name: getattr(result, name) for name in names}, step, share)
    raise StepOutputError(
        step,
        f"returned {described(result)}; a step returns a mapping with str keys, an attrs or dataclass instance, "
        "or None; provides=… stores anything else under a key",
    )


def unawaited(coroutine: CoroutineType[Any, Any, Any], key: str, step: str) -> StepOutputError:
    """Return the error of a step that returned `coroutine` under `key`. Close it, so that Python does not warn too."""
    coroutine.close()
    return StepOutputError(
        step,
        f"returned under {key!r} a coroutine that was never awaited: write await {coroutine.__name__}(…), in an async "
        f"function; or return that alone, with provides={key!r}",
    )


def _copy_items(result: Mapping[Any, object], step: str, share: Collection[str]) -> dict[str, object]:
    values: dict[str, object] = {}
    for key, value in result.items():
        if type(key) is str and key not in share and key not in values:
            if type(value) is CoroutineType:
                raise unawaited(cast("Any", value), key, step)
            values[key] = copy_value(value)
            continue
        if not isinstance(key, str):
            raise StepOutputError(step, f"returned a mapping with the key {described(key)}; keys are strings")
        name = str.__str__(key)  # an exact one: an Enum's own str() is another
        if name in values:
            raise StepOutputError(step, f"returned a mapping with two keys that are both {name!r}")
        values[name] = value if name in share else copy_value(value)
    return values
