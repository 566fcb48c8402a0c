"""What all commands share: exit statuses, output, and the store."""

from __future__ import annotations

import argparse
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from trio_steps._observers.rows import plain
from trio_steps._pipeline.run.durable import error_text
from trio_steps._values.scalars import is_plain
from trio_steps.store import SqliteStore

if TYPE_CHECKING:
    from trio_steps.store import RunStore

DONE: Final = 0
FAILED: Final = 1
USAGE: Final = 2
CLAIMED: Final = 3
SIGNALLED: Final = 128  # plus the number of the signal, as in shells: 130 for Ctrl-C, 143 for SIGTERM
SIGPIPE: Final = 13  # Windows lacks it


class UsageError(Exception):
    """The command line is wrong."""


def say(text: object) -> None:
    """Write a line for a person, to standard error."""
    with suppress(OSError):  # no one reads it any more
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


def words(error: BaseException | str) -> str:
    """Return `error`, or its stored text, in words, without characters that would affect a terminal."""
    text = error if isinstance(error, str) else error_text(error)
    return "\n".join(map(plain, text.splitlines()))


def show(text: str) -> None:
    """Write a result, to standard output."""
    sys.stdout.write(f"{text}\n")


def id_of_a_run(text: str) -> str:
    """Return what was given as the id of a run, if it can be one: an unset variable of a shell, say, can't."""
    if not text.strip() or not is_plain(text):
        raise argparse.ArgumentTypeError(f"{text!r} can't be the id of a run; give one such as order-42")
    return text


def store_at(place: str) -> RunStore:
    """Return the store in a file, which need not exist yet, or in a PostgreSQL database."""
    if not place.startswith(("postgresql://", "postgres://")):
        return SqliteStore(place)
    try:
        from trio_steps.absurd import AbsurdStore  # noqa: PLC0415 - it needs psycopg
    except ImportError as error:
        raise UsageError(str(error)) from error
    return AbsurdStore(place)


def existing_store(place: str) -> RunStore:
    """Return a store that exists."""
    store = store_at(place)
    if isinstance(store, SqliteStore) and not store.path.is_file():
        raise UsageError(f"there is no store {place!r}")
    return store
