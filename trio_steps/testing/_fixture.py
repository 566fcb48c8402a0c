"""The value of the `explore` fixture.

The plugin itself, ``_trio_steps_pytest``, is a module outside of this package: pytest loads plugins before coverage is
measured, and must not import all of trio_steps with them. This module does not need pytest.
"""

from __future__ import annotations

import re
import warnings
from typing import TYPE_CHECKING, Final, NoReturn, final

import attrs

from trio_steps._core.errors import ConfigError

from ._machine.conductor import name_of
from ._machine.settings import settings_of
from ._machine.token import is_of, parse
from ._report import Report, failure_of
from ._search.explore import Exploration
from ._search.replay import replay

if TYPE_CHECKING:
    from typing import Unpack

    from ._machine.settings import Options, Program

_BUDGET: Final = re.compile(r"(\d+)(s?)")


@final
class Explore:
    """The type of the `explore` fixture: like `trio_steps.testing.explore`, but it raises what it finds.

    The command line takes precedence: ``--steps-budget=5000`` is a number of runs, ``60s`` a number of seconds. With
    ``--steps-replay=TOKEN``, the program that the token belongs to runs once, as the token says. Other programs are
    explored.
    """

    def __init__(self, token: str | None = None, budget: str | None = None, test: str = "") -> None:
        if token is not None:
            parse(token)
        self.has_replayed: bool = False
        self._token = token
        self._test = test
        self._budget: tuple[float, float] | None = None  # runs, and seconds
        if budget is not None:
            match = _BUDGET.fullmatch(budget)
            if match is None:
                raise ConfigError(f"--steps-budget={budget}: give a number of runs, 5000, or of seconds, 60s")
            number, unlimited = int(match[1]), float("inf")
            self._budget = (unlimited, number) if match[2] else (number, unlimited)

    def __call__(
        self,
        program: Program,
        *,
        budget: float | None = None,
        seconds: float = 60.0,
        seed: int = 0,
        reduce: bool = False,
        **options: Unpack[Options],
    ) -> Report:
        """Explore `program`, or replay it.

        Args:
          program: an async function of a `Probe`.
          budget: see `trio_steps.testing.explore`; the command line takes precedence.
          seconds: see `trio_steps.testing.explore`; the command line takes precedence.
          seed: the seed of the random runs.
          reduce: see `trio_steps.testing.explore`.
          options: see `Options`.

        Raises:
          ExplorationError: something was found.
          ConfigError: an argument is not valid.
          RuntimeError: it was called inside a Trio program.
          TokenError: the token is damaged, or comes from another version of Trio or of trio_steps.
        """
        __tracebackhide__ = True
        if self._token is not None and is_of(self._token, program, self._test):
            report = self._replay(program, self._token, options)
        else:
            runs, length = self._budget or (budget, seconds)
            settings = attrs.evolve(settings_of("explore", options), origin=self._test)
            report = Exploration(program, settings, runs, length, seed, reduce=reduce).report()
        report.raise_if_failed()
        return report

    def _replay(self, program: Program, token: str, options: Options) -> Report:
        self.has_replayed = True
        run = attrs.evolve(replay(program, token, **options), origin=self._test)
        for note in run.notes:
            warnings.warn(f"--steps-replay={token}: {note}", stacklevel=3)
        name = name_of(program)
        return Report(
            program=name,
            what="the run of a token",
            runs=1,
            points=int(run.disturbed),
            schedules=int(not run.disturbed),
            exhausted=False,
            stopped="the end of that run",
            failures=tuple(failure_of(run, finding, name, notes=run.notes) for finding in run.findings),
            notes=run.notes,
        )


def refuse_async_fixture(name: str) -> NoReturn:
    """Refuse an async fixture in a test that explores, and show the right form.

    Raises:
      ConfigError: always.
    """
    raise ConfigError(
        f"fixture {name!r} is async, but a test that explores is not: every run of the program is a "
        f"separate trio.run, and what {name!r} opens would not outlive the first. Make it an async context manager, "
        f"and enter it in the program: `async with {name}() as …:`"
    )
