"""Copies of dicts, lists, sets and tuples at the speed of C, where they hold nothing but builtins.

Problem: a step that names a nested value gets a copy of it, and Python takes a microsecond for each dict.

Naive answer: ``pickle.loads(pickle.dumps(value))``. It is four times as fast, and runs ``__reduce__`` of whatever is in
there; it makes another object of each NaN, which then is in no list any more; and it copies every string, so that it
takes ten times as long for lists of these, and as much memory again.

What is done instead. A pickler handles exact builtins by itself, and asks ``reducer_override`` about the first thing
that it would run code for: then it is given up, and the copier in Python takes over. So it is for a NaN, for what is
too deep, and for what is mostly strings and long lists: these are found by looking at what was written so far.
"""

from __future__ import annotations

import pickle
import re
from typing import TYPE_CHECKING, Any, Final, final

if TYPE_CHECKING:
    from typing import Never

_LONG: Final = 150  # bytes for each dict or list; if there are more, strings and long lists are what takes the time
_SMALL: Final = 1_000  # bytes, for which it does not matter
_MOST_LEAVES: Final = 50  # of a list that is looked at beforehand
_NAN: Final = re.compile(rb"G[\x7f\xff][\xf0-\xff]").search  # or something else that looks like one


class _NotPlainError(Exception):
    """There is something in the value that C can't copy, or not faster."""


@final
class _Pickler(pickle.Pickler):
    def reducer_override(self, _: object, /) -> Never:
        raise _NotPlainError


@final
class _Written:
    """What a pickler has written; it gives up when that is not worth it."""

    __slots__ = ("chunks",)

    def __init__(self) -> None:
        self.chunks: list[bytes] = []

    def write(self, chunk: bytes, /) -> None:
        if len(chunk) > _SMALL and len(chunk) > _LONG * (chunk.count(b"}\x94") + chunk.count(b"]\x94")):
            raise _NotPlainError
        self.chunks.append(chunk)


_idle: Final[list[tuple[_Pickler, _Written]]] = []


def copy_plain(value: Any) -> Any:
    """Return a copy of `value`, a dict or a list; None if that has to be made in Python."""
    data = _written(value)
    return None if data is None or _NAN(data) else pickle.loads(data)  # noqa: S301 - it was written here


def _written(value: object) -> bytes | None:
    try:
        pickler, written = _idle.pop()  # to make one takes as long as to write a small value
    except IndexError:
        written = _Written()
        pickler = _Pickler(written, 5)
    written.chunks.clear()
    try:
        pickler.dump(value)
    except (_NotPlainError, RecursionError):
        return None
    data = b"".join(written.chunks)
    if len(data) < _SMALL:
        pickler.clear_memo()  # which takes as long as the memo has been large
        _idle.append((pickler, written))
    return data
