"""How the values of a type are copied, compared and written: its `Form`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast, final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

JSON: TypeAlias = Any  # what json.loads can return; a recursive type would not help checkers

if TYPE_CHECKING:
    Apart: TypeAlias = Callable[[Any], tuple[JSON, Sequence[object]]]
    Make: TypeAlias = Callable[[Any, list[Any]], object]
    Fill: TypeAlias = Callable[[Any, list[Any]], object]
    Parts: TypeAlias = Callable[[Any], Iterable[object]]
    Pairs: TypeAlias = Iterable[tuple[object, object]] | None  # pairs that also have to be equal; None: they differ
    Number: TypeAlias = Callable[[object], int]  # gives each hashable value a number, equal ones the same
    Compare: TypeAlias = Callable[[Any, Any, Callable[[], Number]], Pairs]
    Resolve: TypeAlias = Callable[[object], object]


class_of: Final = cast("Callable[[object], type[Any]]", type)
"""``type``, declared so that type checkers don't infer too much from it."""


class ProblemError(Exception):
    """A value can't be written or read. The caller adds the place."""


def items(value: Mapping[Any, Any]) -> list[object]:
    """Return keys and values, alternating."""
    return [part for item in value.items() for part in item]


class Form:
    """How the values of a type are written. The base class is for immutable values that contain nothing mutable.

    A value is taken apart into a head, which is JSON, and parts, which are values. A mutable value is made from the
    head alone, and filled with the parts later, so that it can contain itself. Any other value is made from both. The
    parts of a leaf contain nothing that could be shared.
    """

    __slots__ = ("apart", "fill", "leaf", "make", "tag")

    def __init__(self, tag: str, apart: Apart, make: Make, fill: Fill | None = None, *, leaf: bool = False) -> None:
        self.tag = tag
        self.apart = apart
        self.make = make
        self.fill = fill
        self.leaf = leaf


class Container(Form):
    """How a type that contains other values is written, copied and compared.

    Attributes:
      parts: the values inside that may have to be copied.
      compare: pairs of values that have to be equal if two of them are; None if they differ. It gets a function that
        numbers members.
    """

    __slots__ = ("compare", "parts")

    def __init__(
        self,
        tag: str,
        *,
        parts: Parts,
        compare: Compare,
        apart: Apart,
        make: Make,
        fill: Fill | None = None,
    ) -> None:
        super().__init__(tag, apart, make, fill)
        self.parts = parts
        self.compare = compare


@final
class Mutable(Container):
    """A container that is copied in two steps, so that it can contain itself.

    Attributes:
      begin: makes the copy, with the original's parts.
      finish: puts copies of the parts into it.
      frozen: values can't be changed, so one is copied only if a part is.
    """

    __slots__ = ("begin", "finish", "frozen")

    def __init__(
        self,
        tag: str,
        *,
        parts: Parts,
        begin: Callable[[Any], Any],
        finish: Callable[[Any, Any, Resolve], None],
        compare: Compare,
        apart: Apart,
        make: Make,
        fill: Fill | None,
        frozen: bool = False,
    ) -> None:
        super().__init__(tag, parts=parts, compare=compare, apart=apart, make=make, fill=fill)
        self.begin = begin
        self.finish = finish
        self.frozen = frozen


@final
class Frozen(Container):
    """A container that is copied by making a new one from the copies of its parts, if any of them was copied.

    Attributes:
      remake: makes the copy from the original and the copies of its parts.
    """

    __slots__ = ("remake",)

    def __init__(
        self,
        tag: str,
        *,
        parts: Parts,
        remake: Callable[[Any, list[Any]], object],
        compare: Compare,
        apart: Apart,
        make: Make,
    ) -> None:
        super().__init__(tag, parts=parts, compare=compare, apart=apart, make=make)
        self.remake = remake
