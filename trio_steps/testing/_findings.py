"""What can be wrong with a run, in words; and the errors of this package."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias, final

import attrs

from trio_steps._core.errors import ConfigError

if TYPE_CHECKING:
    from ._places import Place

Invariant: TypeAlias = Literal[
    "cancellation", "deadlock", "determinism", "internal", "invariant", "livelock", "lock", "outcome", "resource",
    "task", "warning",
]  # fmt: skip
"""What has to hold for every run; the name says which did not."""


@final
@attrs.frozen(kw_only=True)
class Finding:
    """Something that is wrong with a run.

    Attributes:
      invariant: which of the invariants is broken.
      message: what happened, in a sentence or a few lines.
      place: the line it is about, if there is one.
      error: the exception it is about, if there is one.
    """

    invariant: Invariant
    message: str
    place: Place | None = None
    error: BaseException | None = attrs.field(default=None, eq=False)

    @property
    def key(self) -> tuple[str, str]:
        """What makes it the same finding in another run."""
        return self.invariant, str(self.place) if self.place is not None else self.message.split("\n", 1)[0]

    def __str__(self) -> str:
        return f"{self.invariant}: {self.message}" + (f" ({self.place})" if self.place is not None else "")


class DeadlockError(Exception):
    """Every task waits, there is no deadline, and nothing can wake one."""


class TokenError(ConfigError):
    """A replay token is damaged, or was made by another version."""


class FaultInjectedError(Exception):
    """What `sweep_faults` raises at a checkpoint if it is not told what else."""


class ExplorationError(AssertionError):
    """Raised by ``raise_if_failed``: the text says what was found, where, and how to see it again."""
