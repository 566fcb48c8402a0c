"""Stand-ins: scripted paths, and an observer that keeps everything."""

from __future__ import annotations

import math
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast, final

import trio

from trio_steps._core.checks import check_seconds
from trio_steps._core.errors import ConfigError, short_repr

if TYPE_CHECKING:
    from trio_steps._core.events.records import Event

EventT = TypeVar("EventT", bound="Event")


@final
class Never(Enum):
    """The type of `FakeStep.NEVER`, the result of a path that never ends by itself."""

    NEVER = "never"


@final
class FakeStep:
    """A path that waits, then returns a value or raises an exception, and counts what happens to it.

    Attributes:
      delay: seconds until it ends.
      result: what it returns, or raises if it is an exception. With `FakeStep.NEVER` it never ends by itself.
      started: how many times it was called.
      cancelled: how many of these calls were cancelled.
      finished: how many of them reached the result.
      inputs: the inputs of these calls.
    """

    NEVER: Final = Never.NEVER

    def __init__(self, delay: float, result: object, *, id: str = "fake") -> None:
        check_seconds("the delay of a FakeStep", delay)
        self.__name__ = id
        self.delay = delay
        self.result = result
        self.started: int = 0
        self.cancelled: int = 0
        self.finished: int = 0
        self.inputs: list[tuple[object, ...]] = []

    @classmethod
    def rows(cls, *rows: tuple[float, object]) -> list[FakeStep]:
        """Return a path for every row of (delay, result), with the ids ``fake-0``, ``fake-1``, ….

        Raises:
          ConfigError: a row is not a number of seconds and a result.
        """
        for row in rows:
            if not isinstance(cast("object", row), tuple) or len(row) != 2:
                raise ConfigError(f'FakeStep.rows({short_repr(row)}): give a delay and a result, (0.5, "page")')
        return [cls(delay, result, id=f"fake-{index}") for index, (delay, result) in enumerate(rows)]

    async def __call__(self, *input: object) -> Any:
        """Wait, then return or raise the result."""
        self.started += 1
        self.inputs.append(input)
        try:
            await trio.sleep(math.inf if self.result is Never.NEVER else self.delay)
        except trio.Cancelled:
            self.cancelled += 1
            raise
        self.finished += 1
        if isinstance(self.result, BaseException):
            raise self.result
        return self.result

    def __repr__(self) -> str:
        return f"<fake step {self.__name__!r}: {self.result!r} after {self.delay:g} s>"


@final
class RecordingObserver:
    """An observer that keeps every event, in order.

    Attributes:
      events: the events so far.
    """

    def __init__(self) -> None:
        self.events: list[Event] = []

    def __call__(self, event: Event) -> None:
        """Keep `event`."""
        self.events.append(event)

    def of(self, kind: type[EventT]) -> list[EventT]:
        """Return the events of one kind."""
        return [event for event in self.events if isinstance(event, kind)]

    def names(self, kind: type[Event]) -> list[str]:
        """Return the name of the step of each event of `kind`."""
        return [event.name for event in self.of(kind)]
