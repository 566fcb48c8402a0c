"""The cases of ``branch_on``: what `when` and `otherwise` make, and what a branch makes of that."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, TypeAlias, final

import attrs

from trio_steps._core.errors import ConfigError, add_note
from trio_steps._core.public import public
from trio_steps._core.step import close_unawaited
from trio_steps._pipeline.contract.flow import branched, needs_of
from trio_steps._pipeline.definition import Branch, Case, sharing
from trio_steps._pipeline.entry import program_of
from trio_steps._pipeline.program import Program

from .steps import added, check_name, function_of, name_for, numbered, settings, split_name

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from trio_steps._pipeline.context import MergePolicy
    from trio_steps._pipeline.contract.shape import Shape
    from trio_steps._pipeline.pipeline import Pipeline

    from .steps import NodeOptions

AnyPipeline: TypeAlias = "Pipeline[Any, Any]"
Then: TypeAlias = "AnyPipeline | Callable[[AnyPipeline], AnyPipeline]"
"""What a case does: a pipeline, or a function that adds the steps to the pipeline it is given."""


@public
@final
@attrs.frozen(kw_only=True, eq=False)
class BranchCase:
    """A case of ``branch_on``, made by `when` or `otherwise`."""

    condition: Callable[..., Any] | None
    then: Then
    name: str | None


@public
def when(condition: Callable[..., Any], then: Then, *, name: str | None = None) -> BranchCase:
    """Make a case of ``branch_on`` that is taken if `condition` holds and no case before it did.

    Args:
      condition: sync or async function, called with the keys of the context that it names.
      then: a pipeline, or a function that is given an empty pipeline and returns it with steps.
      name: what the case is called; by default what the pipeline is, or ``case-1`` by position.

    Raises:
      ConfigError: `condition` is no function.
    """
    if not callable(condition):
        raise ConfigError(f"when({condition!r}, …): the condition is a function, when(lambda plan: plan == 'pro', …)")
    return BranchCase(condition=condition, then=then, name=name)


@public
def otherwise(then: Then, *, name: str | None = None) -> BranchCase:
    """Make the case of ``branch_on`` that is taken if no other is; it comes last.

    Args:
      then: a pipeline, or a function that is given an empty pipeline and returns it with steps.
      name: what the case is called; by default what the pipeline is, or ``otherwise``.
    """
    return BranchCase(condition=None, then=then, name=name)


def branch_of(
    program: Program,
    name_and_cases: tuple[object, ...],
    merge_policy: MergePolicy,
    options: NodeOptions,
    start: Callable[[Program], AnyPipeline],
) -> Program:
    """Return `program` with a branch.

    Args:
      program: what to add it to.
      name_and_cases: the name, if it has one, and the cases.
      merge_policy: see ``branch_on``.
      options: see ``branch_on``.
      start: makes the pipeline that a function of a pipeline is given.

    Raises:
      ConfigError: it can't work as it is written, or what it needs can't be there.
    """
    given, arguments = split_name(name_and_cases)
    name = name_for(program, given, ())
    full = program.prefix + name
    specs = _check_cases(full, arguments)
    asked, flow = settings(program, full, **options)
    conditions = [
        None if spec.condition is None else function_of(spec.condition, full, program.share) for spec in specs
    ]
    for condition in conditions:
        if condition is not None:
            flow = flow.require(needs_of(condition.signature, full))
    cases: list[Case] = []
    shapes: dict[str, Shape] = {}
    for number, (spec, condition) in enumerate(zip(specs, conditions), 1):  # noqa: B905 - as long as each other
        default = "otherwise" if spec.condition is None else f"case-{number}"
        around = attrs.evolve(program, flow=flow)
        id, inner = _case_of(spec, default, around, full, shapes, start)
        inside = f"{full}/{id}"
        needs, shape = inner.flow.needs, inner.flow.output
        if inner.prefix != f"{inside}/":  # it was built apart
            needs, shape = tuple(need.within(inside) for need in needs), shape.within(inside)
        flow = flow.require(needs)
        shapes[id] = shape
        cases.append(Case(id=id, condition=condition, nodes=sharing(inner.nodes, program.share)))
    provided = branched(shapes, specs[-1].condition is None)
    return added(program, name, Branch(tuple(cases)), asked, flow, provided, merge_policy=merge_policy)


def _check_cases(branch: str, specs: tuple[object, ...]) -> tuple[BranchCase, ...]:
    """Return `specs` if they are cases of a branch."""
    cases = tuple(spec for spec in specs if isinstance(spec, BranchCase))
    if len(cases) < len(specs):
        [wrong, *_] = [spec for spec in specs if not isinstance(spec, BranchCase)]
        raise ConfigError(f"branch_on {branch!r}: a case is when(condition, then) or otherwise(then), not {wrong!r}")
    if not cases or any(case.condition is None for case in cases[:-1]):
        raise ConfigError(f"branch_on {branch!r}: give one case or more, when(…); otherwise(…) comes last, and once")
    return cases


def _case_of(
    spec: BranchCase,
    default: str,
    around: Program,
    branch: str,
    taken: Collection[str],
    start: Callable[[Program], AnyPipeline],
) -> tuple[str, Program]:
    """Return the id of a case, which is `default` if nobody gave it one, and what it runs.

    Args:
      spec: the case.
      default: see above.
      around: the pipeline that has the branch, up to the point at which the case is asked.
      branch: the full name of the branch.
      taken: the ids of the cases before it.
      start: makes the pipeline that a function of a pipeline is given.
    """
    inner = program_of(spec.then)
    base = inner.name if inner is not None and inner.name_given else default
    id = numbered(base, taken) if spec.name is None else check_name(spec.name)
    if inner is None:
        inner = _built(spec.then, id, around, branch, start)
    if id in taken:
        raise ConfigError(f"branch_on {branch!r}: two cases have the name {id!r}; give each its own, name=…")
    return id, inner


def _built(then: Any, id: str, around: Program, branch: str, start: Callable[[Program], AnyPipeline]) -> Program:
    what = f"branch_on {branch!r}: the case {id!r}"
    if not callable(then):
        raise ConfigError(f"{what} is {then!r}; give a pipeline, or a function of one, lambda p: p.step(…)")
    inside = f"{branch}/{id}"
    flow = around.flow.nested()
    empty = start(Program(name=id, name_given=True, flow=flow, share=around.share, prefix=f"{inside}/"))
    try:
        result: object = then(empty)
    except ConfigError as error:
        if not any(note.startswith(f"in the case '{inside}/") for note in getattr(error, "__notes__", ())):
            add_note(error, f"in the case '{inside}'")
        raise
    built = program_of(result)
    if inspect.iscoroutine(result):
        name = close_unawaited(result)
        raise ConfigError(f"{what} is an async function; give one that adds it to a pipeline, lambda p: p.step({name})")
    if built is None:
        raise ConfigError(
            f"{what} has a function that returns {result!r}; it has to return the pipeline, p.step(…): "
            "to run it as a step, lambda p: p.step(function)"
        )
    return built
