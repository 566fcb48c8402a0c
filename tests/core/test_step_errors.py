"""A step adds one note to an error that passes through it: its full name."""

from __future__ import annotations

import dataclasses
import traceback

import pytest
import trio
from bodies import BoomError

from trio_steps import (
    fork,
    step,
)

# Errors


async def test_step_error_keeps_its_type_and_traceback_and_gets_the_full_name() -> None:
    error = BoomError("broken")

    async def broken():
        raise error

    with pytest.raises(BoomError) as caught:
        await step(broken)()
    assert caught.value is error
    assert (error.__cause__, error.__context__) == (None, None)
    assert traceback.extract_tb(error.__traceback__)[-1].name == "broken"
    assert error.__notes__ == ["in step 'broken'"]


async def test_step_error_has_the_name_of_the_innermost_step_only() -> None:
    async def broken():
        raise BoomError

    async def inner():
        await step(broken)()

    async def outer():
        await step(inner)()

    with pytest.raises(BoomError) as caught:
        await step(outer)()
    assert caught.value.__notes__ == ["in step 'outer/inner/broken'"]


@pytest.mark.parametrize("id", ["it's", "C:\\x", "two\nlines"])
async def test_step_error_has_the_name_of_the_innermost_step_only_whatever_its_characters(id) -> None:
    async def broken():
        raise BoomError

    async def outer():
        await step(broken)()

    with pytest.raises(BoomError) as caught:
        await step(outer, id=id)()
    assert caught.value.__notes__ == [f"in step '{id}/broken'"]


async def test_step_error_raised_again_has_the_name_once() -> None:
    error = BoomError()

    async def broken():
        raise error

    for _ in range(3):
        with pytest.raises(BoomError):
            await step(broken)()
    assert error.__notes__ == ["in step 'broken'"]


async def test_step_error_that_was_handled_and_replaced_has_the_name_of_who_raised_it() -> None:
    async def broken():
        raise BoomError

    async def outer():
        try:
            await step(broken)()
        except BoomError as error:
            raise KeyError("replaced") from error

    with pytest.raises(KeyError) as caught:
        await step(outer)()
    assert caught.value.__notes__ == ["in step 'outer'"]
    assert caught.value.__cause__.__notes__ == ["in step 'outer/broken'"]


async def test_step_error_that_takes_no_notes_comes_out_all_the_same() -> None:
    @dataclasses.dataclass(frozen=True)
    class FrozenError(Exception):
        code: int

    error = FrozenError(5)

    @step
    async def broken():
        raise error

    with pytest.raises(FrozenError) as caught:
        await broken()
    assert caught.value is error


async def test_step_error_that_takes_no_notes_is_a_failed_path_all_the_same() -> None:
    @dataclasses.dataclass(frozen=True)
    class FrozenError(Exception):
        code: int

    error = FrozenError(5)

    async def broken():
        raise error

    [result] = await fork("f", mode="settle", paths=[broken])()
    assert result.error is error


async def test_step_that_is_cancelled_adds_no_note() -> None:
    notes = []

    async def outer():
        try:
            await step(trio.sleep_forever)()
        except trio.Cancelled as cancelled:
            notes.append(getattr(cancelled, "__notes__", []))
            raise

    with trio.CancelScope() as scope:
        scope.cancel()
        await step(outer)()
    assert scope.cancelled_caught
    assert notes == [[]]
