"""A step that is being added to a pipeline, and what it runs.

Everything in this package is called by the methods of `Pipeline`, and raises the ConfigErrors of the line that called
it.
"""

from __future__ import annotations

import functools
from difflib import get_close_matches
from typing import TYPE_CHECKING, cast, final

import attrs

from trio_steps._core.checks import located
from trio_steps._core.describe import check_provides
from trio_steps._core.errors import ConfigError
from trio_steps._core.function import FunctionStep
from trio_steps._core.policy.policies import Policies
from trio_steps._fork.plan import plan
from trio_steps._pipeline.call import Function
from trio_steps._pipeline.contract.flow import ADMITTED, CONDITION, SUCCEEDS, among
from trio_steps._pipeline.definition import Node, sharing, takes
from trio_steps._pipeline.entry import program_of
from trio_steps._pipeline.signature import needs_of, provided_by

from .forks import check_waits, function_of, needs_of_paths
from .options import check_policy, name_for, settings, split_name
from .renames import renamed_with, was_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Set as AbstractSet

    import trio

    from trio_steps._core.function import Provides
    from trio_steps._fork.plan import Plan
    from trio_steps._pipeline.context import MergePolicy
    from trio_steps._pipeline.contract.flow import Flow, Need
    from trio_steps._pipeline.contract.shape import Shape
    from trio_steps._pipeline.definition import Branch, Each, Group, Member, Nodes, Program, Repeat, Wait

    from .options import NodeOptions


@final
class NewStep:
    """A step that is being added to a pipeline.

    Attributes:
      program: the pipeline, as it is without the step.
      name: the name of the step.
      full: its full name, as far as that is known.
      merge_policy: how its output is merged.
      share: the keys that are not copied for it.
      flow: what is known where its functions are called; what they need is added.
    """

    __slots__ = (
        "_condition",
        "_names",
        "_policies",
        "_renamed",
        "_settings",
        "_was",
        "flow",
        "full",
        "merge_policy",
        "name",
        "program",
        "share",
    )

    def __init__(
        self,
        program: Program,
        name: str | None,
        functions: tuple[object, ...],
        options: NodeOptions,
        merge_policy: MergePolicy = "override",
    ) -> None:
        """Begin with what every kind of step has.

        Args:
          program: the pipeline.
          name: the name of the step, if given; otherwise it is named after `functions`.
          functions: what it runs.
          options: its options.
          merge_policy: see `Pipeline.step`.

        Raises:
          ConfigError: the name or an option is not valid, or the condition needs a key that can't be there.
        """
        self.program: Program = program
        self.name: str
        self.name, self._names = name_for(program, name, functions)
        self.full: str = program.prefix + self.name
        self.flow: Flow = program.flow
        self.merge_policy: MergePolicy = check_policy(self.full, merge_policy)
        self._settings = settings(self.full, **options)
        self._was = self._settings.was
        if not self._was and name is None and len(functions) == 1:
            self._was = was_of(functions[0])
        self._renamed = renamed_with(program.renamed, program.names, self.name, self._was, program.prefix)
        self.share: AbstractSet[str] = program.share | self._settings.share
        self._policies = self._settings.policies
        self._condition: Function | bool | None = None
        condition = self._settings.condition
        if condition is False:
            self._condition = False
        elif condition is not None:
            self._condition = self.condition(condition)

    def condition(self, condition: object) -> Function:
        """Return the function of a condition, and require what it needs."""
        function = function_of(condition, self.full, self.share)
        self.require(needs_of(function.signature, self.full))
        return function

    def require(self, needs: Iterable[Need]) -> None:
        """Add what is needed.

        Raises:
          ConfigError: it can't be there.
        """
        self.flow = self.flow.require(needs, strict=self.program.strict)

    def fork(self, mode: object, concurrency: int | trio.CapacityLimiter | None) -> Plan:
        """Return the plan, without paths, of the fork that the step is. The fork then has the timeout."""
        timeout, self._policies = self._policies.timeout, attrs.evolve(self._policies, timeout=None)
        with located(f"step {self.full!r}: "):
            return plan(self.name, mode, (), concurrency=concurrency, timeout=timeout)

    def added(
        self,
        body: Function | Nodes | Group | Branch | Each | Repeat | Wait,
        provided: Shape,
        *,
        skips: bool = False,
        transforms: bool = False,
    ) -> Program:
        """Return the pipeline with the step.

        Args:
          body: what it does.
          provided: what the body provides.
          skips: whether a circuit breaker inside may skip it.
          transforms: whether its output replaces the context.
        """
        program, asked, policies = self.program, self._settings, self._policies
        self.check_known(self.full, provided)
        breaker = policies.circuit_breaker
        reasons = [
            reason
            for reason, holds in (
                (CONDITION, self._condition is not None),
                (ADMITTED, skips or (breaker is not None and breaker.on_open == "skip")),
                (SUCCEEDS, asked.on_error == "continue"),
            )
            if holds
        ]
        or_exit = self.full if asked.on_error == "skip-remaining" else None
        if transforms:
            flow = self.flow.replace(provided, self.full, when=reasons, or_exit=or_exit)
        else:
            flow = self.flow.provide(provided, policy=self.merge_policy, when=reasons, or_exit=or_exit)
        node = Node(
            id=self.name,
            was=self._was,
            body=body,
            condition=self._condition,
            policies=None if policies == Policies() else policies,
            on_error=asked.on_error,
            merge_policy=self.merge_policy,
            transforms=transforms,
            log=asked.log,
            before=program.flow.context,
            after=flow.context,
        )
        self._check_share(node, provided)
        names = program.names.plus(self._names)
        nodes = (*program.nodes, node)
        return attrs.evolve(program, flow=flow, nodes=nodes, names=names, renamed=self._renamed, done=None)

    def check_known(self, name: str, provided: Shape) -> None:
        """Refuse, in a strict pipeline, a step or member `name` if it is not known what it provides."""
        if self.program.strict and provided.open:
            raise ConfigError(
                f"step {name!r}: what it returns is not known, and the pipeline is strict: annotate it to return a "
                'TypedDict, another class with fields, or None; or say which keys, provides=("user", "plan")'
            )

    def _check_share(self, node: Node, provided: Shape) -> None:
        for key in sorted(self._settings.share):
            what = f"step {self.full!r}: share={tuple(sorted(self._settings.share))!r}"
            if not (key in node.before.keys or node.before.anything or key in provided.keys or provided.open):
                raise ConfigError(f"{what}: nothing provides {key!r}{among(key, node.before)}")
            if not (takes((node,), key) or key in provided.keys):
                close = get_close_matches(key, [need for need in node.before.keys if takes((node,), need)], 1)
                hint = f"; did you mean {close[0]!r}?" if close else ""
                raise ConfigError(f"{what}: it has no function that takes {key!r}{hint}")


# What it runs


@final
@attrs.frozen
class Part:
    """Something that a step runs, what it needs, and what it provides."""

    member: Member
    needs: tuple[Need, ...]
    provided: Shape
    skips: bool = False  # whether it has its own circuit breaker that skips


def part_of(
    fn: object,
    name: str,
    share: AbstractSet[str],
    provides: Provides = None,
    *,
    transform: bool = False,
) -> Part:
    """Return what is known about `fn`, which the step (or member) `name` runs."""
    inner = program_of(fn)
    if inner is not None:
        if provides is not None:
            raise ConfigError(f"step {name!r}: provides={provides!r} is for a function, and this is a pipeline")
        needs = tuple(need.within(name) for need in inner.flow.needs)
        try:
            nodes = sharing(inner.row, share)
        except RecursionError:
            raise ConfigError(
                f"step {name!r}: its pipelines are nested too deep for share={tuple(sorted(share))!r} to reach the "
                "innermost; say it there"
            ) from None
        return Part(nodes, needs, inner.flow.output.within(name))
    if provides is not None:
        check_provides(provides, f"step {name!r}: ")
    check_waits(fn, name)
    function = function_of(fn, name, share)
    signature = function.signature
    if provides is not None:
        function = Function(function.call, signature, function.share, provides)
    needs = (*needs_of(signature, name), *needs_of_paths(fn, name))
    return Part(function, needs, provided_by(signature, name, provides, transform=transform), _skips(fn))


def _skips(fn: object) -> bool:
    """Tell whether a step in `fn` has a circuit breaker that skips."""
    while isinstance(fn, (FunctionStep, functools.partial)):
        if isinstance(fn, FunctionStep):
            breaker = fn.policies.circuit_breaker
            if breaker is not None and breaker.on_open == "skip":
                return True
            fn = cast("object", fn.fn)
        else:
            fn = cast("object", fn.func)
    return False


def transform(program: Program, name_and_function: tuple[object, ...], options: NodeOptions) -> Program:
    """Return `program` with a transform. For the arguments, see `Pipeline.transform`."""
    name, functions = split_name(name_and_function)
    if len(functions) != 1 or program_of(functions[0]) is not None:
        raise ConfigError(f"transform({', '.join(map(repr, name_and_function))}): give it one function")
    new = NewStep(program, name, functions, options)
    part = part_of(functions[0], new.full, new.share, transform=True)
    new.require(part.needs)
    return new.added(part.member, part.provided, skips=part.skips, transforms=True)
