"""One search: a program, its runs, the findings so far, and the progress.

Ctrl-C ends a search like any other program. The findings so far are not lost: they become a note of the
`KeyboardInterrupt`, which Python prints with the traceback.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Final, Protocol, final

from trio_steps.testing._machine.conductor import name_of
from trio_steps.testing._machine.token import Recipe, Trial

from .bench import Bench
from .found import Findings

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_steps.testing._machine.run import Run
    from trio_steps.testing._machine.settings import Program, Settings
    from trio_steps.testing._report import Report


_EVERY: Final = 0.2  # seconds


class Reporter(Protocol):
    """Makes the report of a search."""

    def __call__(self, stopped: str, *, explains: bool) -> Report:
        """Return the report. `stopped` says what ended the search. Findings are minimised only if it `explains`."""
        ...


@final
class Search:
    """Runs a program in many ways, and keeps what each run shows.

    Attributes:
      bench: runs the program.
      found: the findings.
    """

    def __init__(self, program: Program, settings: Settings, *, runs: float, seconds: float) -> None:
        self.bench = Bench(program, settings, runs=runs, seconds=seconds)
        self.found = Findings()
        self._shown_at = time.monotonic()
        self._shows = sys.stderr.isatty()
        self._shown = 0

    def baseline(self) -> Run:
        """Run the program undisturbed, and find out what could be disturbed."""
        run = self.bench.run(Recipe(policy="trio"), survey=True)
        self.found.add(run, 1)
        return run

    def tries(self, trial: Trial) -> Run:
        """Run the program as `trial` says."""
        number = self.bench.runs + 1
        recipe, schedule = trial
        run = self.bench.run(recipe, schedule=schedule)
        self.found.add(run, number)
        return run

    def show(self, what: str) -> None:
        """Show the progress, if standard error is a terminal."""
        now = time.monotonic()
        if not self._shows or now < self._shown_at + _EVERY:
            return
        self._shown_at = now
        line = f"{name_of(self.bench.program)}: {self.bench.runs} runs, {len(self.found)} found, {what}"
        sys.stderr.write(f"\r{line:{self._shown}}")
        sys.stderr.flush()
        self._shown = len(line)

    def _clear(self) -> None:
        if self._shown:
            sys.stderr.write(f"\r{'':{self._shown}}\r")
            sys.stderr.flush()

    def report(self, go: Callable[[], str], report: Reporter) -> Report:
        """Call `go`, which returns what stopped it, and return the report.

        Raises:
          KeyboardInterrupt: the user pressed Ctrl-C; its note is the report of the findings so far.
        """
        try:
            return report(go(), explains=True)
        except KeyboardInterrupt as error:
            error.add_note(str(report("Ctrl-C", explains=False)))
            raise
        finally:
            self._clear()
