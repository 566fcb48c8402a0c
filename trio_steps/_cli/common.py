"""What all commands share: exit statuses, what is written where, and the store."""

from __future__ import annotations

import importlib
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from trio_steps.store import SqliteStore

if TYPE_CHECKING:
    from trio_steps.store import RunStore

DONE: Final = 0
FAILED: Final = 1
USAGE: Final = 2
CLAIMED: Final = 3
SIGNALLED: Final = 128  # and the number of the signal, as shells have it: 130 for Ctrl-C, 143 for SIGTERM


class UsageError(Exception):
    """The command line is wrong."""


def say(text: object) -> None:
    """Write a line for a person, to standard error."""
    with suppress(OSError):  # nobody listens any more
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


def show(text: str) -> None:
    """Write what was asked for, to standard output."""
    sys.stdout.write(f"{text}\n")


def store_at(where: str) -> RunStore:
    """Return the store at a URL, or in a file that need not be there yet."""
    if where.startswith(("postgresql://", "postgres://")):
        try:
            module: Any = importlib.import_module("trio_steps.absurd")
        except ImportError as error:
            raise UsageError(str(error)) from error
        store: RunStore = module.AbsurdStore(where)
        return store
    return SqliteStore(where)


def existing_store(path: str) -> SqliteStore:
    """Return the store in a file that is there."""
    if not Path(path).is_file():
        raise UsageError(f"there is no store {path!r}")
    return SqliteStore(path)
