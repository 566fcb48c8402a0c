"""The input of both the model and the engine, and what is seen of each: plain data."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from math import inf
from typing import Any, Literal

# What is run


@dataclass(frozen=True)
class CleanUp:
    """What a path does when it is cancelled: it works on, shielded, and then ends as `then` says."""

    seconds: float
    then: Literal["returns", "raises", "stops"]


@dataclass(frozen=True)
class Leaf:
    """A path that sleeps and then ends. Its value or error contains `key`, and no other does."""

    key: int
    seconds: float | None  # None: it ends without a checkpoint
    fails: bool = False
    shielded: bool = False  # it ignores a cancellation
    clean_up: CleanUp | None = None

    @property
    def name(self) -> str:
        """The name of its function; one without a checkpoint is a plain function."""
        return "now" if self.seconds is None else "leaf"


@dataclass(frozen=True)
class Around:
    """A path that sleeps, and then runs a fork and returns its result."""

    seconds: float | None
    fork: Fork

    name = "around"


@dataclass(frozen=True)
class Fork:
    """A fork. It can be in the `paths` of another one without a function around it."""

    name: str
    mode: Literal["race", "all", "settle", "quorum"]
    paths: tuple[PathSpec, ...]
    need: int = 0
    source: Literal["list", "function", "generator", "async"] = "list"
    source_fails: bool = False  # instead of ending
    source_seconds: tuple[float | None, ...] = ()  # before each item and the end; async only
    limit: int | Literal["shared"] | None = None
    stagger: float | None = None
    timeout: float | None = None
    dispose: Literal["sync", "slow", "fails"] | None = None

    @property
    def lazy(self) -> bool:
        """Whether paths are pulled one by one."""
        return self.source in ("generator", "async")

    @property
    def takes_first(self) -> bool:
        """Whether a path is taken before it has a token."""
        return self.source == "async" and self.limit == "shared"


PathSpec = Leaf | Around | Fork


@dataclass(frozen=True)
class Scenario:
    """A fork, the limiter that it shares with nested forks, and the scope around it."""

    fork: Fork
    tokens: int = 1  # of the limiter
    outer: Literal["move_on", "fail"] | None = None
    outer_seconds: float = inf
    dispose_seconds: float = 1.0  # for a slow ``dispose``


# What is seen

Plain = Any
"""A value or an error as nested tuples of strings, numbers and booleans."""

CANCELLED: Plain = ("cancelled",)


@dataclass
class Story:
    """Everything that can be seen of one run, except the order within one moment."""

    outcome: Plain = None
    time: float = inf
    starts: dict[str, float] = field(default_factory=dict)  # by name: when
    ends: dict[str, tuple[float, str]] = field(default_factory=dict)  # by name: when, and how
    pulls: dict[tuple[str, int], float] = field(default_factory=dict)  # by fork and index: when
    borrowed: list[tuple[float, int]] = field(default_factory=list)  # tokens, where time passes: since when, how many
    skipped: Counter[str] = field(default_factory=Counter)
    discarded: Counter[Plain] = field(default_factory=Counter)  # (name, value, given to dispose?)
    reported: Counter[Plain] = field(default_factory=Counter)  # (name, error)

    def note_borrowed(self, time: float, tokens: int) -> None:
        """Record that this many tokens are held while all tasks wait."""
        if self.borrowed and self.borrowed[-1][0] == time:
            self.borrowed.pop()
        if tokens != (self.borrowed[-1][1] if self.borrowed else 0):
            self.borrowed.append((time, tokens))


Key = tuple[Any, ...]
Seen = dict[Key, tuple[int, float]]
"""What happened in a run, with its position and its time."""


def ids_of(paths: tuple[PathSpec, ...]) -> list[str]:
    """Return the ids of `paths`: forks have their own, functions are numbered."""
    ids: list[str] = []
    counts: Counter[str] = Counter()
    for path in paths:
        counts[path.name] += 1
        number = counts[path.name]
        ids.append(path.name if number == 1 else f"{path.name}#{number}")
    return ids
