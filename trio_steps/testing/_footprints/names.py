"""The names of modules in the code of a function, and the values behind them."""

from __future__ import annotations

import builtins
import dis
import types
from typing import TYPE_CHECKING, Any, Final, TypeAlias, final

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import CodeType

Token: TypeAlias = tuple[int, str]
"""A name in a module."""

_BUILTINS: Final[Mapping[str, Any]] = vars(builtins)
_LOADS: Final = frozenset({"LOAD_GLOBAL", "LOAD_NAME"})
_STORES: Final = frozenset({"STORE_GLOBAL", "DELETE_GLOBAL"})
_ATTRIBUTES: Final = frozenset({"LOAD_ATTR", "LOAD_METHOD", "LOAD_SUPER_ATTR"})
_SETS: Final = frozenset({"STORE_ATTR", "DELETE_ATTR"})
_LOOKS_AROUND: Final = frozenset(
    {
        *("tb_frame", "f_locals", "f_back", "f_globals", "f_builtins", "gi_frame", "cr_frame", "ag_frame"),
        *("__globals__", "__builtins__", "__subclasses__", "__dict__", "modules"),
    }
)
"""Attributes that lead from an object to things that are not part of it."""


@final
class Names:
    """The names in one piece of code.

    Attributes:
      reason: why not everything that it can reach is known; None if it is.
    """

    def __init__(self, code: CodeType) -> None:
        self.reason: str | None = None
        self._loads: list[str] = []
        self._stores: list[str] = []
        self._attributes: list[str] = []
        self._sets: list[str] = []
        into = {
            **dict.fromkeys(_LOADS, self._loads),
            **dict.fromkeys(_STORES, self._stores),
            **dict.fromkeys(_ATTRIBUTES, self._attributes),
            **dict.fromkeys(_SETS, self._sets),
        }
        self._bare: set[str] = set()
        instructions = list(dis.get_instructions(code))
        for instruction, after in zip(instructions, [*instructions[1:], None], strict=True):
            name: object = instruction.argval
            if instruction.opname.startswith("IMPORT_"):
                self.reason = "an import"
            elif instruction.opname in into and isinstance(name, str):
                into[instruction.opname].append(name)
                if name in _LOOKS_AROUND:
                    self.reason = f".{name}"
                if after is None or after.opname not in _ATTRIBUTES | _SETS:
                    self._bare.add(name)

    def look_up(self, module: dict[str, Any]) -> tuple[list[Any], list[Token], list[Token]]:
        """Return the values behind the names, the names that are read to reach them, and those that are written.

        A module that is used for more than a name in it is a value itself.
        """
        values: list[Any] = []
        read: list[Token] = [(id(module), name) for name in self._loads]
        written: list[Token] = [(id(module), name) for name in self._stores]
        modules: list[dict[str, Any]] = []

        def add(name: str, value: Any) -> None:
            if isinstance(value, types.ModuleType) and name not in self._bare:
                if not any(vars(value) is known for known in modules):
                    modules.append(vars(value))
            else:
                values.append(value)

        for name in self._loads:
            if name in module:
                add(name, module[name])
            elif name in _BUILTINS:
                add(name, _BUILTINS[name])
        for inner in modules:  # grows, as modules of packages are met
            for name in self._attributes:
                if name in inner:
                    read.append((id(inner), name))
                    add(name, inner[name])
            written += [(id(inner), name) for name in self._sets if name in inner]
        return values, read, written
