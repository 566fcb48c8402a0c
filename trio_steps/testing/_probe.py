"""The argument of a program under test: it has resources to account for, invariants, and locks to watch."""

from __future__ import annotations

import inspect
from contextlib import contextmanager
from functools import partial, wraps
from types import FunctionType
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, cast, final, overload
from weakref import WeakKeyDictionary

import attrs
import trio

from ._compare import contents
from ._findings import Finding
from ._locks import State, Watchable, check, is_lock, state_of, untaken
from ._patches import patched
from ._places import Place, numberless, place_of_caller, place_of_error, short_name

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from types import TracebackType
    from typing import Self

ThingT = TypeVar("ThingT")
LockT = TypeVar("LockT", bound=Watchable)
_LARGEST: Final = 200_000  # objects that are visited in the value of a program

CheckT = TypeVar("CheckT", bound="Callable[[], object]")


@final
class Resource(trio.abc.AsyncResource, Generic[ThingT]):
    """Something that has to be closed exactly once, unless the program returns it. Made by `Probe.resource`.

    Attributes:
      name: its name in reports.
      thing: the object that it stands for, or None.
      closed: whether it has been closed.
    """

    def __init__(self, name: str, thing: ThingT) -> None:
        self.name = name
        self.thing = thing
        self._opened_by, self._opened_at = _who(), place_of_caller()
        self._closed_at: list[Place | None] = []

    @property
    def closed(self) -> bool:
        """Whether it has been closed."""
        return bool(self._closed_at)

    def close(self) -> None:
        """Close it."""
        self._closed_at.append(place_of_caller())

    async def aclose(self) -> None:
        """Close it, then execute a checkpoint. It is closed even if the checkpoint is cancelled."""
        self.close()
        await trio.lowlevel.checkpoint()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<resource {self.name!r}, {'closed' if self.closed else 'open'}>"

    def check(self) -> Iterator[Finding]:
        """Yield the findings about it, if the program has not returned it."""
        if not self._closed_at:
            yield Finding(
                invariant="resource",
                message=f"{self.name!r}, opened by {self._opened_by}, was neither closed nor returned",
                place=self._opened_at,
                what=f"{numberless(self.name)} open",
            )
        elif len(self._closed_at) > 1:
            places = " and ".join(str(place) for place in self._closed_at)
            yield Finding(
                invariant="resource",
                message=f"{self.name!r} was closed {len(self._closed_at)} times: at {places}",
                place=self._closed_at[-1],
                what=f"{numberless(self.name)} closed again",
            )


@attrs.frozen
class _Watched:
    lock: Watchable
    start: State
    place: Place | None = None
    exactly: bool = True


@final
class Probe:
    """The argument of a program under test, new for each run."""

    def __init__(self) -> None:
        self._resources: list[Resource[Any]] = []
        self._invariants: list[tuple[str, Callable[[], object], Place | None]] = []
        self._watched: dict[int, _Watched] = {}
        self._initial: WeakKeyDictionary[trio.Semaphore, int] = WeakKeyDictionary()
        self.findings: list[Finding] = []

    @overload
    def resource(self, name: str) -> Resource[None]: ...
    @overload
    def resource(self, name: str, thing: ThingT) -> Resource[ThingT]: ...
    def resource(self, name: str, thing: Any = None) -> Resource[Any]:
        """Return a resource that must be closed exactly once, or be part of the value that the program returns.

        ``async with``, ``with``, ``aclose()`` and ``close()`` close it. It is a ``Resource[None]``, or a
        `Resource` of the type of `thing`.

        Args:
          name: its name in reports.
          thing: kept as ``.thing``, for programs that need more than a name.
        """
        resource = Resource(name, thing)
        self._resources.append(resource)
        return resource

    def kept(self) -> tuple[object, ...]:
        """Return everything that it keeps for the end of the program."""
        return self._resources, self._invariants, self._watched, self.findings

    def invariant(self, check: CheckT, /) -> CheckT:
        """Call `check` when the program has ended, in whatever way. This can be used as a decorator.

        The invariant is broken if `check` returns False or raises an `Exception`.
        """
        name = short_name(getattr(check, "__qualname__", repr(check)))
        place = place_of_caller() if name == "<lambda>" else None  # the name alone does not identify it
        self._invariants.append((name, check, place))
        return check

    def watch(self, lock: LockT) -> LockT:
        """Check at the end that `lock` is in the same state as now, and that no task waits for it. Return it.

        Limiters, locks, conditions, and semaphores with a ``max_value`` are watched without this call if they are local
        variables of the program's own function when it ends, or variables that it uses from around it. This holds for
        Trio's and for anyio's.

        Raises:
          ConfigError: `lock` is not a lock, limiter, semaphore or condition.
        """
        self._watched.setdefault(id(lock), _Watched(lock, state_of(lock), place_of_caller()))
        return lock

    def started(self, program: object) -> None:
        """Look for locks that `program` shares with other runs."""
        function: object = program
        found: list[object] = []
        while isinstance(function, partial):
            found += [*function.args, *function.keywords.values()]
            function = cast("object", function.func)
        if isinstance(function, FunctionType):
            around = inspect.getclosurevars(function)
            found += [*around.nonlocals.values(), *around.globals.values()]
        for item in found:
            if is_lock(item):
                self._watched.setdefault(id(item), _Watched(item, state_of(item)))

    @contextmanager
    def counting(self) -> Generator[None]:
        """Remember the first value of each semaphore that is made in the block."""
        original: Any = trio.Semaphore.__init__

        @wraps(original)
        def init(semaphore: trio.Semaphore, initial_value: int, **options: Any) -> None:
            original(semaphore, initial_value, **options)
            self._initial[semaphore] = initial_value

        with patched([(trio.Semaphore, "__init__", init)]):
            yield

    def ended(self, variables: dict[str, Any], value: object) -> None:
        """Check everything, given the local variables of the program and the `value` that it returned."""
        for item in variables.values():
            if is_lock(item) and id(item) not in self._watched:
                # nothing is known about its start, except that no task held it
                initial = self._initial.get(item) if isinstance(item, trio.Semaphore) else None
                start = untaken(item, initial)
                if start is not None:
                    self._watched[id(item)] = _Watched(item, start, exactly=False)
        found: list[tuple[object, Finding]] = []
        for resource in self._resources:
            if resource.closed:
                self.findings += resource.check()
            else:
                found += ((resource, finding) for finding in resource.check())
        for watched in self._watched.values():
            finding = check(watched.lock, watched.start, watched.place, exactly=watched.exactly)
            if finding is not None:
                found.append((watched.lock, finding))
        owned = self._owned_by(value, {id(item) for item, _ in found})
        self.findings += (finding for item, finding in found if id(item) not in owned)
        for name, condition, place in self._invariants:
            self._check_invariant(name, condition, place)

    def _owned_by(self, value: object, wanted: set[int]) -> set[int]:
        """Return which of the `wanted` ids are in `value`: these objects belong to the caller of the program."""
        owned: set[int] = set()
        for item in contents(value, but=self, most=_LARGEST) if wanted else ():
            if id(item) in wanted:
                owned.add(id(item))
                if owned == wanted:
                    break
        return owned

    def _check_invariant(self, name: str, check: Callable[[], object], place: Place | None) -> None:
        try:
            answer = check()
        except Exception as error:  # noqa: BLE001 - an assert, as a rule
            text = str(error) or type(error).__name__
            place = place_of_error(error)
            self.findings.append(
                Finding(invariant="invariant", message=f"{name}: {text}", place=place, error=error, what=name)
            )
        else:
            if answer is False:
                self.findings.append(Finding(invariant="invariant", message=f"{name} does not hold", place=place))


def _who() -> str:
    try:
        return f"task {short_name(trio.lowlevel.current_task().name)}"
    except RuntimeError:
        return "no task"
