"""Failed attempts of steps are kept, so that a resumed run does not count them anew.

Only an attempt that raised counts. An attempt that was cancelled, or in which the process died, is made again under
the same number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from .journal import Entry

if TYPE_CHECKING:
    from .hooks import Audience, Reporter


@final
class KeptAttempts:
    """Keeps the failed attempts of one step that has, or may have, its own retry.

    Attributes:
      failed: how many attempts had failed before the run was resumed.
    """

    __slots__ = ("_audience", "_case", "_name", "_reporter", "_since", "failed")

    def __init__(
        self, reporter: Reporter, audience: Audience, name: str, case: str | None = None, since: int | None = None
    ) -> None:
        """Begin with the attempts in the journal.

        Args:
          reporter: has the journal and its keeper.
          audience: the hooks to tell.
          name: the full name of the step.
          case: the id of the element, if the step runs for each element.
          since: if it has steps inside, the `mark` of the journal at its beginning.
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
        """Record that attempt `number` failed. What was done in it will be done again."""
        journal = self._reporter.journal
        if self._since is not None:
            journal.forget(self._name, self._since)
        journal.end_attempt(Entry(kind="tried", step=self._name, case=self._case, failed=number))
        await self._reporter.kept(self._audience)
