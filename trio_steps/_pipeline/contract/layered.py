"""A mapping that grows: each step of a pipeline adds to what is known, and earlier versions stay unchanged.

Problem: every prefix of a pipeline is itself a pipeline, so a step can't add its keys in place.

Naive answer: copy the dict at each step. Two thousand steps then take four times as long as one thousand.

What is done instead. The mapping is a few dicts, of which later ones take precedence. A new dict is put on top, and
dicts below it that are not much larger are merged with it. So both the number of dicts and the copies of each key are
logarithmic in the number of keys.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import TYPE_CHECKING, Generic, TypeVar, final

if TYPE_CHECKING:
    from collections.abc import Callable

V = TypeVar("V")


@final
class Layered(Mapping[str, V], Generic[V]):
    """An immutable mapping, to which `plus` and `each` are cheap."""

    __slots__ = ("_layers", "_settled")

    def __init__(self, keys: Mapping[str, V] | None = None) -> None:
        """Begin with a copy of `keys`."""
        self._layers: tuple[dict[str, V], ...] = (dict(keys),) if keys else ()
        self._settled: tuple[object, ...] = (None,) * len(self._layers)  # for each layer, the last `change` of `each`

    def __getitem__(self, key: str) -> V:
        for layer in reversed(self._layers):
            if key in layer:
                return layer[key]
        raise KeyError(key)

    def __contains__(self, key: object) -> bool:
        return any(key in layer for layer in self._layers)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(chain.from_iterable(self._layers)))

    def __len__(self) -> int:
        return len(dict.fromkeys(chain.from_iterable(self._layers)))

    def __repr__(self) -> str:
        return repr(dict(self))

    def plus(self, changes: Mapping[str, V]) -> Layered[V]:
        """Return the mapping with `changes`."""
        if not changes:
            return self
        layers, settled = list(self._layers), list(self._settled)
        top, by = dict(changes), None
        while layers and len(layers[-1]) <= 2 * len(top):
            top = {**layers.pop(), **top}
            settled.pop()
        return self._of((*layers, top), (*settled, by))

    def each(self, change: Callable[[V], V]) -> Layered[V]:
        """Return the mapping with `change` applied to each value. Applying it again changes nothing."""
        if all(by is change for by in self._settled):
            return self
        layers = tuple(
            layer if by is change else {key: change(value) for key, value in layer.items()}
            for layer, by in zip(self._layers, self._settled)  # noqa: B905 - as long as each other
        )
        return self._of(layers, (change,) * len(layers))

    @staticmethod
    def _of(layers: tuple[dict[str, V], ...], settled: tuple[object, ...]) -> Layered[V]:
        new: Layered[V] = Layered()
        new._layers = layers
        new._settled = settled
        return new
