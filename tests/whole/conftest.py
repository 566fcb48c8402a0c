"""A Python for the programs of the docs and the examples."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from warm import Interpreter

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def python() -> Iterator[Interpreter]:
    with Interpreter(PYTHONWARNINGS="error", COLUMNS="120") as python:
        yield python
