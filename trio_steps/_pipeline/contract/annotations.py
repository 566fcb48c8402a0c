"""Reads annotations, one at a time, and never raises."""

from __future__ import annotations

import ast
import builtins
import inspect
import sys
import types
from collections import ChainMap
from collections.abc import Awaitable, Coroutine, Iterable, Mapping
from collections.abc import Set as AbstractSet
from contextlib import suppress
from typing import (
    Annotated,
    Any,
    Final,
    ForwardRef,
    Literal,
    NewType,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

UNKNOWN: Final[object] = Any
"""The type of whatever has no annotation, or one that can't be resolved: it fits everything."""

_QUALIFIERS = frozenset({"Required", "NotRequired", "ReadOnly", "Final", "ClassVar"})


def resolve(annotation: object, owner: object) -> object:
    """Return the type that `annotation` stands for, or `UNKNOWN`. The rest is read even if a name can't be found.

    Names are looked up where `owner`, the function or class that has the annotation, could see them: in the
    variables it closes over, in the functions around it that are still running (a pipeline is mostly built in
    the function that also defines its steps and types), and in its module.
    """
    if annotation is inspect.Parameter.empty:
        return UNKNOWN
    carrier = type("Carrier", (), {"__annotations__": {"it": annotation}})
    with suppress(Exception):  # an annotation is code, and can raise anything
        names, around = _globals(owner), _locals(owner)
        missing = _missing(annotation, around.keys() | names.keys() | vars(builtins).keys())
        hints = get_type_hints(carrier, names, cast("Any", {**missing, **around}), include_extras=True)
        return UNKNOWN if hints["it"] is _ABSENT else hints["it"]
    return UNKNOWN


class _Absent(type):
    """The type of a stand-in for a missing module: everything in it is missing, too."""

    def __getattr__(cls, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        return cls

    def __getitem__(cls, item: object) -> object:
        return cls


_ABSENT: Final = _Absent("Any", (), {})


def _missing(annotation: object, names: AbstractSet[str]) -> dict[str, object]:
    """Return stand-ins for the names in `annotation` that are not in `names`."""
    found: dict[str, object] = {}
    texts = _texts(annotation)
    while texts:
        with suppress(SyntaxError):
            for node in ast.walk(ast.parse(texts.pop().strip(), mode="eval")):
                if isinstance(node, (ast.Attribute, ast.Subscript)) and isinstance(node.value, ast.Name):
                    found[node.value.id] = _ABSENT
                elif isinstance(node, ast.Name):
                    found.setdefault(node.id, UNKNOWN)
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    texts.append(node.value)
    return {name: value for name, value in found.items() if name not in names}


def _texts(annotation: object) -> list[str]:
    """Return the annotations that are still text inside `annotation`."""
    if isinstance(annotation, str):
        return [annotation]
    if isinstance(annotation, ForwardRef):
        return [annotation.__forward_arg__]
    parts = cast("Iterable[object]", annotation if isinstance(annotation, list) else get_args(annotation))
    return [text for part in parts for text in _texts(part)]


def _globals(owner: object) -> dict[str, Any]:
    if isinstance(owner, types.FunctionType):
        return owner.__globals__
    return vars(sys.modules[cast("type", owner).__module__])


def _locals(owner: object) -> Mapping[str, object]:
    """Return the local variables of the functions around `owner`."""
    scopes: list[Mapping[str, object]] = []
    if isinstance(owner, types.FunctionType) and owner.__closure__:
        for name, cell in zip(owner.__code__.co_freevars, owner.__closure__):  # noqa: B905 - as long as each other
            with suppress(ValueError):  # the cell is still empty
                scopes.append({name: cell.cell_contents})
    path: str = cast("Any", owner).__qualname__
    around = {part.rpartition(".")[2] for part in path.split(".<locals>")[:-1]}
    if around:
        module = _globals(owner)
        frame = inspect.currentframe()
        while frame is not None:
            if frame.f_code.co_name in around and frame.f_globals is module:
                scopes.append(frame.f_locals)
            frame = frame.f_back
    return ChainMap(*cast("list[Any]", scopes))


def unqualified(hint: object) -> tuple[object, bool | None]:
    """Strip `hint` of ``Annotated``, ``NotRequired`` and the like; return whether it said (Not)Required."""
    required: bool | None = None
    while True:
        origin = get_origin(hint)
        # by name: ReadOnly may come from typing_extensions, which need not be installed
        qualifier = str(origin).rpartition(".")[2]
        if origin is not Annotated and qualifier not in _QUALIFIERS:
            return hint, required
        if qualifier in ("Required", "NotRequired"):
            required = qualifier == "Required"
        hint = get_args(hint)[0]


def awaited(returns: object) -> object:
    """Return the type of the result of a function that returns `returns`, once awaited."""
    origin = get_origin(returns)
    if isinstance(origin, type) and issubclass(origin, Awaitable):
        # the last argument of Coroutine[yields, is sent, returns] and Awaitable[returns]
        return get_args(returns)[-1] if origin in (Awaitable, Coroutine) else UNKNOWN
    if isinstance(returns, type) and origin is None and issubclass(returns, Awaitable):
        return UNKNOWN
    if is_union(returns):
        return union(map(awaited, get_args(returns)))
    return returns


def is_union(kind: object) -> bool:
    """Tell whether `kind` is a union in either spelling."""
    return get_origin(kind) in (Union, types.UnionType)


def union(kinds: Iterable[object]) -> object:
    """Return the union of `kinds`; `UNKNOWN` if one of them is unknown, or they make no union."""
    kinds = tuple(kinds)
    if not any(kind is UNKNOWN for kind in kinds):
        with suppress(TypeError):
            return cast("Any", Union)[kinds]
    return UNKNOWN


def type_name(kind: object) -> str:
    """Return the name of `kind` for messages."""
    if kind is UNKNOWN:
        return "Any"
    if kind is types.NoneType:
        return "None"
    origin, args = get_origin(kind), get_args(kind)
    if origin is None or not args:
        return getattr(kind, "__name__", None) or str(kind)
    if is_union(kind):
        return " | ".join(map(type_name, args))
    if origin is Literal:
        return f"Literal[{', '.join(map(repr, args))}]"
    return f"{type_name(origin)}[{', '.join(map(_argument_name, args))}]"


def _argument_name(kind: object) -> str:
    if kind is ...:
        return "..."
    if isinstance(kind, list):
        return f"[{', '.join(map(_argument_name, cast('list[object]', kind)))}]"
    return type_name(kind)


def supertype(kind: object) -> object:
    """Return the supertype of a ``NewType``, the value of a ``type`` statement, or `kind` itself."""
    if isinstance(kind, NewType):
        return cast("Any", kind).__supertype__
    if type(kind).__name__ == "TypeAliasType":
        with suppress(Exception):  # the value is evaluated only now
            return cast("Any", kind).__value__
        return UNKNOWN
    return kind


def members(kind: object, *, into_new_types: bool = True) -> list[object]:
    """Return the members of a union, however it is spelt and nested; for any other type, just that type."""
    kind = unqualified(kind)[0]
    while (into_new_types or not isinstance(kind, NewType)) and supertype(kind) is not kind:
        kind = unqualified(supertype(kind))[0]
    if is_union(kind):
        return [member for arg in get_args(kind) for member in members(arg, into_new_types=into_new_types)]
    return [UNKNOWN if kind is _ABSENT else kind]
