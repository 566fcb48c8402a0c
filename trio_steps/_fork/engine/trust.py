"""Which functions are trusted to close the cancel scopes that they open; see `fence`.

They are told apart by identity. Two code objects are equal if they do the same, and to find that out, Python goes
through all of the code: for a long function that takes more than everything else about its path.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Final
from weakref import ref

from trio_steps._core.describe import RUNS
from trio_steps._core.entry import StepEntry
from trio_steps._core.function import Guarded

if TYPE_CHECKING:
    from collections.abc import Generator

    from trio_steps._fork.paths import Call

_DEEPEST: Final = 100
"""How many wrappers a function may have."""

_trusted: Final[dict[int, ref[object]]] = {}  # by id; the reference tells whether that is still the same object


def trust(code: object) -> None:
    """Trust `code`, which has run in a fence and left nothing open."""
    key, known = id(code), _trusted
    known[key] = ref(code, lambda _: known.pop(key, None))


def is_trusted(code: object) -> bool:
    """Tell whether `code` has run in a fence and left nothing open."""
    known = _trusted.get(id(code))
    return known is not None and known() is code


@contextmanager
def afresh() -> Generator[None]:
    """Trust nothing at first, as in a new process, and forget at the end what has been trusted inside.

    A path that is not trusted runs in another way. So runs that are compared must begin with the same trust.
    """
    before = dict(_trusted)
    _trusted.clear()
    try:
        yield
    finally:
        _trusted.clear()
        _trusted.update((key, known) for key, known in before.items() if known() is not None)


def code_of(call: Call) -> object:
    """Return what can be trusted: the code that runs, or if it can't be seen, the type of the callable.

    A decorator has one code for all functions that it wraps. So what it wraps is what is trusted.

    None is never trusted. It stands for the steps of a pipeline, beside which a fence costs little.
    """
    for _ in range(_DEEPEST):
        if isinstance(call, FunctionType):
            inside = call.__dict__
            if RUNS in inside:
                if inside[RUNS] is None:
                    return None
                call = inside[RUNS]
            elif callable(inside.get("__wrapped__")):
                call = inside["__wrapped__"]
            else:
                return call.__code__
        elif isinstance(call, partial):
            call = call.func
        elif isinstance(call, Guarded):
            call = call.call
        elif isinstance(call, StepEntry):
            return call.trusted_as
        else:
            code: object = getattr(call, "__code__", None)  # a method has the code of its function
            return code if isinstance(code, CodeType) else type(call)
    return None  # it wraps itself


def stand_for(path: Call, call: Call | None) -> Call:
    """Return `path`, a function of one argument of ours, after noting what it runs: `call`, or steps if that is None.

    It is trusted as `call` is.
    """
    setattr(path, RUNS, call)
    return path
