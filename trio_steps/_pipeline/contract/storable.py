"""Whether the declared results of the functions of a pipeline can be stored.

Problem: a value that can't be stored is noticed only after its step has acted: the card is charged, the receipt lost.

What is done instead. Before the first step of a durable run, the annotated return types are checked. A type is refused
if neither its own instances can be stored, nor those of any class that derives from it.

What is deliberately not done. An annotation that leaves the type open is accepted: an abstract class, a protocol, a
type variable. A codec is not asked: what it can write shows only with a value.
"""

from __future__ import annotations

from enum import Enum
from inspect import isabstract
from types import NoneType
from typing import TYPE_CHECKING, Any, Final, cast, get_args, get_origin

from trio_steps._pipeline.call import Function
from trio_steps._pipeline.definition import Each, Group, Repeat, Wait
from trio_steps._pipeline.signature import provided_by
from trio_steps._values.form import ProblemError
from trio_steps._values.kinds import kind_of
from trio_steps._values.names import name_of
from trio_steps._values.records import fields_of as record_fields

from .annotations import UNKNOWN, members, type_name
from .records import fields_of, is_typed_dict
from .shape import Key, Shape

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trio_steps._pipeline.definition import Node, Nodes

_WORDS: Final = (object, NoneType, bool, int, float, str)


# What functions provide


def named(nodes: Nodes) -> Iterator[tuple[str, Node]]:
    """Yield each node in `nodes`, and each inside those, with its full name."""
    ahead: list[tuple[Nodes, str]] = [(nodes, "")]
    while ahead:
        row, prefix = ahead.pop()
        for node in row:
            name = prefix + node.id
            yield name, node
            for infix, inner in node.inner():
                ahead.append((inner, name + infix))


def given_by(nodes: Nodes) -> Iterator[tuple[str, Shape]]:
    """Yield the full names of the steps that are functions or wait, each with what it declares to provide."""
    for name, node in named(nodes):
        yield from given_by_node(node, name)


def given_by_node(node: Node, name: str) -> Iterator[tuple[str, Shape]]:
    """Yield the same for `node` alone, and its members, if its full name is `name`."""
    body = node.body
    if isinstance(body, Function):
        yield name, provided_by(body.signature, name, body.provides, transform=node.transforms)
    elif isinstance(body, Group):
        for id, member in zip(body.ids, body.members):  # noqa: B905 - as long as each other
            if isinstance(member, Function):
                yield f"{name}/{id}", provided_by(member.signature, f"{name}/{id}", member.provides)
    elif isinstance(body, Each):
        if body.nodes is None:
            yield name, Shape({body.into: Key(body.function.signature.returns)}, open=True)  # of each element
    elif isinstance(body, Wait):
        yield name, Shape({body.provides: node.after.keys[body.provides]})
    else:
        assert isinstance(body, (tuple, Repeat)) or body.cases  # they provide what the steps in them provide


# What can be stored


def obstacle(kind: object) -> str | None:
    """Return why a value declared as `kind` can't be stored; None if it can, or might be."""
    try:
        _check(kind, set())
    except ProblemError as problem:
        return str(problem)
    return None


def _check(kind: object, seen: set[int]) -> None:
    for member in members(kind):
        origin = get_origin(member)
        cls = cast("object", origin or member)
        if member is UNKNOWN or not isinstance(cls, type):
            continue  # nothing is known of a literal, a type variable and the like
        _check_class(cls, seen)
        for argument in get_args(member):
            if isinstance(argument, type) or get_origin(argument) is not None:
                _check(argument, seen)


def _check_class(cls: type[Any], seen: set[int]) -> None:
    if id(cls) in seen or cls in _WORDS:
        return
    seen.add(id(cls))
    try:
        _check_own(cls, seen)
    except ProblemError:
        for derived in type.__subclasses__(cls):
            try:
                _check_class(derived, {*seen})
            except ProblemError:
                continue
            return
        raise


def _check_own(cls: type[Any], seen: set[int]) -> None:
    """Refuse a class if its own instances can't be stored."""
    if issubclass(cls, (Enum, Exception)):
        if cls not in (Enum, Exception):
            name_of(cls)
        return
    form = kind_of(cls)
    declared = fields_of(cls)
    may_be_another = isabstract(cls) or type(cls) is not type or is_typed_dict(cls)  # which looks like one of these
    if form is None and (not may_be_another or issubclass(cls, type)):
        if record_fields(cls) is None and declared is not None:
            raise ProblemError(f"{type_name(cls)} has eq=False, so its instances are not values")
        raise ProblemError(f"instances of {type_name(cls)} can't be held in a checkpoint; give a codec=… for them")
    if declared is None:
        return
    if form is not None:
        name_of(cls)
        if hasattr(cls, "__struct_config__") and "__post_init__" in dir(cls):
            raise ProblemError(f"{type_name(cls)} can't be rebuilt without its __post_init__")
    for name, field in declared.items():
        try:
            _check(field.type, seen)
        except ProblemError as problem:
            raise ProblemError(f"in the field {name!r} of {type_name(cls)}: {problem}") from problem
