"""Which functions are trusted to close the cancel scopes that they open; see `fence`.

They are told apart by identity. Two code objects are equal if they do the same, and to find that out, Python goes
through all of the code: for a long function that takes more than everything else about its path.
"""

from __future__ import annotations

from functools import partial
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Final
from weakref import ref

from trio_steps._core.function import Guarded

if TYPE_CHECKING:
    from trio_steps._fork.paths import Call

_trusted: Final[dict[int, ref[object]]] = {}  # by id; the reference tells whether that is still the same object


def trust(code: object) -> None:
    """Trust `code`, which has run in a fence and left nothing open."""
    key, known = id(code), _trusted
    known[key] = ref(code, lambda _: known.pop(key, None))


def is_trusted(code: object) -> bool:
    """Tell whether `code` has run in a fence and left nothing open."""
    known = _trusted.get(id(code))
    return known is not None and known() is code


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
