"""Attempts of steps that have failed: they are kept, so that a run which is resumed does not count them anew.

Only an attempt that raised counts. One that the process died in, or that was cancelled, is made again under its number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from .journal import Entry

if TYPE_CHECKING:
    from .hooks import Audience, Reporter


@final
class KeptAttempts:
    """Keeps the failed attempts of one step, which has a retry of its own or may have.

    Attributes:
      failed: how many have, before the run was resumed.
    """

    __slots__ = ("_audience", "_case", "_name", "_reporter", "_since", "failed")

    def __init__(
        self, reporter: Reporter, audience: Audience, name: str, case: str | None = None, since: int | None = None
    ) -> None:
        """Begin with what the journal has.

        Args:
          reporter: has the journal, and whoever keeps it.
          audience: who is told.
          name: the full name of the step.
          case: the id of the element, if the step is run for each.
          since: if there are steps inside of it, the `mark` of the journal at its beginning.
        """
        self._reporter = reporter
        self._audience = audience
        self._name = name
        self._case = case
        self._since = since
        before = reporter.journal.tried.get((name, case))
        self.failed: int = 0 if before is None else before.failed

    def check(self) -> None:
        """Let another attempt begin, unless another process may have taken the run over."""
        self._reporter.check()

    async def keep(self, number: int) -> None:
        """Keep that attempt `number` has failed; what was done in it will be done again."""
        journal = self._reporter.journal
        if self._since is not None:
            journal.forget(self._name, self._since)
        journal.end_attempt(Entry(kind="tried", step=self._name, case=self._case, failed=number))
        await self._reporter.kept(self._audience)
