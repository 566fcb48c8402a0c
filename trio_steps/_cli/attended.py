"""A run that a person watches: progress on standard error, Ctrl-C, and a list of unfinished steps.

The first Ctrl-C, SIGTERM or SIGHUP cancels the run, which then has all the time that it needs to clean up. A second
Ctrl-C cuts that short, with Trio's own `KeyboardInterrupt`.
"""

from __future__ import annotations

import importlib.util
import signal
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, TextIO, TypeAlias, final

import attrs
import trio

from trio_steps._core.errors import leaves
from trio_steps._core.events.records import StepCancelled, StepFailed, StepRetrying, StepSkipped, StepSucceeded
from trio_steps._observers.rows import clock, headline, plain

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator, Sequence

    from trio_steps._core.events.records import Event, Observer
    from trio_steps._core.scope import Scope

Runner: TypeAlias = "Callable[[list[Observer]], Coroutine[Any, Any, Any]]"

_SIGNALS: Final = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
_MOST_LINES: Final = 20  # lines for the inside of one step: no one reads a million


@final
class Lines:
    """An observer that writes a line when a step has ended, and when it is tried again.

    With `of_many`, each line begins with the id of its run.
    """

    def __init__(self, file: TextIO, *, of_many: bool = False) -> None:
        self._file = file
        self._of_many = of_many
        self._counts: dict[Scope | None, int] = {}  # the number of lines, by the scope around

    def __call__(self, event: Event) -> None:
        """Write a line if the event matters to a person."""
        text = None if event.quiet else _line(event, self._of_many)
        if text is None:
            return
        self._counts.pop(event.scope, None)
        around = event.scope.parent
        count = self._counts[around] = self._counts.get(around, 0) + 1
        if count <= _MOST_LINES or isinstance(event, (StepFailed, StepRetrying)):
            self._write(text)
        elif count == _MOST_LINES + 1:
            self._write("  …")

    def _write(self, line: str) -> None:
        self._file.write(f"{line}\n")
        self._file.flush()


def _line(event: Event, of_many: bool) -> str | None:
    run_id = event.scope.run_id if of_many else None
    name = plain(event.name if run_id is None else f"{run_id}: {event.name}")
    if isinstance(event, StepSucceeded):
        return f"  done       {name}  {clock(event.duration)}"
    if isinstance(event, StepFailed):
        return f"  failed     {name}  {clock(event.duration)}  {plain(headline(event.error))}"
    if isinstance(event, StepCancelled):
        return f"  cancelled  {name}  {clock(event.duration)}  {plain(event.reason)}"
    if isinstance(event, StepSkipped):
        return f"  skipped    {name}  {plain(event.reason)}"
    if isinstance(event, StepRetrying):
        return f"  retrying   {name}  in {clock(event.delay)}  {plain(headline(event.error))}"
    return None


@final
class Unfinished:
    """An observer that notes which steps did not finish, once it is told to."""

    def __init__(self) -> None:
        self._notes = False
        self._names: dict[Scope, str] = {}

    def begin(self) -> None:
        """Start to take notes."""
        self._notes = True

    def __call__(self, event: Event) -> None:
        """Note a step that is cancelled, or fails."""
        if self._notes and isinstance(event, (StepCancelled, StepFailed)):
            self._names[event.scope] = event.name

    def names(self) -> list[str]:
        """Return the names of the innermost steps."""
        around = {scope.parent for scope in self._names}
        return [name for scope, name in self._names.items() if scope not in around]


@final
@attrs.frozen(kw_only=True)
class End:
    """How a run ended.

    Attributes:
      result: its result, if it ended without an error or signal.
      error: the error that it raised, perhaps while it cleaned up.
      signal: the signal that ended it, if one did.
      unfinished: the full names of the steps that were running then.
    """

    result: Any = None
    error: BaseException | None = None
    signal: int | None = None
    unfinished: Sequence[str] = ()


def exits(error: BaseException) -> bool:
    """Tell whether a step has called `sys.exit`, and nothing worse has happened."""
    found = list(leaves(error))
    return any(isinstance(leaf, SystemExit) for leaf in found) and all(
        isinstance(leaf, (Exception, SystemExit)) for leaf in found
    )


def attended(run: Runner, observers: list[Observer], file: TextIO, *, quiet: bool) -> End:
    """Run `run` with `observers`, report its progress on `file`, and return how it ended.

    Args:
      run: called with the observers.
      observers: other observers.
      file: standard error.
      quiet: show no progress.
    """
    unfinished = Unfinished()
    try:
        return trio.run(_shown, run, observers, unfinished, file, quiet)
    except BaseException as error:
        if not any(isinstance(leaf, KeyboardInterrupt) for leaf in leaves(error)):
            raise
        _say(file, "interrupted again: the clean-up is cut short")
        return End(signal=signal.SIGINT, unfinished=unfinished.names())


async def _shown(run: Runner, observers: list[Observer], unfinished: Unfinished, file: TextIO, quiet: bool) -> End:
    observers = [*observers, unfinished]
    if not quiet and file.isatty() and importlib.util.find_spec("rich") is not None:
        from trio_steps.terminal import LiveTree  # noqa: PLC0415 - it needs rich

        async with LiveTree() as tree:
            return await _watched(run, [*observers, tree], unfinished, file)
    return await _watched(run, observers if quiet else [*observers, Lines(file)], unfinished, file)


async def _watched(run: Runner, observers: list[Observer], unfinished: Unfinished, file: TextIO) -> End:
    scope = trio.CancelScope()
    error: BaseException | None = None
    with stopped_by_signal(scope, file, unfinished.begin) as taken:
        try:
            with scope:
                return End(result=await run(observers))
        except Exception as caught:  # noqa: BLE001 - whatever it is, the run has come to that
            error = caught
        except (SystemExit, BaseExceptionGroup) as caught:
            if not exits(caught):
                raise
            error = caught  # its status would mean something else here
    return End(error=error, signal=taken[0] if taken else None, unfinished=unfinished.names())


@contextmanager
def stopped_by_signal(
    scope: trio.CancelScope, file: TextIO, then: Callable[[], object] = lambda: None
) -> Generator[list[int]]:
    """On the first signal to stop, add it to the list, say so on `file`, call `then`, and cancel `scope`."""
    taken: list[int] = []

    def take(number: int) -> None:
        taken.append(number)
        _say(file, "interrupted: cleaning up …")
        then()
        scope.cancel("Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name)

    with _first_signal(take):
        yield taken


def _say(file: TextIO, line: str) -> None:
    with suppress(OSError):  # no one reads it any more
        file.write(f"{line}\n")
        file.flush()


@contextmanager
def _first_signal(then: Callable[[int], object]) -> Generator[None]:
    """Call `then` in the event loop with the first signal to stop. Later signals have their usual effect.

    A signal that was ignored, as by `nohup`, stays ignored.
    """
    token = trio.lowlevel.current_trio_token()

    def take(number: int, _frame: object) -> None:
        restore()
        token.run_sync_soon(then, number)

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    heeded = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, take) for number in heeded}
    try:
        yield
    finally:
        restore()
