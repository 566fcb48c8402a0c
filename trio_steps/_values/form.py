"""How the values of a type are copied, compared and written: its `Form`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast, final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

JSON: TypeAlias = Any  # what json.loads can return; to say so recursively tells a checker no more

if TYPE_CHECKING:
    Apart: TypeAlias = Callable[[Any], tuple[JSON, Sequence[object]]]
    Make: TypeAlias = Callable[[Any, list[Any]], object]
    Fill: TypeAlias = Callable[[Any, list[Any]], object]
    Parts: TypeAlias = Callable[[Any], Iterable[object]]
    Pairs: TypeAlias = Iterable[tuple[object, object]] | None  # what else has to be equal; None: they differ
    Number: TypeAlias = Callable[[object], int]  # gives values that can be hashed a number, the same to equal ones
    Compare: TypeAlias = Callable[[Any, Any, Callable[[], Number]], Pairs]
    Resolve: TypeAlias = Callable[[object], object]


class_of: Final = cast("Callable[[object], type[Any]]", type)
"""The class of a value, without type checkers concluding more from it than there is."""


class ProblemError(Exception):
    """A value can't be written or read; where it stands is for the caller to say."""


def items(value: Mapping[Any, Any]) -> list[object]:
    """Return keys and values in turn."""
    return [part for item in value.items() for part in item]


class Form:
    """How a type is written; its values can't change, and hold nothing that can.

    A value is taken apart into a head, which is JSON, and parts, which are values. What can change is made of the head
    alone, and filled with the parts later, so that it can hold itself; all else is made of both. The parts of a leaf
    hold nothing that could be shared.
    """

    __slots__ = ("apart", "fill", "leaf", "make", "tag")

    def __init__(self, tag: str, apart: Apart, make: Make, fill: Fill | None = None, *, leaf: bool = False) -> None:
        self.tag = tag
        self.apart = apart
        self.make = make
        self.fill = fill
        self.leaf = leaf


class Container(Form):
    """How a type is written, copied and compared that holds other values.

    Attributes:
      parts: what in it may have to be copied.
      compare: what in two of them has to be equal, as pairs; None if they differ. It is given a way to number members.
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
    """A container that is copied in two steps, so that it can hold itself.

    Attributes:
      begin: makes the copy, with the original's parts.
      finish: puts copies of the parts into it.
      frozen: it can't be changed, so that it is copied only if a part is.
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
    """A container that is copied by making one of the copies of its parts; it stays as it is when they do.

    Attributes:
      remake: makes the copy, of the original and the copies of its parts.
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
