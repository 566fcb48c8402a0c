"""The pytest plugin of trio_steps: options, and fixtures that load the package when they are asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from trio_steps.testing import VirtualClock
    from trio_steps.testing._pytest_plugin import Explore


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("trio_steps", "exploration of Trio programs")
    group.addoption("--steps-replay", metavar="TOKEN", help="replay the run of this token wherever a test explores")
    group.addoption("--steps-budget", metavar="RUNS", help="how many runs to explore, or how long: 5000, 60s")


@pytest.fixture
def explore(request: pytest.FixtureRequest) -> Explore:
    """Explore a program: cancel it everywhere, reorder its tasks, check what has to hold."""
    from trio_steps.testing._pytest_plugin import Explore  # noqa: PLC0415 - see above

    options = request.config  # without the options, if a test module has loaded the plugin
    return Explore(options.getoption("--steps-replay", None), options.getoption("--steps-budget", None))


@pytest.fixture
def virtual_clock() -> VirtualClock:
    """Make a clock for ``trio.run(…, clock=virtual_clock)``: it starts at 0, and jumps when all tasks wait."""
    from trio_steps.testing import VirtualClock  # noqa: PLC0415 - see above

    return VirtualClock()
