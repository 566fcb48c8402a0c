"""How results and errors narrow. Checked by mypy and pyright, never run.

An error that has to be one carries an ignore of its own for each checker; both report an ignore without an error.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, assert_never, assert_type

from trio_steps import ForkPartialError, Fulfilled, Kind, Rejected, SettleResult, settle

if TYPE_CHECKING:
    import outcome


async def number() -> int:
    return 1


async def text() -> str:
    return ""


def status_narrows(result: SettleResult[int]) -> None:
    assert_type(result.status, Literal["fulfilled", "rejected"])
    assert_type(result.value, int | None)
    assert_type(result.error, Exception | None)
    assert_type(result.step_id, str)
    if result.status == "fulfilled":
        assert_type(result, Fulfilled[int])
        assert_type(result.value, int)
        assert_type(result.error, None)
    else:
        assert_type(result, Rejected)
        assert_type(result.value, None)
        assert_type(result.error, Exception)
        assert_type(result.kind, Kind)


def isinstance_narrows(result: SettleResult[int]) -> None:
    if isinstance(result, Fulfilled):
        assert_type(result, Fulfilled[int])
    else:
        assert_type(result, Rejected)


def match_narrows(result: SettleResult[int]) -> int | str:
    match result:
        case Fulfilled(value=value):
            assert_type(value, int)
            return value
        case Rejected(error=error):
            assert_type(error, Exception)
            return repr(error)
        case _:
            assert_never(result)


def unwrap_returns_or_raises(result: SettleResult[int], fulfilled: Fulfilled[int], rejected: Rejected) -> int:
    assert_type(result.unwrap(), int)
    assert_type(fulfilled.unwrap(), int)
    value: outcome.Value[int] = fulfilled.outcome
    error: outcome.Error = rejected.outcome
    del value, error
    rejected.unwrap()


def results_are_covariant(result: SettleResult[bool]) -> SettleResult[int]:
    return result


def every_result_has_a_kind(result: SettleResult[int], fulfilled: Fulfilled[int]) -> None:
    assert_type(result.kind, Kind | None)
    assert_type(fulfilled.kind, None)


async def each_result_of_settle_narrows() -> int:
    user, name = await settle(number, text, timeout=1.0)
    if user.status == "rejected":
        raise user.error
    assert_type(user.value, int)
    if isinstance(name, Rejected):
        return 0
    assert_type(name.value, str)
    return user.value + len(name.value)


async def a_partial_error_is_a_group_of_exceptions() -> None:
    try:
        await number()
    except ForkPartialError as error:
        assert_type(error.step_id, str)
        assert_type(error.succeeded, tuple[Fulfilled[object], ...])
        assert_type(error.failed, Sequence[Rejected])
        assert_type(error.kind, Literal["fork_partial"])
        first: Exception = error.exceptions[0]
        raise first from None


def a_partial_error_of_a_kind(error: ForkPartialError[OSError]) -> None:
    assert_type(error.derive([ValueError()]), ForkPartialError[ValueError])
    failed: ForkPartialError[Exception] = error
    del failed
