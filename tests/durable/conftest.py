"""Fixtures for the tests with PostgreSQL, whose files can't even be imported where psycopg is not installed."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

collect_ignore_glob = [] if find_spec("psycopg") else ["test_absurd*.py"]


@pytest.fixture(scope="session")
def server() -> Iterator[Any]:
    """The PostgreSQL server that libpq finds by its environment."""
    from postgresql_server import Server

    with Server() as server:
        yield server


@pytest.fixture
def database(server: Any) -> Any:
    """A new database with Absurd in it."""
    return server.database()
