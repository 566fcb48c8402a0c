"""The floor of P11: what a person would write to keep the main promises of a small fork, each for one mode.

Here are the scope of the fork and of each path, the names of tasks, a place for each value, notes on errors, reasons of
cancellations, and both looks for a cancellation from outside. Everything else that a fork does is left out: options,
ids, observers, `dispose`, late values and errors, policies, custom modes, and checks of what is given.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

import trio

from trio_steps import Fulfilled, Rejected

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .work import Path


class Here:
    """Where the code runs: in a fork, or in a path of it."""

    __slots__ = ("name", "parent")

    def __init__(self, name: str, parent: Here | None) -> None:
        self.name = name
        self.parent = parent


_here: Final[ContextVar[Here | None]] = ContextVar("by_hand", default=None)


async def gather_by_hand(paths: Sequence[Path], _limit: Any) -> tuple[Any, ...]:
    await trio.lowlevel.checkpoint_if_cancelled()
    fork = Here("gather", _here.get())
    token = _here.set(fork)
    try:
        values: list[Any] = [None] * len(paths)
        errors: dict[int, Exception] = {}
        async with trio.open_nursery(strict_exception_groups=True) as tasks:

            async def worker(index: int, path: Path) -> None:
                name = f"gather/{index}"
                trio.lowlevel.current_task().name = name
                _here.set(Here(name, fork))
                try:
                    values[index] = await path()
                except Exception as error:  # noqa: BLE001 - raised below
                    error.add_note(f"in {name!r}")
                    errors[index] = error
                    tasks.cancel_scope.cancel(f"path {index} failed")

            for index, path in enumerate(paths):
                tasks.start_soon(worker, index, path, name="gather")
        await trio.lowlevel.checkpoint_if_cancelled()
        if errors:
            raise ExceptionGroup("gather", [errors[index] for index in sorted(errors)])
        return tuple(values)
    finally:
        _here.reset(token)


async def race_by_hand(paths: Sequence[Path], _limit: Any) -> Any:
    await trio.lowlevel.checkpoint_if_cancelled()
    fork = Here("race", _here.get())
    token = _here.set(fork)
    try:
        values: list[Any] = [None] * len(paths)
        errors: dict[int, Exception] = {}
        winner: int | None = None
        async with trio.open_nursery(strict_exception_groups=True) as tasks:

            async def worker(index: int, path: Path) -> None:
                nonlocal winner
                name = f"race/{index}"
                trio.lowlevel.current_task().name = name
                _here.set(Here(name, fork))
                try:
                    values[index] = await path()
                except Exception as error:  # noqa: BLE001 - raised below
                    error.add_note(f"in {name!r}")
                    errors[index] = error
                else:
                    if winner is None:
                        winner = index
                        tasks.cancel_scope.cancel(f"path {index} won")

            for index, path in enumerate(paths):
                tasks.start_soon(worker, index, path, name="race")
        await trio.lowlevel.checkpoint_if_cancelled()
        if winner is None:
            raise ExceptionGroup("race", [errors[index] for index in sorted(errors)])
        return values[winner]
    finally:
        _here.reset(token)


async def settle_by_hand(paths: Sequence[Path], limit: int) -> list[Any]:
    await trio.lowlevel.checkpoint_if_cancelled()
    fork = Here("settle", _here.get())
    token = _here.set(fork)
    try:
        results: list[Any] = [None] * len(paths)
        async with trio.open_nursery(strict_exception_groups=True) as tasks:
            left = iter(enumerate(paths))

            async def worker(index: int, path: Path) -> None:
                name = f"settle/{index}"
                trio.lowlevel.current_task().name = name
                _here.set(Here(name, fork))
                try:
                    results[index] = Fulfilled(name, await path())
                except Exception as error:  # noqa: BLE001 - a result
                    error.add_note(f"in {name!r}")
                    results[index] = Rejected(name, error)
                for more in left:
                    context.run(tasks.start_soon, worker, *more, name="settle")
                    break

            context = trio.lowlevel.current_task().context.copy()
            for _, task in zip(range(limit), left, strict=False):
                tasks.start_soon(worker, *task, name="settle")
        await trio.lowlevel.checkpoint_if_cancelled()
        return results
    finally:
        _here.reset(token)
