"""Enums and exceptions: values whose class is found again by its name.

The text that they are read from may be hostile. So no code of the class is run: a member of an enum is looked up, and
an exception is built by the builtin class that it derives from.
"""

from __future__ import annotations

import builtins
from enum import Enum, EnumMeta, Flag
from typing import TYPE_CHECKING, Any, Final, cast

from trio_steps._core.results import ForkPartialError

from .described import described
from .equality import equal
from .form import ProblemError, class_of, items
from .names import class_named, filled_slots, name_of, namespace, slots_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import MemberDescriptorType

    from .form import JSON


def _members(kind: type[Any]) -> Mapping[str, object]:
    return cast("Mapping[str, object]", namespace(kind)["_member_map_"])


def enum_apart(value: Any) -> tuple[JSON, Sequence[object]]:
    kind = class_of(value)
    name = value._name_  # `name` can be a member
    if name in _members(kind):
        return name_of(kind), (name,)
    bits = value._value_
    if not _combines(kind) or type(bits) is not int:
        raise ProblemError(f"{described(value)} is not a member with a name")
    return name_of(kind), (bits,)


def enum_make(head: JSON, parts: list[Any]) -> object:
    kind, (part,) = class_named(head), parts
    if type(part) is not int:
        return _members(kind)[part]
    if not _combines(kind):
        raise ProblemError(f"{kind.__qualname__} does not combine flags as Python does")
    made = Enum.__new__(kind, part)
    if class_of(made) is not kind:  # it ejects what has no flag
        raise ProblemError(f"{part} is no combination of flags of {kind.__qualname__}")
    return cast("object", made)


def _combines(kind: type[Any]) -> bool:
    """Tell whether `kind` is of flags, which the code of Python's own classes combines."""
    if type(kind) is not EnumMeta or not issubclass(kind, Flag):
        return False
    if namespace(kind)["_member_type_"] not in (object, int):
        return False
    spaces = [namespace(owner) for owner in kind.__mro__[: kind.__mro__.index(Flag)]]
    return not any(name in space for space in spaces for name in ("_missing_", "__new_member__"))


# Exceptions

# The builtin classes that build exceptions, which run no user code. By id, for the same reason as in `kinds`.
_BUILDERS: Final = {
    id(kind) for kind in vars(builtins).values() if isinstance(kind, type) and issubclass(kind, Exception)
}

_instance_dict: Final[Callable[[object], dict[str, object]]] = vars(BaseException)["__dict__"].__get__
_set_args: Final[Callable[[object, object], None]] = vars(BaseException)["args"].__set__


def _slots(kind: type[Any]) -> dict[str, MemberDescriptorType]:
    slots = {name: member for name, member in slots_of(kind).items() if not name.startswith("__")}
    # The object that an AttributeError is about is only there for suggestions, and can be anything.
    if issubclass(kind, AttributeError):
        slots.pop("obj")
    slots.pop("discard_values", None)  # a fork leaves it in its error, for this process only
    return slots


def _state(error: Exception) -> dict[str, object]:
    state = filled_slots(_slots(type(error)), error)
    state.update(_instance_dict(error))
    if isinstance(error, ForkPartialError):
        state["failed"] = tuple(error.failed)
    return state


def _build(kind: type[Exception], args: Sequence[object]) -> Exception:
    """Build an exception as the nearest builtin class does, without the code of `kind`."""
    for owner in kind.__mro__:
        # These run without a call: when the exception is released, or is the key of a dict.
        if owner is not object and ("__del__" in namespace(owner) or namespace(owner).get("__hash__") is not None):
            raise ProblemError(f"{kind.__qualname__} defines __del__ or __hash__")
    builder: Any = next((owner for owner in kind.__mro__ if id(owner) in _BUILDERS), None)
    if builder is None:
        raise ProblemError(f"{kind.__qualname__} is not an Exception")
    error = builder.__new__(kind, *args)
    builder.__init__(error, *args)
    return cast("Exception", error)


def error_apart(error: Exception) -> tuple[JSON, Sequence[object]]:
    kind = type(error)
    name = name_of(kind)
    args: tuple[object, ...] = error.args
    is_list = False
    if isinstance(error, BaseExceptionGroup):  # its args may hold the list that it was made from
        group = cast("BaseExceptionGroup[Any]", error)
        match args:
            case (_, errors):
                is_list = type(errors) is list
            case _:  # its class has made other args
                pass
        args = (group.message, group.exceptions)
    try:
        twin = _build(kind, args)
    except ProblemError:
        raise
    except Exception as problem:
        raise ProblemError(f"{described(error)} can't be rebuilt from its args") from problem
    if is_list:
        _set_args(twin, (args[0], list(cast("tuple[object, ...]", args[1]))))
    state, plain = _state(error), _state(twin)
    if type(twin) is not kind or not equal(twin.args, error.args) or not plain.keys() <= state.keys():
        raise ProblemError(f"{described(error)} is not the same when rebuilt from its args")
    changed = {name: value for name, value in state.items() if name not in plain or not equal(value, plain[name])}
    return [name, len(args), is_list], [*args, *items(changed)]


def error_make(head: JSON, parts: list[Any]) -> object:
    name, count, is_list = head
    kind = class_named(name)
    error = _build(kind, parts[:count])
    if is_list:
        _set_args(error, (parts[0], list(parts[1])))
    slots = _slots(kind)
    for name, value in zip(parts[count::2], parts[count + 1 :: 2]):  # noqa: B905 - the text may be damaged
        if name in slots:
            slots[name].__set__(error, value)
        else:
            _instance_dict(error)[name] = value
    return error
