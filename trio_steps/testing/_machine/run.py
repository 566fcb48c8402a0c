"""One run of a program: under which schedule, what was done to it, and what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

import attrs
import trio

from trio_steps._core.errors import leaves
from trio_steps.testing._probe import Probe

from .conductor import Conductor
from .faults import Fault
from .hearing import Hearing
from .judge import judge
from .schedules import Follows, Schedule, Script
from .token import Recipe, fingerprint

if TYPE_CHECKING:
    from trio_steps.testing._findings import Finding
    from trio_steps.testing._places import Place

    from .scopes import Scopes
    from .settings import Program, Settings
    from .trace import Where


@final
@attrs.frozen(kw_only=True, eq=False)
class Run:
    """One run of a program.

    Attributes:
      value: what the program returned, or None.
      error: what it raised, or None.
      cancelled: whether the cancellation that was injected ended it.
      injected: whether one was injected.
      expired: the timeout that fired alone, in words; None if none did.
      findings: what is wrong; nothing, if it is empty.
      ignored: what would be wrong, had it not been ignored.
      points: at how many points it could have been cancelled.
      options: how many tasks could have gone on at each decision.
      chosen: of each decision, who went before whom, and where; empty unless a trace was asked for.
      steps: how many steps its tasks took.
      traps: how many calls its tasks made that could have failed; counted with a trace, or to make one fail.
      seconds: the virtual time at the end.
      left_batch: whether a task went on before others that had been woken before it.
      recipe: how to do it again.
      program: what was run.
      origin: the test that explores it, if it is one.
      trace: what the tasks did, line by line; empty unless it was asked for.
      objects: the events, locks and channels that its tasks waited for, a line each; with a trace only.
      notes: what makes the run less than deterministic.
      where: how the program stood when it was disturbed; with a trace only.
      reached: the task that the cancellation came to first, and where that waited.
      order: the path of the task of every step.
    """

    value: Any
    error: BaseException | None
    cancelled: bool
    injected: bool
    expired: str | None
    findings: tuple[Finding, ...]
    ignored: tuple[Finding, ...]
    points: int
    options: tuple[int, ...]
    chosen: tuple[str, ...]
    steps: int
    traps: int
    seconds: float
    left_batch: bool
    recipe: Recipe
    program: Program = attrs.field(repr=False)
    origin: str
    trace: tuple[str, ...]
    objects: tuple[str, ...]
    notes: tuple[str, ...]
    where: Where | None
    reached: tuple[str, Place | None] | None
    order: tuple[tuple[int, ...], ...]
    scopes: Scopes | None = attrs.field(default=None, repr=False)

    @property
    def token(self) -> str:
        """How to do it again, in one word, for `replay`."""
        return self.recipe.token(fingerprint(self.order, self.program, self.origin))

    @property
    def choices(self) -> tuple[int, ...]:
        """Which of the tasks that could have gone on did, at each decision; 0 is FIFO."""
        return tuple(self.recipe.deviations.get(decision, 0) for decision in range(self.decisions))

    @property
    def decisions(self) -> int:
        """At how many points more than one task could have gone on."""
        return len(self.options)

    @property
    def disturbed(self) -> bool:
        """Whether anything was done to the program."""
        return self.where is not None


def perform(
    program: Program,
    recipe: Recipe,
    settings: Settings,
    *,
    schedule: Schedule | None = None,
    keep_log: bool = False,
    survey: bool = False,
    closely: bool = False,
) -> Run:
    """Run `program` as `recipe` says, or in the order that `schedule` decides.

    If a cancellation seems to be lost, this is done once more, `closely`: with an eye on every cancel scope. That takes
    time, but only then can be said whether one of them has rightly caught it.
    """
    probe = Probe()
    probe.started(program)
    hearing = Hearing(settings.warned)
    conductor = Conductor(
        program,
        probe,
        Script(recipe.deviations) if schedule is None and (recipe.deviations or keep_log) else schedule,
        recipe,
        Fault(recipe.fault_at, settings.fault),
        hearing,
        max_steps=settings.max_steps,
        max_seconds=settings.max_seconds,
        keep_log=keep_log,
        survey=survey,
        closely=closely,
        clock=settings.clock,
        footprints=schedule.footprints if isinstance(schedule, Follows) else None,
    )
    internal: BaseException | None = None
    with hearing.listening(origins=keep_log or settings.ignores_places):
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
    if hearing.interrupted and KeyboardInterrupt not in settings.allow:
        raise KeyboardInterrupt  # which the program has swallowed
    disturbance = conductor.disturbance
    done = attrs.evolve(
        recipe,
        deviations=conductor.turns.deviations,
        expire_at=None if disturbance.expired is None else recipe.expire_at,
        scope=recipe.scope if disturbance.expired is None else disturbance.expired.number,
        chance=None,
    )
    if disturbance.lost and conductor.finding is None and conductor.scopes is None:
        return perform(program, done, settings, keep_log=keep_log, closely=True)
    found = tuple(judge(conductor, internal, hearing.findings, settings))
    return Run(
        value=conductor.value,
        error=conductor.error,
        cancelled=disturbance.injected and disturbance.caught,
        injected=disturbance.injected,
        expired=None if disturbance.expired is None else str(disturbance.expired),
        findings=tuple(finding for finding in found if not settings.ignores(finding)),
        ignored=tuple(filter(settings.ignores, found)),
        points=conductor.points,
        options=tuple(conductor.turns.options),
        chosen=tuple(conductor.story.chosen),
        steps=conductor.steps,
        traps=conductor.fault.calls,
        seconds=conductor.now,
        left_batch=conductor.turns.left_batch,
        recipe=done,
        program=program,
        origin=settings.origin,
        trace=tuple(conductor.story.lines),
        objects=_objects(conductor),
        notes=tuple(conductor.notes),
        where=disturbance.where,
        reached=disturbance.reached,
        order=tuple(conductor.order),
        scopes=conductor.scopes if survey else None,
    )


def _objects(conductor: Conductor) -> tuple[str, ...]:
    if conductor.lookout.synced is None:
        return ()
    where = conductor.disturbance.where
    said = [*conductor.story.lines, *(() if where is None else where.lines)]
    if conductor.finding is not None:
        said.append(conductor.finding.message)
    return tuple(conductor.lookout.synced.lines("\n".join(said)))
