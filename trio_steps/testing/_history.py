"""Histories: the calls of several tasks and their results, and whether any order of the calls explains the results.

A history is linearizable if every call can be placed at one moment between its start and its end, so that a sequential
model, called in that order, returns the same results. All orders are searched, depth first. An order that leads to a
state of the model that was seen before is not followed again (Wing and Gong, with Lowe's memoization).
"""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, final

import attrs
import trio

from ._compare import same, show

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

End: TypeAlias = Literal["returned", "raised", "cancelled", "stuck"]

_LEAST: Final = 8  # characters in a column of the table


@final
@attrs.define(eq=False)
class Call:
    """One call of one task.

    Attributes:
      task: the number of the task.
      name: the name of the method.
      arguments: its arguments.
      start: the index of its start among the events of the history.
      end: the index of its end; infinite while the call is under way.
      how: it returned, raised, was cancelled, or was stuck because no task was left that could have let it continue.
      result: what it returned or raised.
    """

    task: int
    name: str
    arguments: tuple[object, ...]
    start: int
    end: float = math.inf
    how: End = "cancelled"
    result: Any = None

    def __str__(self) -> str:
        return f"{self.name}({', '.join(map(show, self.arguments))})"

    @property
    def outcome(self) -> str:
        """The outcome, in words."""
        if self.how == "returned":
            return f"→ {show(self.result)}"
        return f"→ raised {show(self.result)}" if self.how == "raised" else f"→ {self.how}"


@final
class History:
    """The calls of several tasks, in the order of their starts and ends."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self._events: list[Call] = []

    def start(self, task: int, name: str, arguments: tuple[object, ...]) -> Call:
        """Record the start of a call."""
        call = Call(task, name, arguments, len(self._events))
        self.calls.append(call)
        self._events.append(call)
        return call

    def end(self, call: Call, how: End, result: Any = None) -> None:
        """Record how a call ended."""
        call.how, call.result, call.end = how, result, len(self._events)
        self._events.append(call)

    def explained(self, model: Callable[[], Any]) -> bool:
        """Tell whether any order of the calls explains their results."""
        return self._search(model(), frozenset(range(len(self.calls))), set())

    def _search(self, model: Any, left: frozenset[int], seen: set[tuple[frozenset[int], str]]) -> bool:
        """Tell whether some order of the calls that are `left` explains their results, starting from `model`."""
        state = repr(getattr(model, "__dict__", model))
        if " at 0x" not in state:  # otherwise the repr does not show the state
            if (left, state) in seen:
                return False
            seen.add((left, state))
        certain = [self.calls[index] for index in left if self.calls[index].how in ("returned", "raised")]
        if not certain and all(self._waits(model, self.calls[index]) for index in left):
            return True
        first_end = min((call.end for call in certain), default=math.inf)
        for index in left:
            call = self.calls[index]
            if call.start > first_end:
                continue  # another call had ended before this one started
            late = {index, *(other for other in left if self.calls[other].end < call.start)}  # too late to happen
            for after in _applied(model, call):
                if self._search(after, left - late, seen):
                    return True
        return False

    def _waits(self, model: Any, call: Call) -> bool:
        """Tell whether `call` may have had no effect: it was cancelled, or it had to wait."""
        if call.how == "cancelled":
            return True
        return not any(True for _ in _tried(model, call))

    def table(self) -> str:
        """Return the history as a table: a column for each task, a row for each start and end."""
        tasks = sorted({call.task for call in self.calls})
        rows = [[f"task {task}" for task in tasks]]
        started: set[int] = set()
        for call in self._events:
            row = [""] * len(tasks)
            row[tasks.index(call.task)] = call.outcome if id(call) in started else str(call)
            started.add(id(call))
            rows.append(row)
        widths = [max(_LEAST, *(len(row[column]) for row in rows)) for column in range(len(tasks))]
        return "\n".join(
            "  " + "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        )


def _applied(model: Any, call: Call) -> Iterator[Any]:
    """Yield the model after `call`, if the result of the call is the same there."""
    for after, how, result in _tried(model, call):
        if call.how == "cancelled":
            yield after  # whatever it would have returned
        elif how == call.how and (same(result, call.result) if how == "returned" else _alike(result, call.result)):
            yield after


def _tried(model: Any, call: Call) -> Iterator[tuple[Any, End, Any]]:
    """Call a copy of `model`, and yield it with the outcome; yield nothing if the call would have to wait."""
    after = copy.deepcopy(model)
    if hasattr(after, "task"):
        after.task = call.task
    try:
        result = getattr(after, call.name)(*copy.deepcopy(call.arguments))
    except trio.WouldBlock:
        return
    except Exception as error:  # noqa: BLE001 - errors are results
        yield after, "raised", error
    else:
        yield after, "returned", result


def _alike(one: BaseException, other: BaseException) -> bool:
    return type(one) is type(other)
