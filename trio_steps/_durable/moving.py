"""What a run says of itself while it is moved to another store, so that no one runs it here or answers it in vain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .protocol import RunChange, StoreError

if TYPE_CHECKING:
    from .protocol import RunRecord

_MOVING: Final = "it is being moved to "
_MOVED: Final = "it was moved to "


def marks_of(target: object) -> tuple[str, str]:
    """Return what a run that is moved to the store `target` is marked with, at first and at last."""
    first, last = (f"{words}{target!r}: if that did not end well, move it there again" for words in (_MOVING, _MOVED))
    return first, last


def marked(record: RunRecord, mark: str) -> RunChange:
    """Return the change that marks a run: no worker takes it any more."""
    return RunChange(
        pipeline=record.pipeline, version=record.version, status="cancelled", error=mark, waiting=record.waiting
    )


def check_is_here(record: RunRecord, what: str) -> None:
    """Refuse to do something with a run that is being moved.

    Args:
      record: its summary.
      what: what it is to be: "run".

    Raises:
      StoreError: it is being moved.
    """
    if is_leaving(record):
        raise StoreError(f"the run {record.run_id!r} can't be {what} here: {record.error}")


def is_leaving(record: RunRecord) -> bool:
    """Tell whether a run is being moved, or was moved."""
    return _is_marked(record, _MOVING, _MOVED)


def has_left(record: RunRecord) -> bool:
    """Tell whether a run was moved, so that what is written of it here from now on is lost."""
    return _is_marked(record, _MOVED)


def _is_marked(record: RunRecord, *marks: str) -> bool:
    return record.status == "cancelled" and record.error is not None and record.error.startswith(marks)
