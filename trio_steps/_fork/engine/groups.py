"""Splits exception groups that other code made, whose ``derive`` may fail."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from trio_steps._core.errors import leaves, short_repr

if TYPE_CHECKING:
    from collections.abc import Iterator


def split(
    group: BaseExceptionGroup[BaseException], kind: type[BaseException]
) -> tuple[BaseExceptionGroup[BaseException] | None, BaseExceptionGroup[BaseException] | None]:
    """Return the part of `group` that is of `kind`, and the rest; None for an empty part."""
    try:
        found, rest = group.split(kind)
    except Exception as problem:  # noqa: BLE001 - whatever someone's `derive` does, nothing in the group is lost
        why = f"{type(group).__name__}, which can't be split: {short_repr(problem)}"
        of_kind = [leaf for leaf in leaves(group) if isinstance(leaf, kind)]
        others = [leaf for leaf in leaves(group) if not isinstance(leaf, kind)]
        return (BaseExceptionGroup(why, of_kind) if of_kind else None), (
            BaseExceptionGroup(why, others) if others else None
        )
    return found, rest


def split_errors(
    group: BaseExceptionGroup[BaseException],
) -> tuple[Exception | None, BaseExceptionGroup[BaseException] | None]:
    """Return the part of `group` that is of type `Exception`, and the rest; None for an empty part."""
    errors, rest = split(group, Exception)
    return cast("Exception | None", errors), rest


def parts(error: BaseException) -> Iterator[BaseException]:
    """Yield `error`, its members if it is a group, and its causes."""
    seen: set[int] = set()
    left = [error]
    while left:
        one = left.pop()
        if id(one) not in seen:
            seen.add(id(one))
            yield one
            if isinstance(one, BaseExceptionGroup):
                left.extend(cast("BaseExceptionGroup[BaseException]", one).exceptions)
            cause: BaseException | None = cast("Any", BaseException).__cause__.__get__(one)
            if cause is not None:
                left.append(cause)
