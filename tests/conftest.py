"""Fixtures that every test may use."""

from __future__ import annotations

import pytest
import trio.testing


@pytest.fixture
def clock(autojump_clock: trio.testing.MockClock) -> trio.testing.MockClock:
    """The virtual clock: time passes only when every task waits, and starts at 0."""
    return autojump_clock
