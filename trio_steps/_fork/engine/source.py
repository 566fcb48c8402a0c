"""Where the paths of a run come from: they are all known, or taken one by one from a sync or async iterable.

A source is always closed, exactly once. A generator that has not started would not notice that. So a source is asked
for one path even if the fork starts in a cancelled scope, as a hand-written loop would do. That path is not run.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable, Mapping
from contextvars import copy_context
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any, Final, cast, final

from trio_steps._core.describe import describe
from trio_steps._core.errors import ConfigError, short_repr
from trio_steps._core.step import called
from trio_steps._fork.paths import COLLECTIONS, Known, PathNames, describe_all

from .groups import split, split_errors

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence
    from contextvars import Context

    from trio_steps._fork.ledger import Ledger
    from trio_steps._fork.paths import Adapt, Call, Path

_END: Final = object()


def _nothing() -> None:
    return None


def _gives_paths(source: object) -> bool:
    return isinstance(source, (AsyncIterable, Iterable)) and not isinstance(source, (str, bytes, Mapping))


@final
class Source:
    """The paths of one run of a fork.

    Whichever worker is free advances a sync source. So the source has its own context, and the context variables that
    it sets reach no path. Only the caller's task advances and closes an async source.

    Attributes:
      known: all paths, if they are known; otherwise None.
      take: takes the next path, or returns None if there are no more, or no more are wanted.
      is_async: whether to use `take_async` instead, and `aclose` at the end.
      total: how many paths there are, as soon as that is known.
      joined: how many paths were taken or added.
      errors: what the source raised, and then what it raised when it was closed.
      dry: no path is left, or no more are wanted.
    """

    # The defaults fit most forks, whose paths are all known. Setting attributes is most of the cost of a small fork.
    known: Known | None = None
    total: int | None = None
    joined: int = 0
    _left: int = 0  # how many known paths are left, in a growing fork
    _iterator: Iterator[object] | None = None
    _stream: AsyncIterator[object] | None = None
    errors: Sequence[Exception] = ()
    # of a source that is not all known, or grows
    _growing: bool = False
    _context: Context
    _adapt: Adapt | None
    _ledger: Ledger[Any]

    def __init__(self, known: Known | None, ledger: Ledger[Any], adapt: Adapt | None, growing: bool) -> None:
        """Start with `known`, if that is given. Then `ask` and `open` must not be called.

        Args:
          known: all paths, except for those that are added.
          ledger: where the paths are entered.
          growing: paths may be added with `add`, so the end of the source is not the end of the paths.
          adapt: wraps what is called for a path that comes later, given that and the path itself.
        """
        self.dry: bool = False
        if known is None or growing:
            self.take: Callable[[], Path | None] = _nothing
            self._growing = growing
            self._adapt = adapt
            self._ledger = ledger
            self._context = copy_context()
            ledger.names = PathNames()
        if known is not None:
            self._know(known, ledger)

    def _know(self, paths: Known, ledger: Ledger[Any]) -> None:
        self.known = paths
        ids = paths.ids
        if self._growing:
            cast("PathNames", ledger.names).reserve(ids)
            self._iterator = zip(ids, paths.calls)  # noqa: B905 - as long as each other
            self._left = len(ids)
            self.dry = not self._left
            self.take = self._pull
            return
        # the bound method of the iterator: a method of ours would add a call per path
        self.take = partial(next, zip(count(), ids, paths.calls), None)
        self.total = len(ids)
        ledger.expect(ids)

    @property
    def is_async(self) -> bool:
        return self._stream is not None

    async def ask(self, function: Call, args: tuple[Any, ...]) -> None:
        """Call `function`, await the result if it is awaitable, and open it."""
        try:
            source = await called(self._context.run, (function, *args))
        except Exception as error:
            self._fail(error)
        except BaseExceptionGroup as group:
            self._fail_mixed(group)
        else:
            self.open(source)

    def open(self, source: object) -> None:
        """Begin to take paths from `source`.

        Raises:
          ConfigError: `source` can't be iterated over, or its items can't be paths.
        """
        if isinstance(source, COLLECTIONS):
            paths = cast("Collection[object]", source)
            found = describe_all(paths)
            if self._adapt is not None:
                found = Known(found.ids, list(map(self._adapt, found.calls, paths)))
            self._know(found, self._ledger)
        elif not _gives_paths(source):
            shown = short_repr(source)
            form = ", not a mapping: give that as it is, paths={…}" if isinstance(source, Mapping) else ""
            raise ConfigError(
                f"the paths function of fork {self._ledger.name!r} returned {shown}; "
                f"it has to return an iterable of steps, or an async one{form}"
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

    async def begin(self) -> None:
        """Start a source that will be closed without any of its paths being run."""
        if self._stream is not None and hasattr(self._stream, "aclose"):
            try:
                await self.take_async()
            finally:
                await self.aclose()
        elif hasattr(self._iterator, "close"):
            self.take()

    def _pull(self) -> Path | None:
        path = None if self.dry else self._advance()
        if path is None:
            self._close_iterator()
        return path

    def _advance(self) -> Path | None:
        assert self._iterator is not None
        try:
            return self._enter(self._context.run(next, self._iterator, _END))
        except Exception as error:
            self._fail(error)
        except BaseExceptionGroup as group:
            self._fail_mixed(group)
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
            if not self._growing:
                self.end()
            return None
        if self.known is not None:  # and the fork grows
            self._left -= 1
            self.dry = self.dry or not self._left
            return self._number(*cast("tuple[str, Call]", path), given=True)
        return self.add(path)

    def add(self, path: object) -> Path:
        """Enter another path.

        Raises:
          ConfigError: `path` can't be called.
        """
        base, given, call = describe(path)
        if self._adapt is not None:
            call = self._adapt(call, path)
        return self._number(base, call, given=given)

    def _number(self, base: str, call: Call, *, given: bool) -> Path:
        index = self.joined
        self.joined = index + 1
        return index, cast("PathNames", self._ledger.names).add(base, given), call

    def end(self) -> None:
        """Note that no more paths will be entered."""
        self.total = self.joined

    def _fail(self, error: Exception) -> None:
        self.errors = [*self.errors, error]

    def _fail_mixed(self, group: BaseExceptionGroup[BaseException]) -> None:
        errors, rest = split_errors(group)
        if errors is not None:
            self._fail(errors)
        if rest is not None:
            raise rest

    def close(self) -> None:
        """Stop taking paths, and close a sync source that is not exhausted."""
        self.dry = True
        self.take = _nothing
        if self._iterator is not None:
            self._close_iterator()

    def _close_iterator(self) -> None:
        iterator, self._iterator = self._iterator, None
        if self.known is not None and iterator is not None:  # known paths are accounted for even if they never start
            for path in iterator:
                self._enter(path)
        close = getattr(iterator, "close", None)
        if close is not None:
            try:
                self._context.run(close)
            except Exception as error:
                self._fail(error)

    async def aclose(self) -> None:
        """Close an async source."""
        stream, self._stream = self._stream, None
        close = getattr(stream, "aclose", None)
        if close is None:
            return
        try:
            await close()
        except Exception as error:
            self._fail(error)
        except BaseExceptionGroup as group:
            # A nursery in the generator put the GeneratorExit that closes it into a group.
            rest = split(group, GeneratorExit)[1]
            if rest is not None:
                self._fail_mixed(rest)
