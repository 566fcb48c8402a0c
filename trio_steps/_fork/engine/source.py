"""Where the paths of a run come from: they are all there, or pulled one by one from an iterable, sync or async."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable
from contextvars import copy_context
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any, Final, cast, final

from trio_steps._core.errors import ConfigError
from trio_steps._core.step import called, describe
from trio_steps._fork.paths import COLLECTIONS, Known, describe_all

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Iterator

    from trio_steps._fork.ledger import Ledger
    from trio_steps._fork.paths import Adapt, Call, Path, PathNames

_END: Final = object()


def _nothing() -> None:
    return None


@final
class Source:
    """The paths of one run of a fork.

    A sync source is advanced by whichever worker is free, so it has a context of its own, in which the context
    variables that it sets reach no path. An async one is advanced and closed by the caller's task only.

    Attributes:
      known: all paths, where they are all there; else None.
      take: takes the next path, or returns None if there is none, or none is wanted any more.
      is_async: whether `take_async` is to be used instead, and `aclose` at the end.
      total: how many there are, as soon as that is known.
      error: what it raised.
      dry: there is no path left, or none is wanted any more.
    """

    __slots__ = (
        "_adapt",
        "_context",
        "_iterator",
        "_ledger",
        "_pulled",
        "_stream",
        "dry",
        "error",
        "known",
        "take",
        "total",
    )

    def __init__(self, known: Known | None, ledger: Ledger[Any], adapt: Adapt | None = None) -> None:
        """Begin with `known`, if that is given; then `ask` and `open` are not to be called.

        Args:
          known: all paths.
          ledger: where they are entered.
          adapt: makes of what to call for a path that comes later, and the path itself, what to call instead.
        """
        self.known: Known | None = None
        self.take: Callable[[], Path | None] = _nothing
        self.total: int | None = None
        self.error: Exception | None = None
        self.dry = False
        self._pulled = 0
        self._adapt = adapt
        self._ledger = ledger
        self._context = copy_context()
        self._iterator: Iterator[object] | None = None
        self._stream: AsyncIterator[object] | None = None
        if known is not None:
            self._know(known)

    def _know(self, paths: Known) -> None:
        self.known = paths
        # no method of ours: each path pays for this call
        self.take = partial(next, zip(count(), paths.ids, paths.calls), None)
        self.total = len(paths)
        self._ledger.expect(paths.ids)

    @property
    def is_async(self) -> bool:
        return self._stream is not None

    async def ask(self, function: Call, args: tuple[Any, ...]) -> None:
        """Open what `function` returns, once it is awaited if it has to be."""
        try:
            source = await called(self._context.run, (function, *args))
        except Exception as error:
            self._fail(error)
            return
        self.open(source)

    def open(self, source: object) -> None:
        """Begin to take paths from `source`.

        Raises:
          ConfigError: it can't be iterated over, or what it holds can't be paths.
        """
        if isinstance(source, COLLECTIONS):
            paths = cast("Collection[object]", source)
            found = describe_all(paths)
            if self._adapt is not None:
                found = Known(found.ids, list(map(self._adapt, found.calls, paths)))
            self._know(found)
        elif not isinstance(source, (AsyncIterable, Iterable)):
            raise ConfigError(
                f"the paths function of fork {self._ledger.name!r} returned {source!r}; "
                "it has to return an iterable of steps, or an async one"
            )
        else:
            try:
                if isinstance(source, AsyncIterable):
                    self._stream = aiter(cast("AsyncIterable[object]", source))
                else:
                    self._iterator = self._context.run(iter, cast("Iterable[object]", source))
                    self.take = self._pull
            except Exception as error:
                self._fail(error)

    def _pull(self) -> Path | None:
        if self.dry:
            return None
        assert self._iterator is not None
        try:
            return self._enter(self._context.run(next, self._iterator, _END))
        except Exception as error:
            self._fail(error)
            return None

    async def take_async(self) -> Path | None:
        """Take the next path of an async source, as `take` does."""
        if self.dry:
            return None
        assert self._stream is not None
        try:
            return self._enter(await anext(self._stream, _END))
        except Exception as error:
            self._fail(error)
        except BaseExceptionGroup as group:
            self._fail_mixed(group)
        return None

    def _enter(self, path: object) -> Path | None:
        if path is _END:
            self.dry = True
            self.total = self._pulled
            return None
        base, given, call = describe(path)
        if self._adapt is not None:
            call = self._adapt(call, path)
        index = self._pulled
        self._pulled = index + 1
        return index, cast("PathNames", self._ledger.names).add(base, given), call

    def _fail(self, error: Exception) -> None:
        self.dry = True
        self.error = error

    def _fail_mixed(self, group: BaseExceptionGroup[BaseException]) -> None:
        errors, rest = group.split(Exception)
        if isinstance(errors, Exception):
            self._fail(errors)
        assert rest is not None  # a group of errors only is an Exception
        raise rest

    def close(self) -> None:
        """Let no path be taken any more, and close a sync source that has more to give."""
        close = None if self.dry else getattr(self._iterator, "close", None)
        self.dry = True
        self.take = _nothing
        if close is not None:
            self._context.run(close)

    async def aclose(self) -> None:
        """Close an async source."""
        close = getattr(self._stream, "aclose", None)
        if close is None:
            return
        try:
            await close()
        except Exception as error:
            self._fail(error)
        except BaseExceptionGroup as group:
            # a nursery in the generator has put the GeneratorExit that closes it into a group
            rest: Any = group.split(GeneratorExit)[1]
            if isinstance(rest, Exception):
                self._fail(rest)
            elif rest is not None:
                self._fail_mixed(rest)
