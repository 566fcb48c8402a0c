"""Fixtures for the tests of steps and their policies."""

from __future__ import annotations

import pytest
import trio


@pytest.fixture
def limiter() -> trio.CapacityLimiter:
    return trio.CapacityLimiter(1)
