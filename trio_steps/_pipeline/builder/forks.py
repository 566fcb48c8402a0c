"""Functions and forks as steps of a pipeline: a fork's plain functions are called with keys of the context too.

The paths of a fork are called with its input, which here is the whole context. So each plain function among them is
wrapped in one that takes the context and turns it into keyword arguments. Forks inside are treated the same way.
Pipelines take the context unchanged. Known paths are wrapped and checked when the pipeline is built. Paths that come
from a function or a lazy source are wrapped by the fork when they arrive, as its plan says.
"""

from __future__ import annotations

import functools
from types import FunctionType
from typing import TYPE_CHECKING, Any, Final, cast, final

import attrs

from trio_steps._core.describe import accepts_input, describe, holes_in
from trio_steps._core.errors import ConfigError
from trio_steps._core.function import FunctionStep, Guarded
from trio_steps._core.scope import current_scope
from trio_steps._fork.engine.trust import stand_for
from trio_steps._fork.fork import Fork, ForkEntry, plan_of
from trio_steps._fork.paths import Known
from trio_steps._pipeline.call import Function
from trio_steps._pipeline.context import Context
from trio_steps._pipeline.definition import Wait
from trio_steps._pipeline.entry import program_of
from trio_steps._pipeline.signature import needs_of, signature_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Set as AbstractSet

    from trio_steps._fork.plan import Plan
    from trio_steps._pipeline.call import Bind
    from trio_steps._pipeline.contract.flow import Need
    from trio_steps._pipeline.definition import Nodes

A_MEMBER_OF_A_RACE: Final = (
    "a member of a race",
    "a race is resumed from before it, so that the answer would be lost; wait before the race, or after it",
)
_AS_ONE: Final = (
    "a path of a fork, or a step of its own",
    "what is inside is not kept until all of it is done; make the pipeline itself a step or a member of one",
)


def function_of(fn: object, name: str, share: AbstractSet[str]) -> Function:
    """Return how `fn`, of the step `name`, is called."""
    signature = signature_of(fn, name)
    return Function(_call_of(fn, share), signature, share, signature.provides)


def _call_of(fn: object, share: AbstractSet[str]) -> Callable[..., Any]:
    """Return what to call for `fn`, a function or a step of a pipeline."""
    given = _given(fn)
    if given is not None:
        return ForkEntry(_plan_with_context(given, share), shown=given)
    return describe(fn)[2]


def needs_of_paths(fn: object, step: str) -> tuple[Need, ...]:
    """Return what the functions of a fork that is used as a step need, as far as its paths are known."""
    given = _given(fn)
    needs: list[Need] = []
    pending = [] if given is None else [(step, given)]
    while pending:
        around, fork = pending.pop()
        known = fork.known
        for id, call in () if known is None else zip(known.ids, known.calls):  # noqa: B905
            name = f"{around}/{id}"
            inner = plan_of(call)
            if inner is not None:
                pending.append((name, inner))
                continue
            check_waits(call, name)
            if program_of(call) is None:
                needs += needs_of(signature_of(call, name), name)
    return tuple(needs)


def check_waits(fn: object, name: str) -> None:
    """Refuse a pipeline that waits as a path of a fork, or with policies of its own: as such it is one function."""
    while isinstance(fn, (FunctionStep, Guarded, functools.partial)):
        if isinstance(fn, functools.partial):
            fn = cast("object", fn.func)
        else:
            fn = fn.fn if isinstance(fn, FunctionStep) else fn.call
    program = program_of(fn)
    if program is not None:
        refuse_waits(program.nodes, name, *_AS_ONE)


def refuse_waits(nodes: Nodes, where: str, what: str, why: str) -> None:
    """Refuse a step that waits anywhere in `nodes`, which are `what`, such as a member of a race.

    Raises:
      ConfigError: a step waits.
    """
    for node in nodes:
        if isinstance(node.body, Wait):
            raise ConfigError(f"{where!r} is {what}, and its step {node.id!r} waits for an answer: {why}")
        for _, row in node.inner():
            refuse_waits(row, where, what, why)


def _given(fn: object) -> Plan | None:
    """Return the plan of `fn` if it is a fork itself, not a step made of one."""
    plan = plan_of(fn)
    return plan if isinstance(fn, Fork) else None


def _plan_with_context(fork: Plan, share: AbstractSet[str]) -> Plan:
    """Return `fork` as a step of a pipeline."""
    paths = _Paths(share)
    if fork.known is not None:
        calls = [paths.with_context(call, call) for call in fork.known.calls]
        return attrs.evolve(fork, known=Known(fork.known.ids, calls), adapt=paths.with_context)  # which may grow
    function = fork.function
    if function is None:
        return attrs.evolve(fork, adapt=paths.with_context)

    accepts = accepts_input(function)

    @functools.wraps(function)
    def given_for(context: Any, *scope: Any) -> object:
        return function(Context(context, share), *scope) if accepts else function()

    return attrs.evolve(fork, function=given_for, adapt=paths.with_context)


@final
class _Paths:
    """Turns paths that take keys into paths that take the context. The signature of a function is read once."""

    def __init__(self, share: AbstractSet[str]) -> None:
        self._share = share
        self._binds: dict[object, Bind] = {}

    def with_context(self, call: Callable[..., Any], function: object) -> Callable[..., Any]:
        """Return what to call with the context for the path `call`, which is called like `function`."""
        if program_of(call) is not None:
            return call
        plan = plan_of(call)
        if plan is not None:
            return ForkEntry(_plan_with_context(plan, self._share))
        bind = self._bind(function)

        def path(context: Any) -> Any:
            args, kwargs = bind(context, current_scope().name)
            return call(*args, **kwargs)

        return stand_for(path, call)

    def _bind(self, function: object) -> Bind:
        kind = _kind(function)
        bind = self._binds.get(kind)
        if bind is None:
            id, _, call = describe(function)
            bind = Function(call, signature_of(function, id), self._share).bind
            if kind is not None:
                self._binds[kind] = bind
        return bind


def _kind(function: object) -> object:
    """Return a key that functions with the same signature share, or None. Lambdas come by the thousand."""
    if type(function) is FunctionType and not function.__dict__:
        return function.__code__, len(function.__defaults__ or ()), frozenset(function.__kwdefaults__ or ())
    if type(function) is functools.partial:
        inner = _kind(function.func)
        return (
            None
            if inner is None
            else (
                inner,
                len(function.args),
                frozenset(function.keywords),
                *holes_in(function.args),
            )
        )
    return None
