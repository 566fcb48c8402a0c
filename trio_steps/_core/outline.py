"""How a step is drawn: its entry knows, and a function is a box with a name.

No drawing looks at the type of a callable. Partials and decorators are unwrapped: what they bind or add is not shown.
"""

from __future__ import annotations

import functools
import inspect
from math import inf
from typing import TYPE_CHECKING, cast

from trio_steps._drawing.graph import Graph, Node

from .entry import StepEntry
from .errors import ConfigError, short_repr

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import trio

    from trio_steps._drawing.graph import Direction, Place

    from .policy.policies import Policies
    from .policy.rate import RateLimit


def outline_of(call: object, place: Place) -> Node:
    """Return the drawing of `call`, the entry of a step or a function, as part of a larger diagram."""
    call = _opened(call)
    if isinstance(call, StepEntry):
        return call.outline(place)
    return Node(kind="step", label=place.label, name=place.name)


def graph_of(call: object, place: Place) -> Graph:
    """Return the diagram of `call`, the entry of a step or a function, alone."""
    call = _opened(call)
    return call.graph(place) if isinstance(call, StepEntry) else Graph((outline_of(call, place),))


def name_of(call: object) -> str:
    """Return the name of a function or step, for a place where only its name is shown."""
    call = _opened(call)
    name = getattr(call, "__name__", None)
    if not isinstance(name, str):
        return type(call).__name__
    return "λ" if name == "<lambda>" else name


def policy_notes(policies: Policies) -> Iterator[str]:
    """Yield a line for each of `policies`, in the order in which they apply."""
    if policies.total_timeout is not None:
        yield f"total timeout {policies.total_timeout:g} s"
    if policies.limiter is not None:
        yield limiter_note(policies.limiter)
    if policies.max_waiting is not None:
        yield f"{policies.max_waiting} may wait"
    if policies.retry is not None:
        yield "1 attempt" if policies.retry.attempts == 1 else f"{policies.retry.attempts} attempts"
    if policies.circuit_breaker is not None:
        yield "circuit breaker"
    if policies.rate is not None:
        yield rate_note(policies.rate)
    if policies.timeout is not None:
        yield f"timeout {policies.timeout:g} s"


def limiter_note(limiter: trio.CapacityLimiter) -> str:
    """Describe a limiter in a few words."""
    return "shared limiter" if limiter.total_tokens == inf else f"shared limit of {limiter.total_tokens}"


def rate_note(rate: RateLimit) -> str:
    """Describe a rate in a few words."""
    return f"{rate.count} in {rate.per:g} s"


def check_direction(direction: Direction) -> Direction:
    """Return `direction`.

    Raises:
      ConfigError: it is neither "down" nor "right".
    """
    if direction not in ("down", "right"):
        raise ConfigError(f'direction={short_repr(direction)}: use "down" or "right"')
    return direction


def _opened(call: object) -> object:
    """Return the callable inside any partials and decorators."""
    while not isinstance(call, StepEntry):
        inner = _inside(call)
        if inner is call:
            break
        call = inner
    return call


def _inside(call: object) -> object:
    if isinstance(call, functools.partial):
        return cast("object", call.func)
    try:
        return inspect.unwrap(cast("Callable[..., object]", call))
    except ValueError:
        return call  # it wraps itself
