"""Equality as a step sees it, without calling any ``__eq__``.

Values that are equal in a run must also be equal in a resumed run, after they were written and read. So two values are
equal exactly if they are written alike: NaN equals NaN, and ``0.0`` does not equal ``-0.0``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast, final

from .form import Container, Form, ProblemError, class_of
from .kinds import kind_of
from .scalars import ATOMS, bits_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .form import Pairs

_ATOMS: Final = frozenset(map(id, ATOMS))
_FLOAT: Final = id(float)


def equal(a: object, b: object) -> bool:
    """Tell whether `a` and `b` are the same to a step: identical, or of one exact type and equal inside.

    ``1`` and ``True`` differ. Floats are compared by their bits. The order of an OrderedDict matters, the order of a
    dict does not. A deque's ``maxlen`` and a defaultdict's factory matter. An object of any other type equals only
    itself.
    """
    stack = [(a, b)]
    seen: set[tuple[int, int]] = set()
    while stack:
        a, b = stack.pop()
        if a is b:
            continue
        kind = type(a)
        if id(kind) != id(type(b)):
            return False
        if id(kind) in _ATOMS:
            if a != b:
                return False
            continue
        if id(kind) == _FLOAT:
            if bits_of(cast("float", a)) != bits_of(cast("float", b)):
                return False
            continue
        # A pair that comes up again is shared or in a cycle, so its parts are being compared already.
        if (id(a), id(b)) not in seen:
            seen.add((id(a), id(b)))
            form = kind_of(kind)
            pairs = form.compare(a, b, Numbers) if isinstance(form, Container) else _compare_scalars(form, a, b)
            if pairs is None:
                return False
            stack.extend(pairs)
    return True


def _compare_scalars(form: Form | None, a: object, b: object) -> Pairs:
    if form is None:
        return None
    try:
        (head, parts), (other, others) = form.apart(a), form.apart(b)
    except ProblemError:  # it can't be written
        return None
    return zip(parts, others) if head == other and len(parts) == len(others) else None  # noqa: B905 - they are


@final
class Numbers:
    """Gives each hashable value a number, and equal values (in our sense) the same number.

    Sets and dicts would call the ``__hash__`` and ``__eq__`` of a member, and treat ``1`` as ``True``. Comparing these
    numbers does neither.
    """

    __slots__ = ("_apart", "_by_id", "_numbers")

    def __init__(self) -> None:
        self._apart: dict[int, tuple[object, Sequence[object]]] = {}  # this keeps what an id stands for alive
        self._by_id: dict[int, int] = {}
        self._numbers: dict[object, int] = {}

    def __call__(self, value: object) -> int:
        """Return the number of `value`."""
        by_id = self._by_id
        stack = [value]
        while stack:
            inner = stack[-1]
            key = id(inner)
            if key not in self._apart:
                self._apart[key] = _hashable_parts(inner)
            head, parts = self._apart[key]
            unknown = [part for part in parts if id(part) not in by_id]
            if unknown:
                stack.extend(unknown)
                continue
            stack.pop()
            numbers = [by_id[id(part)] for part in parts]
            kind = type(inner)
            content = frozenset(numbers) if kind is frozenset or kind is set else tuple(numbers)
            by_id[key] = self._numbers.setdefault((id(kind), head, content), len(self._numbers))
        return by_id[id(value)]


def _hashable_parts(value: Any) -> tuple[object, Sequence[object]]:
    """Return a key that distinguishes `value` from others with the same parts, and the parts."""
    kind = class_of(value)
    if id(kind) in _ATOMS:
        return value, ()
    if id(kind) == _FLOAT:
        return bits_of(value), ()
    form = kind_of(kind)
    if form is None or (isinstance(form, Container) and form.fill is not None and kind is not set):
        return (None, id(value)), ()
    try:
        head, parts = form.apart(value)
    except ProblemError:
        return (None, id(value)), ()
    return repr(head), list(parts)
