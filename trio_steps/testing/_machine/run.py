"""One run of a program: under which schedule, what was done to it, and what is wrong with it."""

from __future__ import annotations

import gc
import re
import sys
import warnings
from collections.abc import Awaitable, Callable, Generator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, cast, final

import attrs
import trio

from trio_steps._core.errors import leaves
from trio_steps.testing._compare import contents, show
from trio_steps.testing._findings import FaultInjectedError, Finding
from trio_steps.testing._places import Place, place_of_error, scrub
from trio_steps.testing._probe import Probe

from .conductor import Conductor
from .faults import Fault
from .schedules import Schedule, Script
from .token import Recipe, fingerprint

if TYPE_CHECKING:
    from .trace import Where


_ORIGIN: Final = re.compile(r'File "(.+)", line (\d+), in (\S+)')

Values: TypeAlias = Literal["undisturbed", "any"]

Program: TypeAlias = Callable[[Probe], Awaitable[Any]]
"""An async function that is called with a new `Probe` for each run."""


@final
@attrs.frozen(kw_only=True)
class Settings:
    """What goes for every run of a program.

    Attributes:
      allow: errors that the program may end with.
      max_steps: how many steps of tasks a run may have; fewer are left to it when it is cancelled.
      max_seconds: how much virtual time it may take after it was cancelled.
      fault: makes what `sweep_faults` raises.
      values: what the program may return after a fault: what it returns undisturbed, or anything.
    """

    allow: tuple[type[BaseException], ...] = ()
    max_steps: int = 20_000
    max_seconds: float = 300.0
    fault: Callable[[], BaseException] = FaultInjectedError
    values: Values = "undisturbed"


@final
@attrs.frozen(kw_only=True, eq=False)
class Run:
    """One run of a program.

    Attributes:
      value: what the program returned, or None.
      error: what it raised, or None.
      cancelled: whether the cancellation that was injected ended it.
      injected: whether one was injected.
      findings: what is wrong; nothing, if it is empty.
      points: at how many points it could have been cancelled.
      options: how many tasks could have gone on at each decision.
      choices: which of them did; 0 is FIFO.
      chosen: what it is called; empty unless a trace was asked for.
      steps: how many steps its tasks took.
      traps: how many times its tasks waited.
      seconds: the virtual time at the end.
      left_batch: whether a task went on before others that had been woken before it.
      recipe: how to do it again.
      token: the same in one word, for `replay`.
      trace: what the tasks did, line by line; empty unless it was asked for.
      notes: what makes the run less than deterministic.
      where: how the program stood when it was cancelled or given a fault; with a trace only.
      reached: the task that the cancellation came to first, and where that waited.
      order: the path of the task of every step.
    """

    value: Any
    error: BaseException | None
    cancelled: bool
    injected: bool
    findings: tuple[Finding, ...]
    points: int
    options: tuple[int, ...]
    choices: tuple[int, ...]
    chosen: tuple[str, ...]
    steps: int
    traps: int
    seconds: float
    left_batch: bool
    recipe: Recipe
    token: str
    trace: tuple[str, ...]
    notes: tuple[str, ...]
    where: Where | None
    reached: tuple[str, Place | None] | None
    order: tuple[tuple[int, ...], ...]

    @property
    def decisions(self) -> int:
        """At how many points more than one task could have gone on."""
        return len(self.options)


def perform(
    program: Program, recipe: Recipe, settings: Settings, *, schedule: Schedule | None = None, keep_log: bool = False
) -> Run:
    """Run `program` as `recipe` says, or in the order that `schedule` decides."""
    probe = Probe()
    probe.started(program)
    conductor = Conductor(
        program,
        probe,
        Script(recipe.deviations) if schedule is None else schedule,
        recipe.policy,
        cancel_at=recipe.cancel_at,
        fault=Fault(recipe.fault_at, settings.fault),
        max_steps=settings.max_steps,
        max_seconds=settings.max_seconds,
        keep_log=keep_log,
    )
    internal: BaseException | None = None
    with _listening(keep_log) as heard:
        try:
            conductor.run()
        except trio.TrioInternalError as error:
            internal = error
        except BaseExceptionGroup as group:  # of the machinery; what the program raises doesn't come this way
            for leaf in leaves(group):
                if isinstance(leaf, KeyboardInterrupt):
                    raise leaf from None
            if conductor.finding is None:
                raise
    if isinstance(conductor.error, (KeyboardInterrupt, SystemExit)) and not isinstance(conductor.error, settings.allow):
        raise conductor.error
    found = tuple(_judge(conductor, internal, heard, settings))
    done = attrs.evolve(recipe, deviations={index: choice for index, choice in enumerate(conductor.choices) if choice})
    return Run(
        value=conductor.value,
        error=conductor.error,
        cancelled=conductor.injected and conductor.scope.cancelled_caught,
        injected=conductor.injected,
        findings=found,
        points=conductor.points,
        options=tuple(conductor.options),
        choices=tuple(conductor.choices),
        chosen=tuple(conductor.story.chosen),
        steps=conductor.steps,
        traps=conductor.fault.traps,
        seconds=conductor.current_time(),
        left_batch=conductor.left_batch,
        recipe=done,
        token=done.token(fingerprint(conductor.order)),
        trace=tuple(conductor.story.lines),
        notes=tuple(conductor.notes),
        where=conductor.where,
        reached=conductor.reached,
        order=tuple(conductor.order),
    )


def _judge(
    conductor: Conductor, internal: BaseException | None, heard: list[Finding], settings: Settings
) -> Iterator[Finding]:
    """Yield what is wrong with a run, but for what only other runs can tell."""
    if conductor.finding is not None:
        yield conductor.finding  # and what was done to end the run explains the rest
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
            yield Finding(invariant="task", message=f"{player.label} is still there when the program has ended")
    yield from heard


def _judge_value(conductor: Conductor) -> Iterator[Finding]:
    if conductor.injected and not conductor.scope.cancelled_caught and conductor.reached is not None:
        assert conductor.reached_by is not None
        place = place_of_error(conductor.reached_by)
        yield Finding(
            invariant="cancellation",
            message=f"swallowed: Cancelled reached {conductor.reached[0]}"
            + ("" if place is None else f", {place.outermost.function} caught it at {place.outermost}")
            + f", and the program returned {show(conductor.value)}",
            place=place,
        )
    for item in contents(conductor.value):
        if isinstance(item, trio.Cancelled):
            places = [place for error, place in conductor.story.cancellations if error is item]
            yield Finding(
                invariant="cancellation",
                message=f"stored: a Cancelled is in what the program returned, {show(conductor.value)}",
                place=places[0] if places else place_of_error(item),
            )
            return


def _judge_error(
    conductor: Conductor, error: BaseException, allow: tuple[type[BaseException], ...]
) -> Iterator[Finding]:
    for leaf in leaves(error):
        if isinstance(leaf, trio.Cancelled):
            yield Finding(
                invariant="cancellation",
                message="escaped: the program raised Cancelled, and no scope around it was cancelled",
                place=place_of_error(leaf),
                error=leaf,
            )
            return
    if _allowed(error, allow, conductor.fault.error):
        return
    place = place_of_error(error)
    if conductor.injected and conductor.reached is not None:
        task, reached = conductor.reached
        message = f"masked: Cancelled reached {task} at {reached}, but the program raised {_show_error(error)}"
        yield Finding(invariant="cancellation", message=message, place=place, error=error)
    else:
        yield Finding(invariant="outcome", message=f"the program raised {_show_error(error)}", place=place, error=error)


def _allowed(error: BaseException, allow: tuple[type[BaseException], ...], fault: BaseException | None) -> bool:
    """Tell whether the program may raise `error`: it is allowed, it is the fault, or it comes from that."""
    if isinstance(error, allow):
        return True
    if isinstance(error, BaseExceptionGroup):
        group: object = cast("object", error)
        return all(_allowed(inner, allow, fault) for inner in _inner(group))
    cause: BaseException | None = error
    while cause is not None and fault is not None:
        if cause is fault:
            return True
        cause = cause.__cause__ or cause.__context__
    return False


def _inner(group: object) -> tuple[BaseException, ...]:
    return cast("BaseExceptionGroup[BaseException]", group).exceptions


def _show_error(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup):
        group: object = cast("object", error)
        return f"{type(group).__name__} of {', '.join(map(_show_error, _inner(group)))}"
    return show(error)


@contextmanager
def _listening(origins: bool) -> Generator[list[Finding]]:
    """Hear what Python has to say of the objects of one run, and of no other; `origins`: tell where they come from."""
    heard: list[Finding] = []

    def unraisable(what: Any) -> None:
        place = None if what.exc_value is None else place_of_error(what.exc_value)
        text = scrub(f"{type(what.exc_value).__name__}: {what.exc_value}, ignored in {what.object!r}")
        heard.append(Finding(invariant="warning", message=text, place=place))

    hook, collects, depth = sys.unraisablehook, gc.isenabled(), sys.get_coroutine_origin_tracking_depth()
    sys.unraisablehook = unraisable
    sys.set_coroutine_origin_tracking_depth(1 if origins else 0)
    gc.disable()
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield heard
    finally:
        sys.unraisablehook = hook
        sys.set_coroutine_origin_tracking_depth(depth)
        if collects:
            gc.enable()
    for warning in caught:
        text = str(warning.message)
        if "was never awaited" in text or text.startswith("Async generator"):
            origin = _ORIGIN.search(text)
            place = None if origin is None else Place(origin[1], int(origin[2]), origin[3])
            heard.append(Finding(invariant="warning", message=scrub(text.split("\n", 1)[0]), place=place))
        else:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
