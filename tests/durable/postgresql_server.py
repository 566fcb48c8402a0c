"""Databases with Absurd in them, on the server that libpq finds by its environment, and ``absurdctl`` on them."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote
from uuid import uuid4

import psycopg
import trio
from psycopg.conninfo import make_conninfo

from trio_steps.absurd import AbsurdStore


class Database:
    def __init__(self, server: Server, name: str) -> None:
        self.server = server
        self.name = name
        user, host = os.environ["PGUSER"], os.environ["PGHOST"]
        self.url = f"postgresql://{quote(user)}@/{name}?host={quote(host, safe='')}"

    def store(self, **options: Any) -> AbsurdStore:
        return AbsurdStore(self.url, **options)

    def sql(self, statement: Any, *values: object) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(statement, values or None)
            return cursor.fetchall() if cursor.description else []

    def ctl(self, *args: str, check: bool = True) -> str:
        command = [Path(sys.executable).with_name("absurdctl"), *args, "-d", self.url]
        done = subprocess.run(command, capture_output=True, text=True, check=check, timeout=60)
        return done.stdout + done.stderr

    def cut_off(self) -> int:
        """End all connections but this one. Return how many there were."""
        rows = self.sql(
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = %s and pid <> pg_backend_pid()",
            self.name,
        )
        return len(rows)


class Server:
    def __init__(self) -> None:
        self._made: list[str] = []

    def __enter__(self) -> Self:
        self._template = self._make("template0")
        Database(self, self._template).ctl("init")
        return self

    def __exit__(self, *_: object) -> None:
        for name in self._made:
            self._execute(f"drop database {name} with (force)")

    def database(self, *, bare: bool = False) -> Database:
        return Database(self, self._make("template0" if bare else self._template))

    def _make(self, template: str) -> str:
        name = f"steps_{uuid4().hex}"
        self._execute(f"create database {name} template {template}")
        self._made.append(name)
        return name

    def _execute(self, statement: str) -> None:
        with psycopg.connect(make_conninfo(dbname="postgres"), autocommit=True) as connection:
            connection.execute(statement)  # type: ignore[call-overload]


def run(main: Any, *args: Any, seconds: float = 60) -> Any:
    """Run `main` on the real clock, which is the server's."""

    async def in_time() -> Any:
        with trio.fail_after(seconds):
            return await main(*args)

    return trio.run(partial(in_time))
