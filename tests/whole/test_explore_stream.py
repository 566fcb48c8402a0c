"""Streams, explored: cancelled at every point, reordered, and both. No value, no error and no task is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import trio

from trio_steps import ErrorDiscarded, ForkPartialError, Fulfilled, Rejected, stream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from trio_steps.testing import Probe

pytest_plugins = ["_trio_steps_pytest"]  # in case the entry point is not installed

BUDGET = 40


class Values:
    """The values of paths, each of which has to reach the reader, `dispose`, or an error."""

    def __init__(self) -> None:
        self.open: set[str] = set()
        self.errors: list[BaseException] = []

    def path(self, name: str, seconds: float, *, fails: bool = False, shielded: bool = False) -> Callable[[], Any]:
        async def path() -> str:
            with trio.CancelScope(shield=shielded):
                await trio.sleep(seconds)
            if fails:
                self.errors.append(error := OSError(name))
                raise error
            self.open.add(name)
            return name

        return path

    async def dispose(self, name: str) -> None:
        await trio.lowlevel.checkpoint()
        self.open.remove(name)

    def observe(self, event: object) -> None:
        if isinstance(event, ErrorDiscarded):
            self.reported(event.error)

    def reported(self, error: BaseException) -> None:
        self.errors = [known for known in self.errors if known is not error]

    def take(self, result: Any) -> None:
        if isinstance(result, Rejected):
            self.reported(result.error)
        else:
            self.open.remove(result.value if isinstance(result, Fulfilled) else result)

    def fail(self, error: ForkPartialError[Any]) -> None:
        for inside in error.exceptions:
            self.reported(inside)
        for result in error.succeeded:
            self.open.remove(str(result.value))


def source(kind: str, paths: list[Callable[[], Any]]) -> Any:
    async def arriving() -> AsyncIterator[Callable[[], Any]]:
        for path in paths:
            await trio.lowlevel.checkpoint()
            yield path

    def lazy() -> Iterator[Callable[[], Any]]:
        yield from paths

    return {"list": paths, "lazy": lazy(), "async": arriving()}[kind]


OPTIONS: list[dict[str, Any]] = [{}, {"timeout": 2}, {"concurrency": 2}, {"concurrency": 1, "ordered": True}]
WAYS = [(options, leave) for options in OPTIONS for leave in ("end", "break", "raise")]


@pytest.mark.long
@pytest.mark.parametrize("kind", ["list", "lazy", "async"])
@pytest.mark.parametrize("mode", ["settle", "all"])
@pytest.mark.parametrize(("options", "leave"), WAYS)
def test_stream_loses_nothing_wherever_it_is_cancelled(
    explore: Any, mode: Any, kind: str, leave: str, options: dict[str, Any]
) -> None:
    async def program(probe: Probe) -> Any:
        values = Values()
        paths = [
            values.path("a", 1),
            values.path("b", 2, fails=True),
            values.path("c", 1),
            values.path("d", 3, shielded=True),
        ]
        seen: list[str] = []
        try:
            async with stream(
                source(kind, paths), mode=mode, dispose=values.dispose, observers=[values.observe], **options
            ) as results:
                async for result in results:
                    values.take(result)
                    seen.append(str(result))
                    await trio.lowlevel.checkpoint()
                    if leave == "break":
                        break
                    if leave == "raise":
                        raise LookupError
        except ForkPartialError as error:
            values.fail(error)
        except LookupError:
            pass
        finally:
            assert values.open == set(), "each value is taken, disposed of, or in the error"
            assert values.errors == [], "each error is taken, raised, or reported"

    explore(program, budget=BUDGET)


@pytest.mark.long
@pytest.mark.parametrize("wait", [1, 2, 3])
def test_reader_that_stops_waiting_loses_nothing(explore: Any, wait: int) -> None:
    async def program(probe: Probe) -> Any:
        values = Values()
        try:
            async with stream(
                values.path("a", 1),
                values.path("b", 2, fails=True),
                mode="all",
                dispose=values.dispose,
                observers=[values.observe],
            ) as results:
                with trio.move_on_after(wait):
                    values.take(await anext(results))
                    values.take(await anext(results))
                await trio.sleep(1)
        except ForkPartialError as error:
            values.fail(error)
        finally:
            assert (values.open, values.errors) == (set(), [])

    explore(program, budget=BUDGET)
