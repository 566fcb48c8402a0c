"""Finds classes by their names, and the attributes of their instances, without running any of their code.

The text that contains the names may be hostile. So nothing is imported: a class is looked up in modules that are
already imported, and no code of a module or class is called.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from types import GetSetDescriptorType, MemberDescriptorType, ModuleType
from typing import TYPE_CHECKING, Any, Final, cast

from .described import described
from .form import ProblemError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_OWN: Final = "trio_steps"


def namespace(owner: object) -> Mapping[str, Any]:
    """Return the ``__dict__`` of a module or class without running its code: a lazy module would import itself."""
    for kind in (type, ModuleType):
        if issubclass(type(owner), kind):
            return cast("Mapping[str, Any]", cast("Any", kind).__getattribute__(owner, "__dict__"))
    raise ProblemError(f"{described(owner)} is neither a module nor a class")


def mro_of(kind: type[Any]) -> tuple[type[Any], ...]:
    """Return the method resolution order of `kind`, without asking its metaclass."""
    return cast("tuple[type[Any], ...]", type.__getattribute__(kind, "__mro__"))


def class_named(name: str) -> type[Any]:
    """Return the class called `name`, ``module:qualified.name``.

    Raises:
      ProblemError: its module is not imported, or has no such class.
    """
    module, _, path = name.partition(":")
    if module.startswith(f"{_OWN}._"):  # a private module: its class is public now, or may have moved
        return _own_class(name, path)
    found: object = sys.modules.get(module)
    if found is None:
        raise ProblemError(f"the class {name!r} can't be found: the module {module!r} is not imported")
    for part in path.split("."):
        found = namespace(found).get(part)
        if found is None or not issubclass(type(found), type):
            raise ProblemError(f"the class {name!r} can't be found: there is no class {part!r}")
    return cast("type[Any]", found)


def _own_class(name: str, path: str) -> type[Any]:
    """Return the class `path` of trio_steps, which text stored by its first edition puts into a private module."""
    for module in [module for module in sys.modules if module == _OWN or module.startswith(f"{_OWN}.")]:
        if "._" not in module:
            found = namespace(sys.modules[module]).get(path)
            if issubclass(type(found), type) and cast("type[Any]", found).__module__ == module:
                return cast("type[Any]", found)
    raise ProblemError(f"the class {name!r} can't be found: trio_steps has no public class {path!r}")


def name_of(kind: type[Any]) -> str:
    """Return the name by which `kind` is found again.

    Raises:
      ProblemError: `kind` can't be found by its name.
    """
    name = f"{kind.__module__}:{kind.__qualname__}"
    if "<locals>" in name or class_named(name) is not kind:
        raise ProblemError(f"the class {name!r} can't be found again by this name; define it at the top of a module")
    return name


def slots_of(kind: type[Any]) -> dict[str, MemberDescriptorType]:
    """Return the slots of instances of `kind`, defined in C or Python."""
    return {
        name: member
        for owner in reversed(mro_of(kind))
        for name, member in namespace(owner).items()
        if type(member) is MemberDescriptorType
    }


def dict_of(kind: type[Any]) -> Callable[[object], dict[str, object]] | None:
    """Return a function that gets the ``__dict__`` of instances of `kind`; None if they have none."""
    for owner in mro_of(kind):
        member = namespace(owner).get("__dict__")
        if type(member) is GetSetDescriptorType:
            return cast("Callable[[object], dict[str, object]]", member.__get__)
    return None


def filled_slots(slots: Mapping[str, MemberDescriptorType], value: object) -> dict[str, object]:
    """Return the values of `slots` in `value`, without empty ones."""
    state: dict[str, object] = {}
    for name, member in slots.items():
        with suppress(AttributeError):
            state[name] = member.__get__(value)
    return state
