"""What can be reached from some objects, and whether it has changed since."""

from __future__ import annotations

import gc
import types
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast, final

from trio_steps.testing._probe import Probe

from .kinds import KNOWN, Kind, is_of_python, is_quiet, kind_of
from .trios import is_of_trio, kind_of_trio

if TYPE_CHECKING:
    from collections.abc import Iterable

_KEYS: Final[Any] = dict[Any, Any].keys
_ORDERED_KEYS: Final[Any] = OrderedDict[Any, Any].keys
_VALUES: Final[Any] = dict[Any, Any].values
_MOST: Final = 5_000  # objects; a step that can reach more counts as unknown
_HERE: Final = str(Path(__file__).parents[1])
_CLOSED: Final = frozenset({"trio", "outcome", "typing", "abc", "trio_steps"})
"""Packages whose classes are never changed."""
_MACHINERY: Final = ("trio_steps.testing._machine", "trio_steps.testing._footprints", "typing")
_IS_CHANGED: Final = frozenset({Kind.OPEN, Kind.DICT, Kind.INSTANCE, Kind.FUNCTION, Kind.CLASS, Kind.SCOPE, Kind.SYNC})


@final
class Reach:
    """What a step can reach.

    Attributes:
      reason: why that can't be known; None if it is.
    """

    def __init__(self, kinds: dict[type, Kind], own: object = None) -> None:
        self.reason: str | None = None
        self._kinds = kinds
        self._own = own  # the task of the step: what Trio does to it is known
        self._seen: dict[int, object] = {}  # kept alive, or another object could get the address
        self._open: list[tuple[object, list[Any]]] = []
        self._stateful: list[object] = []

    def follow(self, roots: Iterable[object]) -> None:
        """Visit `roots`, and everything that can be reached from there."""
        inside = self._walk(list(roots), inside=False)
        self._walk(inside, inside=True)  # a task with only the lock can't reach those that wait for it

    def _walk(self, todo: list[object], *, inside: bool) -> list[object]:
        of_sync: list[object] = []
        seen = self._seen
        while todo and self.reason is None:
            item = todo.pop()
            kind = self._kind(type(item))
            if kind is Kind.LEAF or id(item) in seen:
                continue
            seen[id(item)] = item
            if len(seen) > _MOST:
                self.reason = f"more than {_MOST:,} objects that it can reach"
            elif kind is Kind.TASK:
                if not inside and item is not self._own:
                    self.reason = "a task of Trio"
            elif kind is Kind.UNKNOWN:
                self._meet_unknown(item, todo, inside=inside)
            elif kind is Kind.CLASS and not _is_of_python(cast("type", item)):
                self._meet_class(cast("type", item))
            else:
                contents = contents_of(item, kind)
                if kind in _IS_CHANGED:
                    self._open.append((item, contents))
                elif kind is Kind.STATEFUL:
                    self._stateful.append(item)
                if kind is Kind.SYNC and not inside:
                    of_sync += contents
                elif kind is not Kind.SCOPE:
                    todo += contents
        return of_sync

    def _kind(self, kind: type) -> Kind:
        known = self._kinds.get(kind)
        if known is None:
            is_ours = kind.__module__.startswith(_MACHINERY)
            known = self._kinds[kind] = Kind.LEAF if is_ours else kind_of_trio(kind) or kind_of(kind)
        return known

    def _meet_unknown(self, item: object, todo: list[object], *, inside: bool) -> None:
        kind = type(item)
        if kind in (types.BuiltinFunctionType, types.BuiltinMethodType):
            if is_quiet(item):
                owner = getattr(item, "__self__", None)
                if type(owner) is not types.ModuleType:
                    todo.append(owner)
            else:
                self.reason = name_of(item)
        elif inside and kind.__module__.partition(".")[0] == "trio":
            contents = contents_of(item, Kind.INSTANCE)
            self._open.append((item, contents))
            todo += contents
        else:
            self.reason = f"the module {item.__name__}" if isinstance(item, types.ModuleType) else f"a {name_of(kind)}"

    def _meet_class(self, kind: type) -> None:
        if self._kind(kind) is Kind.UNKNOWN and kind.__module__.partition(".")[0] != "trio":
            self.reason = name_of(kind)

    def doubt(self, reason: str) -> None:
        """Note why not everything is known."""
        self.reason = self.reason or reason

    def let_go(self) -> None:
        """Release all objects."""
        self._seen.clear()
        self._open.clear()
        self._stateful.clear()

    @property
    def touched(self) -> list[object]:
        """Everything that could be different after the step: the mutable objects that it can reach."""
        return [item for item, _ in self._open] + self._stateful

    def changed(self) -> list[object]:
        """Return everything that is different now, or may be."""
        different = [item for item, was in self._open if _differ(was, contents_of(item, self._kind(type(item))))]
        return different + self._stateful


def _differ(one: list[Any], other: list[Any]) -> bool:
    return len(one) != len(other) or any(left is not right for left, right in zip(one, other, strict=True))


def _is_of_python(kind: type) -> bool:
    """Tell whether a class has more to visit than its name."""
    return kind.__module__.partition(".")[0] not in _CLOSED and kind not in KNOWN and is_of_python(kind)


def contents_of(item: Any, kind: Kind) -> list[Any]:
    """Return the objects that `item` consists of."""
    has_order = issubclass(type(item), OrderedDict)
    if kind is Kind.DICT and not has_order:
        return [*_KEYS(item), *_VALUES(item), getattr(item, "default_factory", None)]
    if kind is Kind.FUNCTION:
        if item.__code__.co_filename.startswith(_HERE) or is_of_trio(item.__code__):
            return []
        module, builtins = item.__globals__, item.__builtins__
        return [inner for inner in gc.get_referents(item) if inner is not module and inner is not builtins]
    if kind is Kind.CLASS:
        members: dict[str, Any] = dict(item.__dict__)
        return [*members.keys(), *members.values(), *item.__mro__, type(item)]
    if type(item) is Probe:
        return list(item.kept())
    contents: list[Any] = []
    if kind in (Kind.INSTANCE, Kind.SYNC, Kind.STATEFUL) and type(item).__dictoffset__:
        contents.append(object.__getattribute__(item, "__dict__"))  # created by this access, if it was missing
    contents += gc.get_referents(item)
    if has_order:
        contents += _ORDERED_KEYS(item)  # its order is not that of the dict
    return contents


def name_of(item: Any) -> str:
    """Return the name of a function or a type, with its module."""
    module: object = getattr(item, "__module__", None) or getattr(getattr(item, "__self__", None), "__name__", None)
    name: str = item.__qualname__
    return name if module in (None, "builtins") else f"{module}.{name}"
