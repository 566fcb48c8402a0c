"""The pytest plugin of trio_steps: options, and fixtures that import the package only when they are used."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

    from trio_steps.testing import Explore, VirtualClock

_REPLAYED = "steps_replayed"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("trio_steps", "exploration of Trio programs")
    group.addoption("--steps-replay", metavar="TOKEN", help="replay the run of this token, in the test it belongs to")
    group.addoption("--steps-budget", metavar="RUNS", help="how many runs to explore, or how long: 5000, 60s")


@pytest.hookimpl(tryfirst=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest) -> None:
    """Refuse an async fixture together with `explore`, before other plugins refuse it with a worse message."""
    function = fixturedef.func
    is_async = inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)
    if is_async and "explore" in request.fixturenames and not inspect.iscoroutinefunction(_test_of(request)):
        from trio_steps.testing._fixture import refuse_async_fixture  # noqa: PLC0415 - only if it is needed

        refuse_async_fixture(fixturedef.argname)


def _test_of(request: pytest.FixtureRequest) -> object:
    return getattr(request.node, "obj", None)


@pytest.fixture
def explore(request: pytest.FixtureRequest) -> Generator[Explore]:
    """Explore a program: cancel it everywhere, let its timeouts fire, reorder its tasks, check what has to hold."""
    from trio_steps.testing import Explore  # noqa: PLC0415 - see above

    options = request.config  # has no such options if a test module loaded the plugin
    test = request.node.name  # with its parameters; in the nodeid, xdist may put a group
    given = Explore(options.getoption("--steps-replay", None), options.getoption("--steps-budget", None), test)
    yield given
    if given.has_replayed:
        request.node.user_properties.append((_REPLAYED, True))  # properties come back from xdist workers too


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Warn if no test used the token."""
    token = config.getoption("--steps-replay", None)
    reports = [report for kind in terminalreporter.stats.values() for report in kind]
    if token is not None and not any((_REPLAYED, True) in getattr(one, "user_properties", ()) for one in reports):
        terminalreporter.write_line(
            f"--steps-replay={token}: no test that ran explores the program that this token belongs to", yellow=True
        )


@pytest.hookimpl(wrapper=True)
def pytest_keyboard_interrupt(excinfo: pytest.ExceptionInfo[BaseException]) -> Generator[None]:
    """Show what an exploration has found that Ctrl-C has ended."""
    yield
    for note in getattr(excinfo.value, "__notes__", ()):
        print(f"\n{note}")  # noqa: T201 - pytest no longer captures it


@pytest.fixture
def virtual_clock() -> VirtualClock:
    """Make a clock for ``trio.run(…, clock=virtual_clock)``: it starts at 0, and jumps when all tasks wait."""
    from trio_steps.testing import VirtualClock  # noqa: PLC0415 - see above

    return VirtualClock()
