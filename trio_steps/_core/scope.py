"""The scope of a running step: its full name, its state, and what it lends to the steps inside it."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Final, final
from urllib.parse import quote

from .errors import ConfigError
from .public import public

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Protocol

    from .events.observers import Observers
    from .policy.limiter import Lease

    class Attempts(Protocol):
        """Keeps the number of a step's failed attempts, for a run that is resumed.

        Attributes:
          failed: how many attempts had failed before the run was resumed.
        """

        failed: int

        def check(self) -> None:
            """Raise if no other attempt may begin."""
            ...

        async def keep(self, number: int) -> None:
            """Record that attempt `number` failed and that another will follow."""
            ...


@final
class DurableRun:
    """A run that is kept in a store.

    Attributes:
      names: the beginning of each key: the first name of the pipeline, and the id of the run.
      run_id: the id of the run.
      oldest: maps the ids of a step to its first ids, from before any renaming.
    """

    def __init__(self, pipeline: str, run_id: str, oldest: Callable[[list[str]], list[str]]) -> None:
        self.names: tuple[str, str] = (pipeline, run_id)
        self.run_id = run_id
        self.oldest = oldest


@public
class Scope:
    """A step that is running, as `current_scope` shows it to the code of that step.

    Attributes:
      id: the step's id, unique among its siblings.
      parent: the scope it runs in, or None at the top.
      state: what ``run(state=…)`` was given, or None. Each path has its own deep copy.
    """

    # There is no __init__: calling it would be the most expensive part of a path. `scope_of` makes a scope. For the
    # same reason, an attribute that few scopes need is not set until it is needed.
    __slots__ = (
        "__weakref__",
        "attempt_number",
        "attempts",
        "discard_value",
        "durable_run",
        "element",
        "grow",
        "id",
        "lease",
        "observers",
        "open_probes",
        "parent",
        "state",
        "take_back",
        "unnamed_inside",
    )

    id: str
    parent: Scope | None
    state: dict[str, object] | None
    observers: Observers | None
    lease: Lease | None
    unnamed_inside: bool  # names of what runs inside it leave out its id
    attempt_number: int  # see `attempt`
    attempts: Attempts | None  # if failed attempts are kept; the step's outermost retry takes it
    open_probes: tuple[object, ...]  # see `probes`
    grow: Callable[[Callable[..., object]], None]  # of a growing fork: adds a path
    discard_value: Callable[[str, object], Awaitable[None]]  # of a fork: takes a value that a path drops
    durable_run: DurableRun  # of a run in a store
    element: str  # of an element of a mapping: its key, which stands in `key` for the id
    take_back: Callable[[], Awaitable[None]] | None  # of a step that is a fork: discards its result

    def __repr__(self) -> str:
        return f"<Scope of {self.name!r}>"

    @property
    def name(self) -> str:
        """The full name, made of the ids from the top down to this one, joined by ``/``."""
        scope = self.parent
        if scope is None:
            return self.id
        ids = [self.id]
        while scope is not None:
            if not scope.unnamed_inside:
                ids.append(scope.id)
            scope = scope.parent
        return "/".join(reversed(ids))

    @property
    def attempt(self) -> int:
        """The number of this attempt of the step, from 1. Only ``retry=`` makes it grow."""
        return getattr(self, "attempt_number", 1)

    def add(self, path: Callable[..., object], /) -> None:
        """Add `path` to the fork around this step, which must have ``growing=True``.

        The path runs under the same limits, and is called like any other path of the fork. It gets the next index, so
        its result comes after those of all paths so far. A free slot takes it before it asks the source for another
        path. It starts with the context variables of the fork's caller, so give it what it needs as an argument.

        Raises:
          ConfigError: the innermost fork around this step does not grow; or `path` can't be called; or there is a path
            with its id, and the results of the fork go by name.
          RuntimeError: the fork is decided or over.
        """
        scope: Scope | None = self
        while scope is not None and not isinstance(scope, PathScope):
            scope = scope.parent
        if scope is None or scope.parent is None:
            raise ConfigError(f"{self.name!r} does not run in a fork, so it has no fork to add a path to")
        grow = getattr(scope.parent, "grow", None)
        if grow is None:
            raise ConfigError(f"the fork {scope.parent.name!r} does not grow: make it with growing=True")
        grow(path)

    @property
    def run_id(self) -> str | None:
        """The id of the run in its store; None if it is not in a store."""
        scope = self._of_run()
        return None if scope is None else scope.durable_run.run_id

    @property
    def key(self) -> str:
        """A key for an ``Idempotency-Key`` header. All attempts at this step of this run have it, and nothing else has.

        It consists of the pipeline, the run id and the full name of the step, including the number of a round. An
        element of a sequence is in it with its number, and one of a mapping with its key, if all keys are strings or
        ints. The attempt is not part of it. A step that was renamed with ``was=`` keeps its key. The key is ASCII.

        Raises:
          RuntimeError: the run is not in a store, so the key would change from run to run.
        """
        run = self._of_run()
        if run is None:
            raise RuntimeError(
                f"current_scope().key in {self.name!r}: the run is not kept in a store, so the key would change "
                "each time; run it with store=… and run_id=…"
            )
        ids: list[str] = []
        elements: dict[int, str] = {}
        scope: Scope | None = self
        while scope is not None and scope is not run:
            ids.append(scope.id)
            if hasattr(scope, "element"):
                elements[-len(ids)] = scope.element
            scope = scope.parent
        names = run.durable_run.oldest(ids[::-1])
        for place, element in elements.items():
            names[place] = element
        return "/".join(quote(part, safe="") for part in (*run.durable_run.names, *names))

    def _of_run(self) -> Scope | None:
        """Return the scope of the innermost run around this step that is kept in a store."""
        scope: Scope | None = self
        while scope is not None and not hasattr(scope, "durable_run"):
            scope = scope.parent
        return scope

    @property
    def probes(self) -> tuple[object, ...]:
        """The probes of circuit breakers that this step is part of."""
        return getattr(self, "open_probes", ())


class PathScope(Scope):
    """The scope of a path, whose parent is the scope of its fork."""

    __slots__ = ()


@final
class Held:
    """What the worker of a fork under a limiter holds while it runs path after path.

    Attributes:
      lease: the token that it holds, or the lane that it is on; None in between.
      shown: the scope of the path that runs now has shown the lease, so that someone may be about to borrow it.
    """

    __slots__ = ("lease", "shown")

    def __init__(self) -> None:
        self.lease: Lease | None = None
        self.shown = False


@final
class HolderScope(PathScope):
    """The scope of a path whose worker holds a token. It shows the lease when it is first asked for.

    Most paths run nothing that could borrow a token. Then their worker need not end a lease for each of them.

    Attributes:
      held: what the worker holds, until the path has ended.
    """

    __slots__ = ("held",)

    held: Held | None

    def __getattr__(self, name: str) -> Lease | None:
        if name != "lease":
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}", name=name, obj=self)
        held = self.held
        if held is None or held.lease is None:  # the path has ended
            assert self.parent is not None
            self.lease = self.parent.lease
        else:
            held.shown = True
            self.lease = held.lease
        return self.lease


current: ContextVar[Scope | None] = ContextVar("trio_steps.current_scope", default=None)
set_current: Final = current.set  # looked up once: it is called for each path


def scope_of(
    id: str,
    parent: Scope | None,
    state: dict[str, object] | None,
    observers: Observers | None,
    lease: Lease | None,
    unnamed_inside: bool = False,
    kind: type[Scope] = Scope,
) -> Scope:
    """Make a scope."""
    scope = kind()
    scope.id = id
    scope.parent = parent
    scope.state = state
    scope.observers = observers
    scope.lease = lease
    scope.unnamed_inside = unnamed_inside
    return scope


@public
def current_scope() -> Scope:
    """Return the scope of the step that calls this.

    Raises:
      RuntimeError: no step is running here.
    """
    scope = current.get()
    if scope is None:
        raise RuntimeError("current_scope() was called outside of any step; call it in the body of one")
    return scope
