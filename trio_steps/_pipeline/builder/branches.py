"""The cases of a branch, which `when` and `otherwise` make, and ``branch_on``, which turns them into a step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

import attrs

from trio_steps._core.errors import ConfigError
from trio_steps._core.public import public
from trio_steps._pipeline.contract.flow import branched
from trio_steps._pipeline.definition import Branch, Case
from trio_steps._pipeline.entry import program_of

from .inner import inner_of
from .options import check_name, numbered, split_name
from .renames import check_renamed, was_of
from .steps import NewStep

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from trio_steps._core.step import Step
    from trio_steps._pipeline.context import MergePolicy
    from trio_steps._pipeline.contract.shape import Shape
    from trio_steps._pipeline.definition import Program

    from .inner import Inner, Start
    from .options import NodeOptions


@public
@final
@attrs.frozen(kw_only=True, eq=False)
class BranchCase:
    """A case of ``branch_on``, made by `when` or `otherwise`."""

    condition: Callable[..., Any] | None
    then: Step[..., Any] | Callable[..., Step[..., Any]]
    name: str | None
    was: tuple[str, ...]


def branch(
    program: Program,
    name_and_cases: tuple[object, ...],
    merge_policy: MergePolicy,
    options: NodeOptions,
    start: Start,
) -> Program:
    """Return `program` with a branch.

    Args:
      program: what to add it to.
      name_and_cases: the name, if it has one, and the cases.
      merge_policy: see `Pipeline.branch_on`.
      options: see `Pipeline.branch_on`.
      start: makes the empty pipeline that a function of a pipeline receives.
    """
    name, arguments = split_name(name_and_cases)
    new = NewStep(program, name, (), options, merge_policy)
    specs = _check_cases(new.full, arguments)
    conditions = [None if spec.condition is None else new.condition(spec.condition) for spec in specs]
    cases: list[Case] = []
    shapes: dict[str, Shape] = {}
    for number, (spec, condition) in enumerate(zip(specs, conditions), 1):  # noqa: B905 - as long as each other
        default = "otherwise" if spec.condition is None else f"case-{number}"
        id, inner = _case_of(new, spec, default, shapes, start)
        new.require(inner.needs)
        shapes[id] = inner.provided
        cases.append(Case(id=id, was=spec.was or was_of(spec.then), condition=condition, nodes=inner.nodes))
    check_renamed([case.id for case in cases], [case.was for case in cases], f"{new.full}/")
    return new.added(Branch(tuple(cases)), branched(shapes, specs[-1].condition is None))


def _check_cases(branch: str, specs: tuple[object, ...]) -> tuple[BranchCase, ...]:
    """Return `specs` if they are cases of a branch."""
    cases = tuple(spec for spec in specs if isinstance(spec, BranchCase))
    if len(cases) < len(specs):
        [wrong, *_] = [spec for spec in specs if not isinstance(spec, BranchCase)]
        raise ConfigError(f"branch_on {branch!r}: a case is when(condition, then) or otherwise(then), not {wrong!r}")
    if not cases or any(case.condition is None for case in cases[:-1]):
        raise ConfigError(f"branch_on {branch!r}: give one case or more, when(…); otherwise(…) comes last, and once")
    return cases


def _case_of(new: NewStep, spec: BranchCase, default: str, taken: Collection[str], start: Start) -> tuple[str, Inner]:
    """Return the id of a case of the branch `new`, by default `default`, and what the case runs."""
    what = f"branch_on {new.full!r}"
    given = program_of(spec.then)
    base = given.name if given is not None and given.name_given else default
    id = numbered(base, taken) if spec.name is None else check_name(spec.name)
    if id in taken:
        raise ConfigError(f"{what}: two cases have the name {id!r}; give each its own, name=…")
    return id, inner_of(new, spec.then, f"{new.full}/{id}", f"{what}: the case {id!r}", start)
