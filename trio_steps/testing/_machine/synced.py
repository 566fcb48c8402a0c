"""The objects with which the tasks of a program synchronise: names for events, locks and channels, and their fates.

Objects of a kind get letters in the order in which they are made: Event A, Event B, …. That order is the same
whenever the run is the same, and a letter is easier to remember than an address.
"""

from __future__ import annotations

import weakref
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, final

import trio

from trio_steps.testing._patches import patched
from trio_steps.testing._places import Place, place_of_caller

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

_KINDS: Final[tuple[Any, ...]] = (
    trio.Event,
    trio.Lock,
    trio.StrictFIFOLock,
    trio.Semaphore,
    trio.CapacityLimiter,
    trio.Condition,
    trio.MemorySendChannel,
    trio.MemoryReceiveChannel,
)
_MOST: Final = 10  # events that are listed although no task waits for them


@final
class Made:
    """An object with which tasks synchronise.

    Attributes:
      name: its kind and its letter.
      was: where it was made, or that it is older than the program.
      set_by: for an event, the task that first set it, and the line.
    """

    __slots__ = ("_object", "is_event", "name", "set_by", "was")

    def __init__(self, item: object, name: str, was: str) -> None:
        self.name = name
        self.was = was
        self.is_event = isinstance(item, trio.Event)
        self.set_by: str | None = None
        self._object = weakref.ref(item)

    def is_of(self, item: object) -> bool:
        """Tell whether this is about `item`, and not about a dead object that had the same address."""
        return self._object() is item

    def __str__(self) -> str:
        told = f"{self.name} was {self.was}"
        if self.is_event:
            told += ", and never set" if self.set_by is None else f", and set by {self.set_by}"
        return told


@final
class Synced:
    """All such objects, in one run whose log is kept."""

    def __init__(self, teller: Callable[[], str | None]) -> None:
        self._teller = teller  # returns the label of the running task, if it is the program's
        self._made: dict[int, Made] = {}
        self._all: list[Made] = []
        self._counts: dict[str, int] = {}

    @contextmanager
    def watching(self) -> Generator[None]:
        """Name the objects that are made in the block, and note which task sets an event."""
        with patched(
            [*((kind, "__init__", self._making(kind)) for kind in _KINDS), (trio.Event, "set", self._setting())]
        ):
            yield

    def _making(self, kind: Any) -> Callable[..., None]:
        original: Any = kind.__init__

        def init(item: Any, *args: Any, **kwargs: Any) -> None:
            original(item, *args, **kwargs)
            who = self._teller()
            if who is not None:
                self._add(item, f"made at {_told(place_of_caller())} by task {who}")

        return init

    def _setting(self) -> Callable[[trio.Event], None]:
        original = trio.Event.set

        def set(event: trio.Event) -> None:
            who = self._teller()
            if who is not None and not event.is_set():
                self.of(event).set_by = f"task {who} at {_told(place_of_caller())}"
            original(event)

        return set

    def _knows(self, item: object) -> bool:
        known = self._made.get(id(item))
        return known is not None and known.is_of(item)

    def _add(self, item: object, was: str) -> Made:
        kind = type(item).__name__
        count = self._counts[kind] = self._counts.get(kind, 0) + 1
        made = Made(item, f"{kind} {_letter(count)}", was)
        self._made[id(item)] = made
        self._all.append(made)
        return made

    def of(self, item: object) -> Made:
        """Return what is known about `item`. If nothing is, it is older than the program."""
        return self._made[id(item)] if self._knows(item) else self._add(item, "made before the program")

    def name(self, item: object) -> str | None:
        """Return the name of `item`, if its kind has names."""
        return self.of(item).name if isinstance(item, _KINDS) else None

    def lines(self, text: str) -> list[str]:
        """Return a line for each object that is named in `text`; if one is an event, for other events too."""
        named = [made for made in self._all if made.name in text]
        if any(made.is_event for made in named):
            events = [made for made in self._all if made.is_event and made not in named]
            named += events[-_MOST:]
        return [str(made) for made in named]


@final
class Wakes(trio.abc.Instrument):
    """Calls `tell` with every task that is woken. A separate instrument, because it costs time in every step."""

    def __init__(self, tell: Callable[[trio.lowlevel.Task], None]) -> None:
        self._tell = tell

    def task_scheduled(self, task: trio.lowlevel.Task) -> None:
        """Called by Trio when `task` can run."""
        self._tell(task)


def _told(place: Place | None) -> str:
    return "an unknown line" if place is None else str(place)


def _letter(count: int) -> str:
    letters = ""
    while count:
        count, digit = divmod(count - 1, 26)
        letters = chr(ord("A") + digit) + letters
    return letters
