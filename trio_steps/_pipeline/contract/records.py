"""Types that declare keys: a ``TypedDict``, an attrs class, a dataclass, a pydantic model, a msgspec struct.

Problem: such a type says three different things. The fields of an instance. The arguments of its constructor, which
    leave out ``init=False``, include an ``InitVar``, may have defaults, and have the types that converters accept. And
    the keys that a mapping needs to stand for an instance: those without a default.

What is deliberately not done: nothing is validated, and neither pydantic nor msgspec is imported. A program that has
such an instance, or class, has imported them.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import sys
from typing import TYPE_CHECKING, Any, Final, cast, final, get_origin

import attrs

from trio_steps._core.errors import StepInputError
from trio_steps._core.signatures import annotations_in, signature
from trio_steps._values.copying import copy_value

from .annotations import UNKNOWN, resolve, unqualified

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@final
@attrs.frozen
class Field:
    """A field of a record, or a key of a ``TypedDict``. It may be missing if it is not `required`."""

    type: object
    required: bool = True


@final
@attrs.frozen
class Argument:
    """The argument of a record's constructor for a key: its name, its type, and whether it is required."""

    name: str
    type: object
    required: bool


def is_typed_dict(kind: object) -> bool:
    """Tell whether `kind` is a ``TypedDict``, from whichever module."""
    return isinstance(kind, type) and dict in kind.__mro__ and hasattr(kind, "__required_keys__")


def field_names(kind: type[Any]) -> tuple[str, ...] | None:
    """Return the names of the fields of instances of `kind`; None if it declares none."""
    if attrs.has(kind):
        return tuple(field.name for field in attrs.fields(kind))
    if dataclasses.is_dataclass(kind):
        return tuple(field.name for field in dataclasses.fields(kind))
    if _is_model(kind):
        return tuple(kind.model_fields)
    return tuple(kind.__struct_fields__) if _is_struct(kind) else None


def fields_of(record: object) -> dict[str, Field] | None:
    """Return the fields of a type that declares keys; None if `record` is not such a type."""
    kind = get_origin(record) or record
    if not isinstance(kind, type):
        return None
    if is_typed_dict(kind):
        fields: dict[str, Field] = {}
        always: frozenset[str] = cast("Any", kind).__required_keys__
        for name, annotation in annotations_in(kind).items():
            hint, required = unqualified(resolve(annotation, kind))
            # the keys that Python itself finds required are wrong when the annotations are strings
            fields[name] = Field(hint, name in always if required is None else required)
        return fields
    names = field_names(kind)
    return None if names is None else {name: Field(_type_of(kind, name)) for name in names}


def arguments_of(kind: Any) -> dict[str, Argument]:
    """Return the arguments of the constructor of `kind`, by the keys that they take; `kind` is not a ``TypedDict``."""
    kind = get_origin(kind) or kind
    if _is_model(kind):  # pydantic coerces values, so the type of an argument is not known
        fields = kind.model_fields.items()
        return {name: Argument(_alias(field, name), UNKNOWN, field.is_required()) for name, field in fields}
    names = field_names(kind) or ()
    keys: dict[str, str] = {name: name for name in names}
    converted: set[str] = set()
    if attrs.has(kind):
        keys = {field.alias or field.name: field.name for field in attrs.fields(kind)}
        converted = {field.name for field in attrs.fields(kind) if field.converter is not None}
    found: dict[str, Argument] = {}
    for parameter in signature(kind).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        key = keys.get(parameter.name, parameter.name)
        found[key] = Argument(
            parameter.name,
            UNKNOWN if key in converted else _type_of(kind, key),
            parameter.default is parameter.empty,
        )
    return found


@final
@attrs.frozen(kw_only=True, eq=False)
class Inputs:
    """The declared input of a pipeline.

    Attributes:
      kind: the type.
      required: the keys that a mapping must have.
      defaults: for each key that it need not have, a function that makes the default.
      computed: the keys whose value only an instance has.
    """

    kind: Any
    required: tuple[str, ...]
    defaults: Mapping[str, Callable[[], object]]
    computed: tuple[str, ...]

    @staticmethod
    def of(inputs: object) -> Inputs | None:
        """Return what is known about `inputs`; None if it does not declare keys."""
        fields = fields_of(inputs)
        if fields is None:
            return None
        kind: Any = get_origin(inputs) or inputs
        if is_typed_dict(kind):
            required = tuple(name for name, field in fields.items() if field.required)
            return Inputs(kind=kind, required=required, defaults={}, computed=())
        arguments = arguments_of(kind)
        required = tuple(name for name in fields if name in arguments and arguments[name].required)
        defaults = _defaults_of(kind)
        computed = tuple(name for name in fields if name not in required and name not in defaults)
        return Inputs(kind=kind, required=required, defaults=defaults, computed=computed)

    def complete(self, given: dict[str, object], pipeline: str) -> dict[str, object]:
        """Return `given` with the defaults of missing keys.

        Raises:
          StepInputError: it lacks a key that has no default.
        """
        for key in self.required:
            if key not in given:
                raise StepInputError(pipeline, key, given, declared=True)
        for key, make in self.defaults.items():
            if key not in given:
                given[key] = make()
        missing = [key for key in self.computed if key not in given]
        if missing:
            arguments = arguments_of(self.kind).items()
            made = self.kind(**{argument.name: given[key] for key, argument in arguments if key in given})
            given.update({key: copy_value(getattr(made, key)) for key in missing if hasattr(made, key)})
        return given


def _defaults_of(kind: Any) -> dict[str, Callable[[], object]]:
    """Return, for each field whose default does not depend on other fields, the function that makes it."""
    found: dict[str, Callable[[], object]] = {}
    if attrs.has(kind):
        for attribute in attrs.fields(kind):
            default: Any = attribute.default
            if isinstance(default, _FACTORY):
                if not default.takes_self:
                    found[attribute.name] = default.factory
            elif default is not attrs.NOTHING:
                found[attribute.name] = functools.partial(copy_value, default)
    elif dataclasses.is_dataclass(kind):
        for field in dataclasses.fields(kind):
            if field.default_factory is not dataclasses.MISSING:
                found[field.name] = field.default_factory
            elif field.default is not dataclasses.MISSING:
                found[field.name] = functools.partial(copy_value, field.default)
    return found  # pydantic and msgspec have their own rules, so an instance is made


def _type_of(kind: type, name: str) -> object:
    for base in kind.__mro__:
        own = annotations_in(base)
        if name in own:
            hint = unqualified(resolve(own[name], base))[0]
            return cast("Any", hint).type if isinstance(hint, dataclasses.InitVar) else hint
    old = getattr(attrs.fields_dict(kind).get(name), "type", None) if attrs.has(kind) else None
    return unqualified(resolve(inspect.Parameter.empty if old is None else old, kind))[0]


_FACTORY: Final[Any] = attrs.Factory
_MODEL: Final = ("pydantic", "BaseModel")
_STRUCT: Final = ("msgspec", "Struct")


def _derives(kind: type, late: tuple[str, str]) -> bool:
    module, name = late
    base = getattr(sys.modules.get(module), name, None)
    return isinstance(base, type) and base in kind.__mro__


def _is_model(kind: Any) -> bool:
    return _derives(kind, _MODEL)


def _is_struct(kind: Any) -> bool:
    return _derives(kind, _STRUCT)


def _alias(field: Any, name: str) -> str:
    """Return the name of the argument for a field of a pydantic model."""
    alias = field.validation_alias if isinstance(field.validation_alias, str) else field.alias
    return alias or name
