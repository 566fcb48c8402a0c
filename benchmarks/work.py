"""The paths that are run, and the checks that all contenders of a heat did the same work, with the same semantics.

A check runs at a tiny size with paths that watch how many run at once, which context variables they see, and whether
all of them have ended when the contender returns. The timed runs then use plain paths, one checkpoint each, and every
result is still compared with the expected one.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextvars import ContextVar
from typing import Any, cast

import attrs
import trio

from .measure import Contender, DifferentResultError, Loop, Settings, run_in, timed

Path = Callable[[], Awaitable[Any]]
MakePaths = Callable[[int, Loop], list[Path]]

LIMIT = 10

_LASTS = 5 * LIMIT
"""Checkpoints of a probe: long enough for a slow starter to reach its limit."""

PAUSE: dict[Loop, Path] = {"trio": trio.lowlevel.checkpoint, "asyncio": functools.partial(asyncio.sleep, 0)}
"""What lets others run, once."""

_mark: ContextVar[str] = ContextVar("mark")


class ProbeError(Exception):
    """The error of a probe, which must not be lost."""


@attrs.frozen(kw_only=True)
class Way:
    """A way to run paths.

    Attributes:
      run: takes the paths and a limit, and returns anything.
      read: turns that into the values in path order, with errors in the places of failed paths; for a race, into the
        winner's value.
      limit: makes the limit for one run.
    """

    name: str
    how: str
    run: Callable[[Sequence[Path], Any], Awaitable[Any]]
    read: Callable[[Any], Any] = list
    loop: Loop = "trio"
    limit: Callable[[], Any] = lambda: LIMIT


def brief_paths(count: int, loop: Loop) -> list[Path]:
    """Return paths of one checkpoint each, which return their indexes."""
    pause = PAUSE[loop]

    def brief(index: int) -> Path:
        async def path() -> int:
            await pause()
            return index

        return path

    return [brief(index) for index in range(count)]


def paths_alike(count: int, loop: Loop) -> list[Path]:
    """Return paths of one checkpoint each, which return the same value, so that any of them may win."""
    return brief_paths(1, loop) * count


def paths_before_a_winner(count: int, loop: Loop) -> list[Path]:
    """Return paths that never end, except the last one. All are running when it wins."""
    *_, winner = brief_paths(count, loop)
    return [*[functools.partial(_never, loop)] * (count - 1), winner]


async def _never(loop: Loop) -> None:
    if loop == "trio":
        await trio.sleep_forever()
    await asyncio.Event().wait()


class Probes:
    """Paths that watch how they are run."""

    def __init__(self, loop: Loop) -> None:
        self._loop: Loop = loop
        self.running = 0
        self.peak = 0
        self.leaks: list[str] = []

    def ends(self, index: int) -> Path:
        """Return a path that returns its index; it sets a context variable on its way."""
        return functools.partial(self._probe, index, "ends")

    def fails(self, index: int) -> Path:
        """Return a path that raises `ProbeError` of its index."""
        return functools.partial(self._probe, index, "fails")

    def never_ends(self, index: int) -> Path:
        """Return a path that has to be cancelled."""
        return functools.partial(self._probe, index, "never ends")

    async def _probe(self, index: int, does: str) -> int:
        self.running += 1
        self.peak = max(self.peak, self.running)
        try:
            self._note_leak(_mark.get(), "the caller's")
            _mark.set(f"path {index}'s")
            for _ in range(_LASTS):
                await PAUSE[self._loop]()
            self._note_leak(_mark.get(), f"path {index}'s")
            if does == "fails":
                raise ProbeError(index)
            if does == "never ends":
                await _never(self._loop)
            return index
        finally:
            self.running -= 1

    def _note_leak(self, seen: str, expected: str) -> None:
        if seen != expected:
            self.leaks.append(f"{expected} variable was {seen}")


def contender(
    way: Way,
    check: Callable[[Way], None],
    size: int,
    expected: Callable[[int], Any],
    make_paths: MakePaths = brief_paths,
    forks: int = 1,
    *,
    per_fork: bool = False,
) -> Contender:
    """Return a contender that runs `size` paths in the `way`, `forks` times a sample.

    Args:
      way: how it is done.
      check: asserts that the way has the semantics of the heat.
      size: how many paths to run.
      expected: gives the result that `size` paths must have.
      make_paths: makes them.
      forks: how often a sample does it.
      per_fork: whether the seconds are for a fork, not for a path.
    """

    def sample(settings: Settings) -> float:
        paths = make_paths(size, way.loop)
        limits = [way.limit() for _ in range(forks)]
        results: list[Any] = []

        async def work() -> None:
            for limit in limits:
                results[:] = [await way.run(paths, limit)]

        seconds, _ = timed(way.loop, work, settings)
        same(way.name, "result", way.read(results[0]), expected(size))
        return seconds / forks if per_fork else seconds / size / forks

    return Contender(name=way.name, how=way.how, sample=sample, check=functools.partial(check, way))


def same(name: str, what: str, got: object, expected: object) -> None:
    """Assert that `got`, the result of contender `name`, is as expected.

    Raises:
      DifferentResultError: it is not.
    """
    if got != expected:
        raise DifferentResultError(f"{name}: its {what} is {got!r:.200}, but should be {expected!r:.200}")


def check_settles(way: Way) -> None:
    """Assert that values and errors arrive in path order, within the limit, and that tokens come back."""
    probes = Probes(way.loop)
    count = 3 * LIMIT
    paths = [probes.fails(index) if index % 7 == 3 else probes.ends(index) for index in range(count)]
    limit = way.limit()
    results = way.read(_run(way, paths, limit))
    told = [("failed", result.args[0]) if isinstance(result, ProbeError) else result for result in results]
    same(way.name, "result", told, [("failed", index) if index % 7 == 3 else index for index in range(count)])
    same(way.name, "number of paths at once", probes.peak, LIMIT)
    _check_ended(way, probes)
    if not isinstance(limit, int):
        private = isinstance(limit, asyncio.Semaphore)  # it has no public way to tell
        free = limit._value if private else limit.available_tokens  # noqa: SLF001
        same(way.name, "number of tokens that are free again", free, LIMIT)


def check_needs_all(way: Way) -> None:
    """Assert that values arrive in path order, and that an error stops the rest and is raised."""
    probes = Probes(way.loop)
    count = 3 * LIMIT
    values = way.read(_run(way, [probes.ends(index) for index in range(count)], way.limit()))
    same(way.name, "result", values, list(range(count)))
    same(way.name, "number of paths at once", probes.peak, count)
    _check_ended(way, probes)
    probes = Probes(way.loop)
    paths = [probes.fails(index) if index == 7 else probes.never_ends(index) for index in range(count)]
    same(way.name, "error", _errors_of(way, paths), [7])
    _check_ended(way, probes)


def check_races(way: Way) -> None:
    """Assert that the winner's value arrives, that the losers have ended, and that a failure is raised."""
    probes = Probes(way.loop)
    paths = [probes.ends(index) if index == 7 else probes.never_ends(index) for index in range(3 * LIMIT)]
    same(way.name, "winner", way.read(_run(way, paths, way.limit())), 7)
    _check_ended(way, probes)
    same(way.name, "error", _errors_of(way, [probes.fails(0)]), [0])
    _check_ended(way, probes)


def _run(way: Way, paths: Sequence[Path], limit: Any) -> Any:
    async def main() -> Any:
        _mark.set("the caller's")
        result = await way.run(paths, limit)
        same(way.name, "caller's context variable", _mark.get(), "the caller's")
        return result

    return run_in(way.loop, main)


def _errors_of(way: Way, paths: Sequence[Path]) -> list[object]:
    try:
        way.read(_run(way, paths, way.limit()))
    except (ProbeError, BaseExceptionGroup) as error:
        return [leaf.args[0] for leaf in _leaves(error) if isinstance(leaf, ProbeError)]
    return []


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in cast("BaseExceptionGroup[BaseException]", error).exceptions:
            yield from _leaves(inner)
    else:
        yield error


def _check_ended(way: Way, probes: Probes) -> None:
    same(way.name, "number of paths that still run", probes.running, 0)
    same(way.name, "list of context variables that leaked", probes.leaks, [])
