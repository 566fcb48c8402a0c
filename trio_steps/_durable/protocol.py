"""What a store of durable runs is: the protocol, and the words that both sides of it use.

A store knows nothing of pipelines. It keeps texts under numbers for each run, gives a run to one at a time, and knows a
few things of it at a glance, such as its status. What the texts mean is up to whoever writes them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias, final

import attrs

from trio_steps._core.public import public_in

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from contextlib import AbstractAsyncContextManager

RunStatus: TypeAlias = Literal["running", "stopped", "failed", "cancelled", "finished"]
"""What became of a run: ``stopped`` by a hook's ``event.stop()``, ``cancelled`` from outside."""


@public_in("trio_steps.store")
class RunClaimedError(Exception):
    """A run can't go on here: it is running already, in this process or in another one.

    Attributes:
      run_id: which run.
      pid: the id of the process that runs it, if it is known.
    """

    def __init__(self, run_id: str, pid: int | None = None) -> None:
        super().__init__(run_id, pid)
        self.run_id = run_id
        self.pid = pid

    def __str__(self) -> str:
        where = "" if self.pid is None else f", in the process {self.pid}"
        return f"the run {self.run_id!r} is running already{where}; wait for it, or use another run_id"


@public_in("trio_steps.store")
@final
@attrs.frozen(kw_only=True)
class StoredRun:
    """What a store has of a run.

    Attributes:
      status: what it was written with last.
      parts: the texts, by their numbers.
    """

    status: RunStatus
    parts: Mapping[int, str]


@public_in("trio_steps.store")
@final
@attrs.frozen(kw_only=True)
class RunChange:
    """What is to be written of a run, all of it or nothing.

    Attributes:
      pipeline: the name of the pipeline.
      status: what is to be known of the run from now on.
      step: the full name of the step that was done last; None: the same as before.
      error: what the run failed with, in words.
      parts: texts to be added, or to take the place of those with the same numbers.
      dropped: the numbers of texts to be deleted.
    """

    pipeline: str
    status: RunStatus
    step: str | None = None
    error: str | None = None
    parts: Mapping[int, str] = attrs.field(factory=dict[int, str])
    dropped: Collection[int] = ()


@public_in("trio_steps.store")
class RunClaim(Protocol):
    """A run that nobody else can have."""

    async def read(self) -> StoredRun | None:
        """Return what there is of the run; None if it has never been written."""
        ...

    async def write(self, change: RunChange, /) -> None:
        """Write `change`, whole or not at all; when this returns, it is there to stay.

        If it is cancelled and has written all the same, it returns.
        """
        ...


@public_in("trio_steps.store")
class RunStore(Protocol):
    """Where durable runs are kept, for ``run(store=…)``."""

    def claim(self, run_id: str, /) -> AbstractAsyncContextManager[RunClaim]:
        """Have a run for oneself until the context ends, or the process dies in whatever way.

        Raises:
          RunClaimedError: somebody has it; raised when the context is entered.
        """
        ...
