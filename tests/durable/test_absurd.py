"""Runs in PostgreSQL: what every store does, and what is Absurd's own."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from postgresql_server import run

from trio_steps.testing import check_store

if TYPE_CHECKING:
    from postgresql_server import Database, Server

    from trio_steps.absurd import AbsurdStore

pytestmark = pytest.mark.postgresql


def test_absurd_store_conforms(server: Server) -> None:
    databases: dict[AbsurdStore, Database] = {}

    def make_store() -> AbsurdStore:
        database = server.database()
        store = database.store()
        databases[store] = database
        return store

    async def lose(store: Any, run_id: str) -> None:
        databases[store].sql(
            "update absurd.r_p set claimed_by = 'dead', claim_expires_at = now() - interval '1 s'"
            " where state = 'running'"
        )

    # Absurd gives a run to whoever is free, and a run that it has cancelled stays so
    run(partial(check_store, make_store, lose=lose, without=["claims", "goes_on_after_cancel"]))
