"""What a builder makes of what a user gave: names, settings, functions, members, and the node that holds them.

Everything here is called by the methods of `Pipeline`, and raises the ConfigErrors of the line that called it.
"""

from __future__ import annotations

import functools
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, cast, final

import attrs

from trio_steps._core.errors import ConfigError, StepInputError, leaves, listed
from trio_steps._core.policies import Policies, Retry
from trio_steps._core.step import FunctionStep, Step, describe
from trio_steps._fork.paths import Known
from trio_steps._fork.plan import plan
from trio_steps._pipeline.contract.flow import ADMITTED, CONDITION, SUCCEEDS, for_each, needs_of, provided_by
from trio_steps._pipeline.definition import Each, Function, Group, Node, WholeRace, member_path, sharing, takes
from trio_steps._pipeline.entry import program_of
from trio_steps._pipeline.run.checkpoint import ANY
from trio_steps._pipeline.signature import signature_of

from .forks import call_of, needs_of_paths

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from collections.abc import Set as AbstractSet

    import trio
    from typing_extensions import TypedDict

    from trio_steps._core.policies import CircuitBreaker
    from trio_steps._pipeline.context import MergePolicy
    from trio_steps._pipeline.contract.flow import Flow, Need
    from trio_steps._pipeline.contract.shape import Shape
    from trio_steps._pipeline.definition import Member, Nodes, OnError
    from trio_steps._pipeline.program import Program

    class NodeOptions(TypedDict, total=False):
        """What every kind of step takes."""

        condition: bool | Callable[..., Any] | None
        on_error: OnError
        timeout: float | None
        total_timeout: float | None
        retry: Retry | None
        circuit_breaker: CircuitBreaker | None
        limiter: trio.CapacityLimiter | None
        log: bool


_MERGE_POLICIES = ("override", "error", "warn", "skip")
_GROUP_MODES = ("all", "settle", "race")
_ON_ERROR = ("raise", "continue", "skip-remaining")


# Names


def check_name(name: object) -> str:
    """Return `name` if a step can have it."""
    if not isinstance(name, str) or not name or "/" in name:
        raise ConfigError(f"{name!r} is no name of a step: a name is a string that is not empty and has no '/' in it")
    return name


def split_name(arguments: tuple[Any, ...]) -> tuple[str | None, tuple[Any, ...]]:
    """Return the name that `arguments` begin with, if they do, and the others."""
    if arguments and isinstance(arguments[0], str):
        return arguments[0], arguments[1:]
    return None, arguments


def numbered(base: str, taken: Collection[str]) -> str:
    """Return `base`, or with a number if it is taken."""
    name, number = base, 1
    while name in taken:
        number += 1
        name = f"{base}#{number}"
    return name


def name_for(program: Program, given: str | None, functions: tuple[Any, ...]) -> str:
    """Return what a new step of `program` is called that runs `functions`."""
    taken = {node.id for node in program.nodes}
    if given is not None:
        if check_name(given) in taken:
            raise ConfigError(
                f"step {program.prefix + given!r}: the pipeline has a step of that name already; give it another"
            )
        return given
    base = f"step-{len(taken) + 1}"
    if len(functions) == 1:
        derived, is_given, _ = describe(functions[0])
        if derived != "<lambda>" and (is_given or program_of(functions[0]) is None):
            base = check_name(derived)
    return numbered(base, taken)


# Options


@final
@attrs.frozen(kw_only=True)
class Settings:
    """What every kind of step takes, checked."""

    condition: Function | bool | None
    on_error: OnError
    policies: Policies
    log: bool

    def without_timeout(self) -> Settings:
        """Return the settings of a step whose fork has the timeout."""
        return attrs.evolve(self, policies=attrs.evolve(self.policies, timeout=None))


def settings(
    program: Program,
    name: str,
    *,
    condition: bool | Callable[..., Any] | None = None,
    on_error: OnError = "raise",
    timeout: float | None = None,
    total_timeout: float | None = None,
    retry: Retry | None = None,
    circuit_breaker: CircuitBreaker | None = None,
    limiter: trio.CapacityLimiter | None = None,
    log: bool = True,
    **unknown: object,
) -> tuple[Settings, Flow]:
    """Check what every kind of step takes; return also the flow in which its condition is asked."""
    for option in unknown:
        known = tuple(settings.__kwdefaults__ or ())
        close = get_close_matches(option, known, 1)
        hint = f"did you mean {close[0]!r}?" if close else f"it takes {listed(known)}"
        raise TypeError(f"step {name!r} got an unexpected keyword argument {option!r}; {hint}")
    if on_error not in _ON_ERROR:
        raise ConfigError(f'step {name!r}: on_error={on_error!r}: use "raise", "continue" or "skip-remaining"')
    flow = program.flow
    asked: Function | bool | None = None
    if isinstance(condition, bool):
        asked = None if condition else False
    elif condition is not None:
        asked = function_of(condition, name, program.share)
        flow = flow.require(needs_of(asked.signature, name))
    policies = Policies(
        timeout=timeout,
        total_timeout=total_timeout,
        retry=retry,
        circuit_breaker=circuit_breaker,
        limiter=limiter,
    )
    if retry is not None:
        policies = attrs.evolve(policies, retry=attrs.evolve(retry, on=functools.partial(_worth_retrying, retry)))
    return Settings(condition=asked, on_error=on_error, policies=policies, log=log), flow


def _worth_retrying(retry: Retry, error: Exception) -> bool:
    """Tell whether another attempt may help: a key that is not there will not be there then."""
    return not any(isinstance(leaf, StepInputError) for leaf in leaves(error)) and retry.wants(error)


def check_policy(step: str, policy: Any) -> Any:
    """Return `policy` if it is a merge policy."""
    if policy not in _MERGE_POLICIES:
        raise ConfigError(f'step {step!r}: merge_policy={policy!r}: use "override", "error", "warn" or "skip"')
    return policy


# What a step runs


@final
@attrs.frozen
class Part:
    """Something that a step runs, what it needs, and what it provides."""

    member: Member
    needs: tuple[Need, ...]
    provided: Shape
    skips: bool = False  # it has a circuit breaker of its own that skips


def function_of(fn: object, name: str, share: AbstractSet[str]) -> Function:
    """Return how `fn`, of the step `name`, is called."""
    signature = signature_of(fn, name)
    return Function(call_of(fn, share), signature, share, signature.provides)


def part_of(
    fn: object, name: str, share: AbstractSet[str], provides: str | None = None, *, transform: bool = False
) -> Part:
    """Return what there is to know about `fn`, which the step (or member) `name` runs."""
    inner = program_of(fn)
    if inner is not None:
        if provides is not None:
            raise ConfigError(f"step {name!r}: provides={provides!r} is for a function, and this is a pipeline")
        needs = tuple(need.within(name) for need in inner.flow.needs)
        return Part(sharing(inner.nodes, share), needs, inner.flow.output.within(name))
    if provides is not None and (not isinstance(provides, str) or not provides):
        raise ConfigError(f"step {name!r}: provides={provides!r}: give the key, a string that is not empty")
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


def group_of(
    functions: tuple[Any, ...],
    name: str,
    share: AbstractSet[str],
    *,
    mode: str,
    concurrency: int | trio.CapacityLimiter | None,
    timeout: float | None,
) -> tuple[Group, list[Part]]:
    """Return the parallel step `name` of `functions`, and what there is to know about each of them."""
    if mode not in _GROUP_MODES:
        raise ConfigError(f'step {name!r}: mode={mode!r}: use "all", "settle" or "race"')
    ids: dict[str, None] = {}
    parts: list[Part] = []
    for number, fn in enumerate(functions, 1):
        id = numbered(check_name(fn.id) if isinstance(fn, Step) and fn.id_given else str(number), ids)
        ids[id] = None
        parts.append(part_of(cast("object", fn), f"{name}/{id}", share))
    own = name.rpartition("/")[2]
    fork = plan(own, WholeRace if mode == "race" else mode, (), concurrency=concurrency, timeout=timeout)
    known = Known(list(ids), [member_path(index) for index in range(len(ids))])
    members = tuple(part.member for part in parts)
    body = Group(mode=cast("Any", mode), ids=tuple(ids), members=members, plan=attrs.evolve(fork, known=known))
    return body, parts


@final
@attrs.frozen
class _Loop:
    """What a for_each runs for each element, what that needs, and what it returns."""

    function: Function
    nodes: Nodes | None
    result: Callable[[dict[str, object]], object]
    needs: tuple[Need, ...]
    returns: object


def _loop_of(fn: object, name: str, share: AbstractSet[str], *, over: str, each: str) -> _Loop:
    """Return what there is to know about `fn`, which the for_each `name` runs for each element of `over`."""
    function = function_of(fn, name, share)
    inner = program_of(fn)
    if inner is None:
        signature = function.signature
        if not signature.takes(each):
            raise ConfigError(f"for_each {name!r}: each={each!r}, but its function has no parameter of that name")
        rest = Function(function.call, signature.without(each), share)
        return _Loop(rest, None, dict, needs_of(signature, name), signature.returns)
    needs = tuple(need.within(f"{name}/{ANY}") for need in inner.flow.needs)
    if each not in [need.key for need in needs] and not takes(inner.nodes, each):
        raise ConfigError(f"for_each {name!r}: each={each!r}, but its pipeline takes no key of that name")
    nodes = sharing(inner.nodes, share | {each} if over in share else share)
    return _Loop(function, nodes, inner.result_inside, needs, inner.done or dict[str, Any])


def added(
    program: Program,
    name: str,
    body: Any,
    settings: Settings,
    flow: Flow,
    provided: Shape,
    *,
    merge_policy: MergePolicy = "override",
    skips: bool = False,
    transforms: bool = False,
) -> Program:
    """Return `program` with one more node, the step `name` of it, whose functions can be called in `flow`."""
    full = program.prefix + name
    breaker = settings.policies.circuit_breaker
    reasons = [
        reason
        for reason, holds in (
            (CONDITION, settings.condition is not None),
            (ADMITTED, skips or (breaker is not None and breaker.on_open == "skip")),
            (SUCCEEDS, settings.on_error == "continue"),
        )
        if holds
    ]
    or_exit = full if settings.on_error == "skip-remaining" else None
    if transforms:
        flow = flow.replace(provided, full, when=reasons, or_exit=or_exit)
    else:
        flow = flow.provide(provided, policy=check_policy(full, merge_policy), when=reasons, or_exit=or_exit)
    node = Node(
        id=name,
        body=body,
        condition=settings.condition,
        policies=None if settings.policies == Policies() else settings.policies,
        on_error=settings.on_error,
        merge_policy=merge_policy,
        transforms=transforms,
        log=settings.log,
        before=program.flow.context,
        after=flow.context,
    )
    return attrs.evolve(program, flow=flow, nodes=(*program.nodes, node), done=None)


def each_of(
    program: Program,
    name_and_function: tuple[Any, ...],
    *,
    over: str,
    each: str,
    into: str,
    mode: str,
    concurrency: int | trio.CapacityLimiter | None,
    merge_policy: MergePolicy,
    options: NodeOptions,
) -> Program:
    """Return `program` with a for_each; for its arguments see there.

    Raises:
      ConfigError: it can't work as it is written, or what it needs can't be there.
    """
    given, functions = split_name(name_and_function)
    if len(functions) != 1:
        raise ConfigError(f"for_each({', '.join(map(repr, name_and_function))}): give it one function, or pipeline")
    name = name_for(program, given, functions)
    full = program.prefix + name
    if mode not in ("all", "settle"):
        raise ConfigError(f'for_each {full!r}: mode={mode!r}: use "all" or "settle"')
    asked, flow = settings(program, full, **options)
    loop = _loop_of(functions[0], full, program.share, over=over, each=each)
    settle = mode == "settle"
    flow, provided = for_each(flow, loop.needs, loop.returns, full, over=over, each=each, into=into, settle=settle)
    body = Each(
        function=loop.function,
        nodes=loop.nodes,
        result=loop.result,
        over=over,
        each=each,
        into=into,
        plan=plan(name, mode, (), concurrency=concurrency, timeout=asked.policies.timeout),
        settle=settle,
    )
    return added(program, name, body, asked.without_timeout(), flow, provided, merge_policy=merge_policy)
