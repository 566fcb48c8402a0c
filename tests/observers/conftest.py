"""Fixtures for the tests of tracing and of the live tree."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest
from opentelemetry import trace
from traces import Traces

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def traces() -> Traces:
    return Traces()


@pytest.fixture
def quiet() -> Iterator[None]:
    """Suppress the log of errors that forks do not raise."""
    logger = logging.getLogger("trio_steps")
    logger.disabled = True
    yield
    logger.disabled = False


@pytest.fixture
def context_is_left_alone() -> Iterator[None]:
    """Check that no span is current after the test."""
    yield
    assert trace.get_current_span() is trace.INVALID_SPAN


@pytest.fixture
def plain_environment(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLUMNS", "LINES"):
        monkeypatch.delenv(name, raising=False)
