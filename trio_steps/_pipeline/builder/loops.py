"""Steps that run something again and again: for each element of a collection, or until a condition holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast, final

import attrs

from trio_steps._core.checks import check_key
from trio_steps._core.errors import ConfigError, short_repr
from trio_steps._pipeline.call import Function
from trio_steps._pipeline.contract.flow import for_each
from trio_steps._pipeline.definition import ANY, Each, Repeat, sharing, takes
from trio_steps._pipeline.entry import program_of
from trio_steps._pipeline.run.parallel import element_path
from trio_steps._pipeline.signature import needs_of

from .forks import function_of
from .inner import inner_of
from .options import split_name
from .steps import NewStep

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Set as AbstractSet

    import trio

    from trio_steps._pipeline.context import MergePolicy
    from trio_steps._pipeline.contract.flow import Need
    from trio_steps._pipeline.definition import Nodes, Program

    from .inner import Start
    from .options import NodeOptions


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
    """Return what is known about `fn`, which the for_each `name` runs for each element of `over`."""
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
    nodes = sharing(inner.row, share | {each} if over in share else share)
    return _Loop(function, nodes, inner.result_inside, needs, inner.done or dict[str, Any])


def each_of(
    program: Program,
    name_and_function: tuple[object, ...],
    *,
    over: str,
    each: str,
    into: str,
    mode: str,
    concurrency: int | trio.CapacityLimiter | None,
    merge_policy: MergePolicy,
    options: NodeOptions,
) -> Program:
    """Return `program` with a for_each. For the arguments, see `Pipeline.for_each`."""
    name, functions = split_name(name_and_function)
    if len(functions) != 1:
        raise ConfigError(f"for_each({', '.join(map(repr, name_and_function))}): give it one function, or pipeline")
    new = NewStep(program, name, functions, options, merge_policy)
    if mode not in ("all", "settle"):
        raise ConfigError(f'for_each {new.full!r}: mode={short_repr(mode)}: use "all" or "settle"')
    for option, key in (("over", over), ("each", each), ("into", into)):
        check_key(f"for_each {new.full!r}: {option}", key)
    loop = _loop_of(functions[0], new.full, new.share, over=over, each=each)
    settle = mode == "settle"
    new.flow, provided = for_each(
        new.flow, loop.needs, loop.returns, new.full, over=over, each=each, into=into, settle=settle
    )
    body = Each(
        function=loop.function,
        nodes=loop.nodes,
        path=element_path(loop.function, loop.nodes),
        result=loop.result,
        over=over,
        each=each,
        into=into,
        plan=new.fork(mode, concurrency),
        settle=settle,
    )
    return new.added(body, provided)


def repeat_of(
    program: Program,
    name_and_body: tuple[object, ...],
    *,
    until: object,
    at_most: int,
    on_limit: str,
    merge_policy: MergePolicy,
    options: NodeOptions,
    start: Start,
) -> Program:
    """Return `program` with a repeat. For the arguments, see `Pipeline.repeat`; for `start`, see `inner`."""
    name, bodies = split_name(name_and_body)
    if len(bodies) != 1:
        raise ConfigError(f"repeat({', '.join(map(repr, name_and_body))}): give it one pipeline, or function of one")
    new = NewStep(program, name, (), options, merge_policy)
    what = f"repeat {new.full!r}"
    if isinstance(at_most, bool) or not isinstance(at_most, int) or at_most < 1:
        raise ConfigError(
            f"{what}: at_most={short_repr(at_most)}: give the number of rounds that there may be, at least 1"
        )
    if on_limit not in ("raise", "continue"):
        raise ConfigError(f'{what}: on_limit={short_repr(on_limit)}: use "raise" or "continue"')
    if not callable(until):
        raise ConfigError(f"{what}: until={short_repr(until)}: give a function of the context, until=lambda done: done")
    body = inner_of(new, bodies[0], new.full, f"{what}: its body", start)
    if not body.nodes:
        raise ConfigError(f"{what}: its body has no steps")
    new.require(body.needs)
    after = new.flow.provide(body.provided, policy=new.merge_policy)
    if at_most > 1:
        after = after.require(body.needs)  # what one round provides, the next one must be able to take
    condition = function_of(until, new.full, new.share)
    after = after.require(needs_of(condition.signature, new.full))
    new.flow = attrs.evolve(new.flow, needs=after.needs)
    rounds = Repeat(nodes=body.nodes, until=condition, at_most=at_most, on_limit=cast("Any", on_limit))
    return new.added(rounds, body.provided)
