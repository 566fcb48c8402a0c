"""What is wrong with a run, except for what only a comparison with other runs can show."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

import trio

from trio_steps._core.errors import leaves
from trio_steps.testing._compare import contents, show
from trio_steps.testing._findings import Finding
from trio_steps.testing._places import place_of_error

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .conductor import Conductor
    from .settings import Settings

_TOO_SLOW: Final = (trio.TooSlowError, TimeoutError)  # TimeoutError is what anyio raises


def judge(
    conductor: Conductor, internal: BaseException | None, heard: list[Finding], settings: Settings
) -> Iterator[Finding]:
    """Yield what is wrong with the run of `conductor`."""
    if conductor.finding is not None:
        yield conductor.finding  # everything else comes from ending the run by force
        return
    if internal is not None:
        cause = internal.__cause__ or internal
        yield Finding(invariant="internal", message=f"{internal}: {cause!r}", place=place_of_error(cause), error=cause)
        return
    if conductor.error is not None:
        yield from _judge_error(conductor, conductor.error, settings.allow)
    else:
        yield from _judge_value(conductor)
    yield from conductor.probe.findings
    for player in conductor.players:
        if not player.ended:
            yield Finding(invariant="task", message=f"{player.label} is still running after the program has ended")
    yield from heard


def _judge_value(conductor: Conductor) -> Iterator[Finding]:
    disturbance = conductor.disturbance
    if disturbance.lost:
        assert disturbance.reached is not None
        assert disturbance.reached_by is not None
        place = place_of_error(disturbance.reached_by)
        of = "" if disturbance.expired is None else f" of {disturbance.expired}"
        yield Finding(
            invariant="cancellation",
            message=f"swallowed: Cancelled{of} reached {disturbance.reached[0]}"
            + ("" if place is None else f", {place.outermost.function} caught it at {place.outermost}")
            + f", and the program returned {show(conductor.value)}",
            place=place,
            what="swallowed",
        )
    for item in contents(conductor.value):
        if issubclass(type(item), trio.Cancelled):  # not isinstance, which asks the object for its class
            stored = cast("trio.Cancelled", item)
            places = [place for error, place in conductor.story.cancellations if error is stored]
            yield Finding(
                invariant="cancellation",
                message=f"stored: a Cancelled is in what the program returned, {show(conductor.value)}",
                place=places[0] if places else place_of_error(stored),
                what="stored",
            )
            return


def _judge_error(
    conductor: Conductor, error: BaseException, allow: tuple[type[BaseException], ...]
) -> Iterator[Finding]:
    disturbance = conductor.disturbance
    for leaf in leaves(error):
        if isinstance(leaf, trio.Cancelled):
            yield Finding(
                invariant="cancellation",
                message="escaped: the program raised Cancelled, but no scope around it was cancelled",
                place=place_of_error(leaf),
                error=leaf,
                what="escaped",
            )
            return
    if _allowed(conductor, error, allow):
        return
    place = place_of_error(error)
    kind = _types_of(error)
    if disturbance.lost:
        assert disturbance.reached is not None
        task, reached = disturbance.reached
        message = f"masked: Cancelled reached {task} at {reached}, but the program raised {_show_error(error)}"
        yield Finding(invariant="cancellation", message=message, place=place, error=error, what=f"masked by {kind}")
    else:
        message = f"the program raised {_show_error(error)}"
        yield Finding(invariant="outcome", message=message, place=place, error=error, what=kind)


def _allowed(conductor: Conductor, error: BaseException, allow: tuple[type[BaseException], ...]) -> bool:
    """Tell whether the program may raise `error`: it is allowed, or it is or comes from the disturbance."""
    if isinstance(error, allow):
        return True
    if isinstance(error, BaseExceptionGroup):
        inner = cast("BaseExceptionGroup[BaseException]", error).exceptions
        return all(_allowed(conductor, one, allow) for one in inner)
    cause: BaseException | None = error
    seen: set[int] = set()
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        if cause is conductor.fault.error or (isinstance(cause, _TOO_SLOW) and _is_of_expired(conductor, cause)):
            return True
        cause = cause.__cause__ or cause.__context__
    return False


def _is_of_expired(conductor: Conductor, error: BaseException) -> bool:
    """Tell whether `error`, a "too slow" error, comes from the scope that was made to expire.

    If no other scope has run out of time, it can only be that one. Otherwise that has to be shown: most often, the
    error comes from another scope, whose code waits for something that will never come.
    """
    expired, scopes = conductor.disturbance.expired, conductor.scopes
    if expired is None or scopes is None or not expired.has_caught:
        return False
    return not scopes.others or expired.raised(error)


def _types_of(error: BaseException) -> str:
    return "+".join(sorted({type(leaf).__name__ for leaf in leaves(error)}))


def _show_error(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup):
        group = cast("BaseExceptionGroup[BaseException]", error)
        return f"{type(group).__name__} of {', '.join(map(_show_error, group.exceptions))}"
    return show(error)
