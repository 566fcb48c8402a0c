"""The one table of containers: how each is copied, compared, written and read. A new container is one entry.

Keys and members of sets are not parts, because a hashable value holds no mutable container. So a frozenset is never
copied.
"""

from __future__ import annotations

import builtins
import gc
from array import array
from collections import ChainMap, Counter, OrderedDict, defaultdict, deque
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, cast

from trio_steps._core.errors import listed
from trio_steps._core.results import Fulfilled, Rejected

from .described import described
from .form import Frozen, Mutable, ProblemError, items
from .scalars import SCALARS, three

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from typing import TypeAlias

    from .form import JSON, Compare, Container, Number, Pairs, Parts, Resolve

    _NewNumber: TypeAlias = Callable[[], Number]

_values: Final = dict[Any, Any].values
_PLAIN: Final = frozenset(map(id, SCALARS))  # most parts are of these types; this saves a call for each


# Copies


def _finish_list(original: list[object], shell: list[object], resolve: Resolve) -> None:
    for index, part in enumerate(original):
        if id(type(part)) not in _PLAIN:
            shell[index] = resolve(part)


def _finish_dict(original: dict[object, object], shell: dict[object, object], resolve: Resolve) -> None:
    for key, part in original.items():
        if id(type(part)) not in _PLAIN:
            shell[key] = resolve(part)


def _finish_deque(original: deque[object], shell: deque[object], resolve: Resolve) -> None:
    shell.clear()  # assigning by index would be quadratic
    shell.extend(map(resolve, original))


def _finish_chain(original: ChainMap[Any, Any], shell: ChainMap[Any, Any], resolve: Resolve) -> None:
    shell.maps = cast("list[Any]", resolve(original.maps))


def _copy_counter(original: Counter[object]) -> Counter[object]:
    shell: Counter[object] = Counter()
    dict[Any, Any].update(shell, original)  # a Counter's update counts, in Python
    return shell


def _no_parts(_value: object) -> tuple[()]:
    return ()


def _no_finish(_original: object, _shell: object, _resolve: Resolve) -> None:
    """Do nothing, for a container that holds no others."""


def _beneath(proxy: MappingProxyType[Any, Any]) -> Mapping[Any, Any]:
    """Return the mapping under `proxy`; methods of the proxy would run that mapping's code."""
    (mapping,) = gc.get_referents(proxy)
    return cast("Mapping[Any, Any]", mapping)


# Equality


def _compare_sequences(a: Sequence[object], b: Sequence[object], _: _NewNumber) -> Pairs:
    return zip(a, b) if len(a) == len(b) else None  # noqa: B905 - as long as each other


def _compare_deques(a: deque[object], b: deque[object], new: _NewNumber) -> Pairs:
    return _compare_sequences(a, b, new) if a.maxlen == b.maxlen else None


def _compare_bytes(a: bytearray, b: bytearray, _: _NewNumber) -> Pairs:
    return () if a == b else None


def _compare_arrays(a: array[Any], b: array[Any], _: _NewNumber) -> Pairs:
    return () if a.typecode == b.typecode and a.tobytes() == b.tobytes() else None


def _compare_sets(a: Collection[object], b: Collection[object], new: _NewNumber) -> Pairs:
    if len(a) != len(b):
        return None
    number = new()
    return () if set(map(number, a)) == set(map(number, b)) else None


def _compare_dicts(a: Mapping[Any, object], b: Mapping[Any, object], new: _NewNumber) -> Pairs:
    if len(a) != len(b):
        return None
    if not all(type(key) is str for keys in (a, b) for key in keys):  # looking up a key could call its __eq__
        number = new()
        a = {number(key): value for key, value in a.items()}
        b = {number(key): value for key, value in b.items()}
    if a.keys() != b.keys():
        return None
    return [(value, b[key]) for key, value in a.items()]


def _compare_defaultdicts(a: defaultdict[object, object], b: defaultdict[object, object], new: _NewNumber) -> Pairs:
    return _compare_dicts(a, b, new) if a.default_factory is b.default_factory else None


def _compare_ordered(a: OrderedDict[object, object], b: OrderedDict[object, object], _: _NewNumber) -> Pairs:
    return [*zip(a, b), *zip(a.values(), b.values())] if len(a) == len(b) else None  # noqa: B905 - as long as each other


def _by(parts: Parts) -> Compare:
    def compare(a: object, b: object, _: _NewNumber) -> Pairs:
        return zip(parts(a), parts(b))  # noqa: B905 - as long as each other

    return compare


# Text


def enter(value: dict[Any, Any], parts: list[Any]) -> None:
    """Put alternating keys and values into a dict."""
    for key, part in zip(parts[::2], parts[1::2]):  # noqa: B905 - the text may be damaged
        value[key] = part  # noqa: PERF403 - a Counter's update counts


def _no_fill(_value: object, _parts: list[Any]) -> None:
    """Fill a value that has no parts. It is mutable all the same, so references to it matter."""


def _bare_items(value: Mapping[Any, Any]) -> tuple[JSON, Sequence[object]]:
    if vars(value):
        raise ProblemError(f"a {type(value).__qualname__} has extra attributes ({listed(vars(value))})")
    return None, items(value)


def _chain_apart(value: ChainMap[Any, Any]) -> tuple[JSON, Sequence[object]]:
    if len(vars(value)) != 1:
        raise ProblemError(f"a ChainMap has extra attributes ({listed(vars(value))})")
    return None, (value.maps,)


def _chain_fill(value: ChainMap[Any, Any], parts: list[Any]) -> None:
    (value.maps,) = parts


_FACTORIES: Final[dict[str, Callable[[], Any] | None]] = {
    "None": None,
    **{
        factory.__name__: factory
        for factory in (
            *(bool, bytearray, bytes, complex, dict, float, frozenset, int, list, set, str, tuple),
            *(deque, Counter, OrderedDict),
        )
    },
}


def _defaultdict_apart(value: defaultdict[Any, Any]) -> tuple[JSON, Sequence[object]]:
    for name, factory in _FACTORIES.items():
        if factory is value.default_factory:
            return name, items(value)
    raise ProblemError(f"a defaultdict has the factory {described(value.default_factory)}")


def _array_make(head: JSON, _parts: list[Any]) -> object:
    return cast("Callable[[str], array[Any]]", array)(head)  # type checkers reject one of its typecodes


def _array_fill(value: array[Any], parts: list[Any]) -> None:
    value.fromlist(parts)


# The table

LIST: Final = Mutable(
    "list",
    parts=iter,
    begin=list,
    finish=_finish_list,
    compare=_compare_sequences,
    apart=lambda value: (None, value),
    make=lambda _head, _parts: [],
    fill=list[Any].extend,
)
DICT: Final = Mutable(
    "dict",
    parts=_values,
    begin=dict[Any, Any].copy,
    finish=_finish_dict,
    compare=_compare_dicts,
    apart=lambda value: (None, items(value)),
    make=lambda _head, _parts: {},
    fill=enter,
)
TUPLE: Final = Frozen(
    "tuple",
    parts=iter,
    remake=lambda _, parts: tuple(parts),
    compare=_compare_sequences,
    apart=lambda value: (None, value),
    make=lambda _, parts: tuple(parts),
)


def frozen_dict(kind: Any) -> Container:
    """Return the form of `kind`, an immutable dict such as the ``frozendict`` of Python 3.15."""
    return Frozen(
        "frozendict",
        parts=lambda value: value.values(),
        remake=lambda value, parts: kind(zip(value, parts)),  # noqa: B905 - as long as each other
        compare=_compare_dicts,
        apart=lambda value: (None, items(value)),
        make=lambda _, parts: kind(zip(parts[::2], parts[1::2])),  # noqa: B905 - the text may be damaged
    )


CONTAINERS: Final[dict[type[Any], Container]] = {
    list: LIST,
    dict: DICT,
    tuple: TUPLE,
    set: Mutable(
        "set",
        parts=_no_parts,
        begin=set[Any].copy,
        finish=_no_finish,
        compare=_compare_sets,
        apart=lambda value: (None, list(value)),
        make=lambda _head, _parts: set[Any](),
        fill=set[Any].update,
    ),
    frozenset: Frozen(
        "frozenset",
        parts=_no_parts,
        remake=lambda value, _: value,
        compare=_compare_sets,
        apart=lambda value: (None, list(value)),
        make=lambda _, parts: frozenset(parts),
    ),
    bytearray: Mutable(
        "bytearray",
        parts=_no_parts,
        begin=bytearray,
        finish=_no_finish,
        compare=_compare_bytes,
        apart=lambda value: (value.hex(), ()),
        make=lambda head, _: bytearray.fromhex(head),
        fill=_no_fill,
    ),
    array: Mutable(
        "array",
        parts=_no_parts,
        begin=lambda value: value[:],
        finish=_no_finish,
        compare=_compare_arrays,
        apart=lambda value: (value.typecode, value.tolist()),
        make=_array_make,
        fill=_array_fill,
    ),
    deque: Mutable(
        "deque",
        parts=iter,
        begin=deque[Any].copy,
        finish=_finish_deque,
        compare=_compare_deques,
        apart=lambda value: (value.maxlen, list(value)),
        make=lambda head, _: deque[Any](maxlen=head),
        fill=deque[Any].extend,
    ),
    defaultdict: Mutable(
        "defaultdict",
        parts=_values,
        begin=defaultdict[Any, Any].copy,
        finish=_finish_dict,
        compare=_compare_defaultdicts,
        apart=_defaultdict_apart,
        make=lambda head, _: defaultdict[Any, Any](_FACTORIES[head]),
        fill=enter,
    ),
    OrderedDict: Mutable(
        "OrderedDict",
        parts=_values,
        begin=OrderedDict[Any, Any].copy,
        finish=_finish_dict,
        compare=_compare_ordered,
        apart=_bare_items,
        make=lambda _head, _parts: OrderedDict[Any, Any](),
        fill=enter,
    ),
    Counter: Mutable(
        "Counter",
        parts=_values,
        begin=_copy_counter,
        finish=_finish_dict,
        compare=_compare_dicts,
        apart=_bare_items,
        make=lambda _head, _parts: Counter[Any](),
        fill=enter,
    ),
    ChainMap: Mutable(
        "ChainMap",
        parts=lambda value: (value.maps,),
        begin=lambda value: ChainMap(*value.maps),
        finish=_finish_chain,
        compare=_by(lambda value: (value.maps,)),
        apart=_chain_apart,
        make=lambda _head, _parts: ChainMap[Any, Any](),
        fill=_chain_fill,
    ),
    slice: Frozen(
        "slice",
        parts=three,
        remake=lambda _, parts: slice(*parts),
        compare=_by(three),
        apart=lambda value: (None, three(value)),
        make=lambda _, parts: slice(*parts),
    ),
    MappingProxyType: Frozen(
        "mappingproxy",
        parts=lambda value: (_beneath(value),),
        remake=lambda _, parts: MappingProxyType(parts[0]),
        compare=_by(lambda value: (_beneath(value),)),
        apart=lambda value: (None, (_beneath(value),)),
        make=lambda _, parts: MappingProxyType(*parts),
    ),
    Fulfilled: Frozen(
        "fulfilled",
        parts=lambda value: (value.value,),
        remake=lambda value, parts: Fulfilled(value.step_id, parts[0]),
        compare=_by(lambda value: (value.step_id, value.value)),
        apart=lambda value: (None, (value.step_id, value.value)),
        make=lambda _, parts: Fulfilled(*parts),
    ),
    Rejected: Frozen(
        "rejected",
        parts=_no_parts,
        remake=lambda value, _: value,
        compare=_by(lambda value: (value.step_id, value.error)),
        apart=lambda value: (None, (value.step_id, value.error)),
        make=lambda _, parts: Rejected(*parts),
    ),
    # since Python 3.15
    **{kind: frozen_dict(kind) for name, kind in vars(builtins).items() if name == "frozendict"},
}
