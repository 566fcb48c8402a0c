"""Which functions are trusted to close the cancel scopes that they open; see `fence`."""

from __future__ import annotations

from functools import partial
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Final
from weakref import WeakSet

from trio_steps._core.function import Guarded

if TYPE_CHECKING:
    from trio_steps._fork.paths import Call

trusted: Final[WeakSet[object]] = WeakSet()
"""The code of functions that have run in a fence and left nothing open."""


def code_of(call: Call) -> object:
    """Return what can be trusted: the code that runs, or if it can't be seen, the type of the callable."""
    while not isinstance(call, FunctionType):
        if isinstance(call, partial):
            call = call.func
        elif isinstance(call, Guarded):
            call = call.call
        else:
            code: object = getattr(call, "__code__", None)  # a method has the code of its function
            return code if isinstance(code, CodeType) else type(call)
    return call.__code__
