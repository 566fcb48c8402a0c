"""Copies of dicts, lists, sets and tuples at the speed of C, if they hold nothing but builtins.

Problem: a step that names a nested value gets a copy of it, and Python needs a microsecond for each dict.

Naive answer: ``pickle.loads(pickle.dumps(value))``. It is four times as fast, but it runs ``__reduce__`` of whatever is
inside. It makes a new object for each NaN, which a search in a list then no longer finds. And it copies every string,
so lists of strings take ten times as long, and twice the memory.

What is done instead. A pickler handles exact builtins by itself, and asks ``reducer_override`` about the first object
for which it would run code. Then the pickler is abandoned, and the copier in Python takes over. The same happens for a
NaN, for deep nesting, and for a value that is mostly strings and long lists, as the bytes written so far show.
"""

from __future__ import annotations

import pickle
import re
from typing import TYPE_CHECKING, Any, Final, final

if TYPE_CHECKING:
    from typing import Never

_LONG: Final = 150  # bytes per dict or list; with more, strings and long lists take most of the time
_SMALL: Final = 1_000  # bytes; with fewer, it does not matter
_SAMPLE: Final = 4_000  # bytes in which they are counted; counting in all of them takes half as long as writing them
_PIECES: Final = 8  # of a sample, from all over, because the beginning is often not like the rest
_NAN: Final = re.compile(rb"G[\x7f\xff][\xf0-\xff]").search  # or something else that looks like one


class _NotPlainError(Exception):
    """The value holds something that C can't copy, or can't copy faster."""


@final
class _Pickler(pickle.Pickler):
    def reducer_override(self, _: object, /) -> Never:
        raise _NotPlainError


def _sample(chunk: bytes) -> bytes:
    if len(chunk) <= _SAMPLE:
        return chunk
    starts = range(0, len(chunk), len(chunk) // _PIECES)
    return b"".join([chunk[start : start + _SAMPLE // _PIECES] for start in starts])


@final
class _Written:
    """The output of a pickler. It raises when pickling is not worth it."""

    __slots__ = ("chunks",)

    def __init__(self) -> None:
        self.chunks: list[bytes] = []

    def write(self, chunk: bytes, /) -> None:
        if len(chunk) > _SMALL:
            sample = _sample(chunk)
            if len(sample) > _LONG * (sample.count(b"}\x94") + sample.count(b"]\x94")):
                raise _NotPlainError
        self.chunks.append(chunk)


_idle: Final[list[tuple[_Pickler, list[bytes]]]] = []


def copy_plain(value: Any) -> Any:
    """Return a copy of `value`, a dict or a list; None if the copy has to be made in Python."""
    data = _written(value)
    return None if data is None or _NAN(data) else pickle.loads(data)  # noqa: S301 - it was written here


def _written(value: object) -> bytes | None:
    try:
        idle = _idle.pop()  # making one takes as long as writing a small value
    except IndexError:
        written = _Written()
        idle = _Pickler(written, 5), written.chunks
    pickler, chunks = idle
    try:
        pickler.dump(value)
    except (_NotPlainError, RecursionError):
        return None
    data = b"".join(chunks)
    chunks.clear()
    if len(data) < _SMALL:
        pickler.clear_memo()  # takes time in proportion to the largest size of the memo
        _idle.append(idle)
    return data  # a pickler with a large memo is freed here, before the copy needs memory
