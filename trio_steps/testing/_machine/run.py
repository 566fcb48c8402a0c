"""One run of a program: its schedule, its disturbance, and its outcome."""

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
      cancelled: whether the injected cancellation ended it.
      injected: whether a cancellation was injected.
      expired: the timeout that fired alone, in words, or None.
      findings: what is wrong; empty if nothing is.
      ignored: findings that were ignored.
      points: the number of points at which it could have been cancelled.
      options: for each decision, how many tasks could have run.
      chosen: for each decision, which task went before which, and where; empty unless a trace was asked for.
      steps: how many steps its tasks took.
      traps: how many calls of its tasks could have failed; counted with a trace, or to make one fail.
      seconds: the virtual time at the end.
      left_batch: whether a task ran before others that had been woken earlier.
      recipe: how to repeat the run.
      program: the program.
      origin: the test that explores the program, if there is one.
      trace: what the tasks did, line by line; empty unless it was asked for.
      objects: the events, locks and channels that its tasks waited for, a line each; with a trace only.
      notes: what makes the run less than deterministic.
      where: the state of the program when it was disturbed; with a trace only.
      reached: the task that the cancellation reached first, and where it waited.
      order: for each step, the path of its task.
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
        """How to repeat the run, in one word, for `replay`."""
        return self.recipe.token(fingerprint(self.order, self.program, self.origin))

    @property
    def choices(self) -> tuple[int, ...]:
        """For each decision, the index of the task that ran among those that could have; 0 is FIFO."""
        return tuple(self.recipe.deviations.get(decision, 0) for decision in range(self.decisions))

    @property
    def decisions(self) -> int:
        """The number of points at which more than one task could have run."""
        return len(self.options)

    @property
    def disturbed(self) -> bool:
        """Whether the program was disturbed."""
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

    If a cancellation seems to be lost, the run is repeated `closely`, watching every cancel scope. That takes time, but
    only then is it known whether one of them rightly caught it.
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
        except BaseExceptionGroup as group:  # from the machinery; errors of the program don't come this way
            for leaf in leaves(group):
                if isinstance(leaf, KeyboardInterrupt):
                    raise leaf from None
            if conductor.finding is None:
                raise
    if isinstance(conductor.error, (KeyboardInterrupt, SystemExit)) and not isinstance(conductor.error, settings.allow):
        raise conductor.error
    if hearing.interrupted and KeyboardInterrupt not in settings.allow:
        raise KeyboardInterrupt  # the program has swallowed it
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
