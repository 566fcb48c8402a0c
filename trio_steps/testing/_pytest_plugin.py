"""What the fixtures of the pytest plugin give.

The plugin itself, ``_trio_steps_pytest``, is a module of its own outside of this package: pytest loads plugins
before coverage is measured, and must not load all of trio_steps with it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, final

import pytest

from ._findings import ExplorationError
from ._machine.conductor import name_of
from ._report import failure_of
from ._search.explore import explore
from ._search.replay import replay

if TYPE_CHECKING:
    from ._machine.run import Run
    from ._machine.settings import Program
    from ._report import Report

_BUDGET: Final = re.compile(r"(\d+)(s?)")


@final
class Explore:
    """The `explore` fixture: `trio_steps.testing.explore`, with the options of the command line, and it raises.

    With ``--steps-replay=TOKEN`` it runs that one run instead; with ``--steps-budget=`` it takes that many runs, or
    ``60s`` for so many seconds.
    """

    def __init__(self, token: str | None, budget: str | None) -> None:
        self._token = token
        self._options: dict[str, Any] = {}
        if budget is not None:
            match = _BUDGET.fullmatch(budget)
            if match is None:
                raise pytest.UsageError(f"--steps-budget={budget}: give a number of runs, 5000, or of seconds, 60s")
            self._options = (
                {"seconds": float(match[1]), "budget": float("inf")}
                if match[2]
                else {"budget": int(match[1]), "seconds": 1e9}
            )

    def __call__(self, program: Program, **options: Any) -> Report | Run:
        """Explore `program`, or replay it.

        Args:
          program: an async function of a `Probe`.
          options: those of `trio_steps.testing.explore`; the command line wins.

        Raises:
          ExplorationError: something was found.
        """
        __tracebackhide__ = True
        if self._token is None:
            chosen: dict[str, Any] = {**options, **self._options}
            report = explore(program, **chosen)
            report.raise_if_failed()
            return report
        for name in ("budget", "seconds", "seed"):
            options.pop(name, None)
        run = replay(program, self._token, **options)
        name = name_of(program)
        for finding in run.findings:
            raise ExplorationError(str(failure_of(run, finding, name, notes=run.notes)))
        return run
