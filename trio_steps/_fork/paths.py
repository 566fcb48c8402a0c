"""The paths of a fork: the id of each, and what to call for it.

Ids that repeat are numbered (``fetch``, ``fetch#2``, ``fetch#3``). Ids that the user gave stay as they are, and the
others avoid them.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from inspect import iscoroutine
from math import inf
from threading import Lock
from types import CodeType, FunctionType
from typing import Any, Final, cast, final

import attrs

from trio_steps._core.describe import GENERATES, check_arguments, describe, generates
from trio_steps._core.errors import ConfigError, short_repr
from trio_steps._core.step import type_of

Call = Callable[..., Any]
Path = tuple[int, str, Call]  # its index, its id, and what to call in its scope
Adapt = Callable[[Call, object], Call]


@final
@attrs.define(eq=False, repr=False)  # never changed; not frozen, which would double its cost
class Known:
    """Paths that are all known, by index.

    Attributes:
      ids: the id of each path.
      calls: what to call in the scope of each path.
      code: what is trusted if one path is, such as the code of functions that share it; None if there is no such thing.
      to_check: the indexes of the paths that may require an argument.
      checked: no path requires more than an input.
      take_input: each path takes the input, so none has to be asked.
    """

    ids: PathNames | list[str]
    calls: list[Call]
    code: object = None
    to_check: Sequence[int] = ()
    checked: bool = False
    take_input: bool = False

    def __len__(self) -> int:
        return len(self.ids)

    def check(self, *, has_input: bool | None) -> None:
        """Check that no path requires more than the fork gives. Each is checked once, however often the fork runs.

        Args:
          has_input: whether the fork was called with an input; None if it can't have one.

        Raises:
          ConfigError: a path requires more.
        """
        self.to_check = [
            index for index in self.to_check if check_arguments(self.calls[index], self.ids[index], has_input=has_input)
        ]
        self.checked = True


COLLECTIONS: Final = (list, tuple, set, frozenset)
"""Sources whose items are all there, so that the paths are known when the fork begins."""


@final
class PathNames:
    """The ids of a fork's paths, by index.

    Ids that repeat are numbered (``fetch``, ``fetch#2``, ``fetch#3``). A lazy source may have a million paths with one
    function. So consecutive paths with the same base name are one entry, memory does not grow with their number, and an
    id is made on demand.
    """

    __slots__ = ("_bases", "_counts", "_first", "_starts", "_total")

    def __init__(self) -> None:
        self._starts: list[int] = []  # where each run begins
        self._bases: list[str] = []  # the base name of its paths
        self._first: list[int] = []  # the number of its first path, and 1 for a given id
        self._counts: dict[str, int] = {}
        self._total = 0

    def add(self, base: str, given: bool) -> str:
        """Add the next path and return its id: `base` if it was `given` or is new, otherwise `base` with a number."""
        index = self._total
        self._total = index + 1
        counts = self._counts
        number = counts.get(base, 0) + 1
        if not given and "#" in base and number == 1:  # it may look like the numbered id of another path
            other, _, its_number = base.rpartition("#")
            number += its_number.isdecimal() and counts.get(other, 0) >= int(its_number)
        id = base
        if not given and number > 1:
            id = f"{base}#{number}"
            while id in counts:
                number += 1
                id = f"{base}#{number}"
        if given:
            counts.setdefault(base, 1)
            first = 1
        else:
            counts[base] = first = number
        if not self._bases or self._bases[-1] != base or self._number(len(self._bases) - 1, index) != first:
            self._starts.append(index)
            self._bases.append(base)
            self._first.append(first)
        return id

    def reserve(self, ids: PathNames | list[str]) -> None:
        """Keep the names that are not given clear of `ids`, which will be added as given ones, sooner or later."""
        self._counts.update(ids._counts if isinstance(ids, PathNames) else dict.fromkeys(ids, 1))  # noqa: SLF001

    def extend(self, base: str, length: int) -> None:
        """Add `length` consecutive paths with one derived name."""
        if length:
            number = self._counts.get(base, 0) + 1
            self._counts[base] = number + length - 1
            self._starts.append(self._total)
            self._bases.append(base)
            self._first.append(number)
            self._total += length

    def _number(self, run: int, index: int) -> int:
        return self._first[run] + index - self._starts[run]

    def __contains__(self, id: str) -> bool:
        """Tell whether a path has this `id`, or will have it because it was reserved."""
        base, _, number = id.rpartition("#")
        return id in self._counts or (number.isdecimal() and 2 <= int(number) <= self._counts.get(base, 0))

    def __len__(self) -> int:
        return self._total

    def __iter__(self) -> Iterator[str]:
        ends = [*self._starts[1:], self._total]
        for base, first, start, end in zip(self._bases, self._first, self._starts, ends):  # noqa: B905 - one more end, if there are none
            if first == 1:
                yield base
            for number in range(max(first, 2), first + end - start):
                yield f"{base}#{number}"

    def __getitem__(self, index: int) -> str:
        if not 0 <= index < self._total:
            raise IndexError(index)
        run = bisect_right(self._starts, index) - 1
        number = self._number(run, index)
        return self._bases[run] if number < 2 else f"{self._bases[run]}#{number}"


def describe_all(paths: Collection[Any]) -> Known:
    """Give each path of a known source a unique id.

    Raises:
      ConfigError: a path can't be called, or two paths were given the same id.
    """
    alike = _describe_alike(paths) if len(paths) > FEW else None
    if alike is not None:
        return alike
    names = PathNames() if len(paths) > MANY else None
    counts: dict[str, int] = {}
    ids: list[str] = []
    calls: list[Call] = []
    plain, last, number, length = True, "", 0, 0
    code: CodeType | None = None
    kinds = 0  # how many different codes; paths that are not functions count as two or more
    to_check: list[int] = []
    wanted: float = 0  # how many arguments the last code has, with and without a default
    try:
        for path in paths:
            # `describe`, written out to save a call: most paths are functions, or partials of them.
            function: object = path.func if type_of(path) is partial else path
            if type(function) is FunctionType:
                its_code = function.__code__
                if its_code is not code:
                    code = its_code
                    kinds += 1
                    if code.co_flags & GENERATES:
                        raise generates(function)
                    wanted = code.co_argcount if not code.co_kwonlyargcount else inf
                if wanted and wanted > len((path.__defaults__ if path is function else path.args) or ()):
                    to_check.append(len(calls))
                base, call = function.__name__, path
            else:
                base, given, call = describe(path)
                plain = plain and not given
                kinds = 2
                to_check.append(len(calls))
            calls.append(call)
            if base is not last:  # usually it is: many paths have the name of one function
                if names is not None:
                    names.extend(last, length)
                    length = 0
                if "#" in base:
                    plain = False
                counts[last] = number
                last, number = base, counts.get(base, 0)
            number += 1
            if names is None:
                ids.append(base if number == 1 else f"{base}#{number}")
            else:
                length += 1
    except ConfigError:
        _close_coroutines(paths)
        raise
    if kinds > 1:
        code = None
    if not plain:
        # Given ids stay as they are. The others avoid them, and avoid whatever looks like one of their own numbers.
        ids = _ids(paths)
    elif names is not None:
        names.extend(last, length)
        return Known(names, calls, code, to_check)
    return Known(ids, calls, code, to_check)


def _describe_alike(paths: Collection[Any]) -> Known | None:
    """Describe `paths` if they are one function, or closures of one, without arguments. Otherwise return None.

    Wide forks are mostly like that, and it takes half as long to find that out as to describe each path by itself.
    """
    first = next(iter(paths))
    if type(first) is not FunctionType:
        return None
    code, base, count = first.__code__, first.__name__, len(paths)
    if code.co_argcount or code.co_kwonlyargcount or code.co_flags & GENERATES or "#" in base:
        return None
    for path in paths:
        if type(path) is not FunctionType or path.__code__ is not code or path.__name__ is not base:
            return None
    if count > MANY:
        names = PathNames()
        names.extend(base, count)
        return Known(names, list(paths), code)
    return Known([base + ending for ending in _endings(count)], list(paths), code)


def _endings(count: int) -> list[str]:
    """Return the endings of `count` ids with the same base. The text of each number is made once in a program."""
    if len(_ENDINGS) < count:
        with _ENDINGS_LOCK:
            _ENDINGS.extend([f"#{number}" for number in range(len(_ENDINGS) + 1, count + 1)])
    return _ENDINGS[:count]


_ENDINGS: Final = [""]
_ENDINGS_LOCK: Final = Lock()


def describe_mapping(paths: Mapping[object, object]) -> Known:
    """Use the keys of `paths` as ids.

    Raises:
      ConfigError: a path can't be called, or a key is not a string.
    """
    for id in paths:
        if not isinstance(id, str) or not id:
            raise ConfigError(f"paths={{{short_repr(id)}: …}}: the keys are the ids of the paths, so use strings")
    calls: list[Call] = []
    try:
        for id, path in paths.items():
            try:
                calls.append(describe(path)[2])
            except ConfigError as error:
                raise ConfigError(f"path {short_repr(id)}: {error}") from None
    except ConfigError:
        _close_coroutines(paths.values())
        raise
    return Known(cast("list[str]", list(paths)), calls, to_check=range(len(calls)))


def _close_coroutines(paths: Iterable[object]) -> None:
    """Close the coroutines among `paths`: an error says it all, and a warning for each would add nothing."""
    for path in paths:
        if iscoroutine(path):
            path.close()


FEW: Final = 8
"""With more paths than this, it is worth a look whether they are all alike."""

MANY: Final = 5_000
"""With more paths than this, ids are made on demand, because few of the paths may ever run."""


def _ids(paths: Collection[object]) -> list[str]:
    described = [describe(path) for path in paths]
    taken: set[str] = set()
    for id, given, _ in described:
        if given:
            if id in taken:
                raise ConfigError(f"two paths of a fork have the id {id!r}: give each its own, step(…, id=…)")
            taken.add(id)
    counts: dict[str, int] = {}
    ids: list[str] = []
    for base, given, _ in described:
        id = base
        if not given:
            number = counts.get(base, 0) + 1
            if number > 1:
                id = f"{base}#{number}"
            while id in taken:
                number += 1
                id = f"{base}#{number}"
            counts[base] = number
            taken.add(id)
        ids.append(id)
    return ids
