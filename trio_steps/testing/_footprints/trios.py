"""What is known about Trio: its objects, and what a call of one of its functions touches.

Trio's functions can reach everything, because they can reach the loop. So this module lists those that affect other
tasks only through the object that they are called on. About all others nothing is known: they can cancel, or show tasks
to each other.
"""

from __future__ import annotations

import inspect
import os
from pathlib import Path
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any, Final, cast

import trio

from .kinds import Kind

if TYPE_CHECKING:
    from collections.abc import Callable

_FOLDER: Final = str(Path(inspect.getfile(trio)).parent) + os.sep
_SYNC: Final[tuple[Any, ...]] = (
    *(trio.Event, trio.Lock, trio.StrictFIFOLock, trio.Semaphore, trio.CapacityLimiter, trio.Condition),
    *(trio.MemorySendChannel, trio.MemoryReceiveChannel, trio.lowlevel.ParkingLot),
)
_MANAGER: Final[Any] = type(trio.open_nursery(strict_exception_groups=True))


def _type_of_trap() -> type:
    waiting = trio.lowlevel.wait_task_rescheduled(lambda _: trio.lowlevel.Abort.FAILED)  # noqa: ASYNC105
    trap: object = waiting.send(None)
    waiting.close()
    return type(trap)


_CLOSED: Final = (trio.Nursery, _MANAGER, _type_of_trap())
_FUNCTIONS: Final[tuple[Callable[..., Any], ...]] = (
    *(trio.lowlevel.checkpoint, trio.lowlevel.checkpoint_if_cancelled, trio.lowlevel.cancel_shielded_checkpoint),
    *(trio.sleep, trio.sleep_until, trio.sleep_forever, trio.current_time, trio.open_nursery),
    *(trio.move_on_after, trio.move_on_at, trio.fail_after, trio.fail_at),
)
_SHOWS_TASKS: Final = "statistics"
_OF_SCOPES: Final = ("__init__", "__attrs_post_init__", "__enter__", "__exit__")


def _code(value: object) -> CodeType | None:
    """Return the code that runs when a function, a property, or a decorated one is used."""
    inner: object = getattr(value, "fget", None) or getattr(value, "__func__", None) or value
    return inner.__code__ if isinstance(inner, FunctionType) else None


def _codes_of(kind: type) -> dict[str, CodeType]:
    members = {name: value for base in reversed(kind.__mro__) for name, value in vars(base).items()}
    return {name: code for name, value in members.items() if (code := _code(value)) is not None}


def holds(task: trio.lowlevel.Task, item: object) -> bool:
    """Tell whether `item` is a lock that `task` holds: when a task ends, a lock that it holds is broken."""
    return isinstance(item, (trio.Lock, trio.StrictFIFOLock)) and item.statistics().owner is task


STARTS: Final[CodeType] = trio.Nursery.start_soon.__code__
"""Starts a task in the nursery that it is called on."""

CLOSES: Final[CodeType] = _MANAGER.__aexit__.__code__
"""Waits for the tasks of a nursery of the task that calls it."""


def _harmless() -> frozenset[CodeType]:
    opener: Any = trio.open_memory_channel  # a class, or in older Trio an object that wraps a function
    functions = (*_FUNCTIONS, opener)
    codes = {_code(function) for function in functions} | {_code(inspect.unwrap(function)) for function in functions}
    for kind in (*_SYNC, opener if isinstance(opener, type) else type(opener)):
        codes |= {code for name, code in _codes_of(cast("type", kind)).items() if name != _SHOWS_TASKS}
    of_scopes = _codes_of(trio.CancelScope)
    codes |= {of_scopes[name] for name in _OF_SCOPES if name in of_scopes}
    codes |= {*_codes_of(_MANAGER).values(), _codes_of(trio.Nursery)["__del__"], STARTS}
    return frozenset(code for code in codes if code is not None)


HARMLESS: Final = _harmless()
"""Functions that touch nothing of other tasks but their arguments and the object that they are called on."""


def is_of_trio(code: CodeType) -> bool:
    """Tell whether a function is one of Trio's."""
    file = code.co_filename
    return file.startswith(_FOLDER) or (file.startswith("<attrs generated") and " trio." in file)


def kind_of_trio(kind: type) -> Kind | None:
    """Return the kind of objects of one of Trio's types; None for other types, and for ordinary ones."""
    if kind.__module__.partition(".")[0] != "trio" or issubclass(kind, (BaseException, type)):
        return None
    if kind is trio.lowlevel.Task:
        return Kind.TASK
    if kind is trio.CancelScope:
        return Kind.SCOPE
    if kind in _SYNC:
        return Kind.SYNC
    return Kind.LEAF if kind in _CLOSED else Kind.UNKNOWN
