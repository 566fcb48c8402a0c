"""Instances of classes that declare their fields: dataclasses, attrs, named tuples, pydantic and msgspec models.

Problem: a step that changes a list in a dataclass must not change it for its siblings. And a durable run has to keep
the classes with which people model their data.

Naive answer: ``copy.deepcopy``, and pickle. Both run code of the class, and of everything in it.

What is done instead. An instance is copied, compared and written like a dict of its fields: through the slots and the
``__dict__`` of its class, without ``__init__``, ``__setattr__`` or a converter. It is read back as its exact class, if
that is imported and still declares the same fields.

What is deliberately not done. A class with ``eq=False``, whose instances equal only themselves, declares that they have
identity and are not values, so they are not copied. Neither are instances of a class that defines ``__new__``,
``__del__``, ``__deepcopy__`` or ``__copy__``, or that derives from anything but plain classes.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Final, cast

from .form import Frozen, Mutable, ProblemError, items
from .names import dict_of, filled_slots, mro_of, name_of, namespace, slots_of
from .scalars import late_class

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from .form import JSON, Container, Pairs, Resolve

_KNOW_BETTER: Final = ("__new__", "__del__", "__copy__", "__deepcopy__")
INSTANCE: Final = "record"
VALUE: Final = "value"  # hashable, so it has to be complete before it is put into a container
NAMED_TUPLE: Final = "namedtuple"
_iterate: Final[Callable[[Any], Iterable[object]]] = tuple[Any, ...].__iter__
_new_tuple: Final[Callable[[type[Any], Sequence[object]], object]] = tuple[Any, ...].__new__


def record_of(kind: type[Any]) -> Container | None:
    """Return the form of instances of `kind`, or None if it is not a class that declares its fields."""
    mro = mro_of(kind)
    if _place(mro, tuple) is not None:
        return _named_tuple_of(kind, mro)
    fields = fields_of(kind)
    if fields is None:
        return None
    base = mro_of(_library_base(mro))
    theirs = [owner for owner in mro if _place(base, owner) is None]
    if any(name in namespace(owner) for owner in theirs for name in _KNOW_BETTER):
        return None
    return _instance_of(kind, fields)


def fields_of(kind: type[Any]) -> tuple[str, ...] | None:
    """Return the names of the fields that `kind` declares, in order; None if its instances are not values."""
    mro = mro_of(kind)
    if _place(mro, BaseException) is not None or _first(mro, "__eq__") is object:
        return None
    name = _library_base(mro).__name__
    if name == "Struct":
        return tuple(kind.__struct_fields__) if kind.__struct_config__.eq else None
    if name == "BaseModel":
        return tuple(kind.model_fields)
    for owner in mro:
        inside = namespace(owner)
        if "_fields" in inside and _place(mro, tuple) is not None:
            return tuple(inside["_fields"])
        if "__attrs_attrs__" in inside:
            return tuple(field.name for field in inside["__attrs_attrs__"])
        if "__dataclass_fields__" in inside:
            return tuple(field.name for field in dataclasses.fields(cast("Any", owner)))
    return None


def _place(mro: Sequence[type[Any]], kind: type[Any]) -> int | None:
    """Return the index of `kind` in `mro`, or None. ``in`` would run the ``__eq__`` of metaclasses."""
    return next((place for place, owner in enumerate(mro) if owner is kind), None)


def _first(mro: Sequence[type[Any]], name: str) -> type[Any]:
    """Return the first class of `mro` that defines `name`."""
    return next(owner for owner in mro if name in namespace(owner))


def _library_base(mro: Sequence[type[Any]]) -> type[Any]:
    """Return the class of pydantic or msgspec that the first of `mro` derives from, or `object` if there is none."""
    for module, name in (("pydantic.main", "BaseModel"), ("msgspec", "Struct")):
        base = late_class(module, name)
        if base is not None and _place(mro, base):
            return base
    return object


def _is_frozen(kind: type[Any]) -> bool:
    """Tell whether instances of `kind` can't be changed, so that they can be keys."""
    if cast("Any", kind).__hash__ is None:
        return False
    for owner in mro_of(kind):
        inside = namespace(owner)
        if "__attrs_attrs__" in inside:
            return getattr(kind.__setattr__, "__name__", "") == "_frozen_setattrs"
        if "__dataclass_params__" in inside:
            return bool(inside["__dataclass_params__"].frozen)
        if "model_config" in inside:
            return bool(inside["model_config"].get("frozen"))
    return bool(kind.__struct_config__.frozen)


def _instance_of(kind: type[Any], fields: tuple[str, ...]) -> Container:
    slots, inside = slots_of(kind), dict_of(kind)
    is_struct = hasattr(kind, "__struct_config__")
    frozen = _is_frozen(kind)

    def state(value: object) -> dict[str, object]:
        held = filled_slots(slots, value) if slots else {}
        if inside is not None:
            held.update(inside(value))
        return held

    def put(value: object, name: Any, part: object) -> None:
        if name in slots:
            slots[name].__set__(value, part)
        elif inside is not None and type(name) is str:
            inside(value)[name] = part
        else:
            raise ProblemError(f"{kind.__qualname__} has no field {name!r}")

    def begin(value: Any) -> object:
        if is_struct:
            return kind.__copy__(value)  # in C: a class that defines one is not of this kind
        twin = object.__new__(kind)
        for name, part in state(value).items():
            put(twin, name, part)
        return twin

    def finish(original: object, twin: object, resolve: Resolve) -> None:
        for name, part in state(original).items():
            put(twin, name, resolve(part))

    def compare(a: object, b: object, _: object) -> Pairs:
        first, second = state(a), state(b)
        return [(part, second[name]) for name, part in first.items()] if first.keys() == second.keys() else None

    def apart(value: object) -> tuple[JSON, Sequence[object]]:
        if is_struct and hasattr(kind, "__post_init__"):
            raise ProblemError(f"{kind.__qualname__} can't be rebuilt without its __post_init__")
        return [name_of(kind), list(fields)], items(state(value))

    def fill(value: object, parts: Sequence[object]) -> object:
        for name, part in zip(parts[::2], parts[1::2]):  # noqa: B905 - the text may be damaged
            put(value, name, part)
        return value

    def make(_head: JSON, parts: Sequence[object]) -> object:
        if is_struct:  # the only way to make one; it calls nothing but a __post_init__
            held: dict[Any, object] = dict(zip(parts[::2], parts[1::2]))  # noqa: B905 - the text may be damaged
            return fill(kind(**{name: held.pop(name) for name in fields}), items(held))
        return fill(object.__new__(kind), parts)

    whole = frozen or is_struct
    return Mutable(
        VALUE if whole else INSTANCE,
        parts=lambda value: state(value).values(),
        begin=begin,
        finish=finish,
        compare=compare,
        apart=apart,
        make=make,
        fill=None if whole else fill,
        frozen=frozen,
    )


def _named_tuple_of(kind: type[Any], mro: Sequence[type[Any]]) -> Container | None:
    theirs = mro[: _place(mro, tuple)]
    named = [owner for owner in theirs if "_fields" in namespace(owner)]
    if not named or named[0] is not theirs[-1]:
        return None
    fields = tuple(namespace(named[0])["_fields"])
    if any(name in namespace(owner) for owner in theirs[:-1] for name in _KNOW_BETTER):
        return None
    extra = dict_of(kind)

    def attributes(value: object) -> dict[str, object]:
        return extra(value) if extra is not None else {}

    def parts(value: Any) -> tuple[object, ...]:
        return (*_iterate(value), *attributes(value).values())

    def build(names: Iterable[str], inside: Sequence[object]) -> object:
        twin = _new_tuple(kind, inside[: len(fields)])
        attributes(twin).update(zip(names, inside[len(fields) :]))  # noqa: B905 - as long as each other
        return twin

    def compare(a: object, b: object, _: object) -> Pairs:
        same = list(attributes(a)) == list(attributes(b))
        return zip(parts(a), parts(b)) if same else None  # noqa: B905 - as long as each other

    return Frozen(
        NAMED_TUPLE,
        parts=parts,
        remake=lambda value, copies: build(attributes(value), copies),
        compare=compare,
        apart=lambda value: ([name_of(kind), list(fields), list(attributes(value))], parts(value)),
        make=lambda head, inside: build(head[2], inside),
    )
