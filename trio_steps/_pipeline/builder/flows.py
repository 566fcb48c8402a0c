"""Flows: parallel steps in which each function starts as soon as its siblings have provided the keys that it takes.

Problem: when a function may start depends on the keys that functions take and provide. A mistake there (two functions
that wait for each other, a key that nothing provides) would make a run hang.

Naive answer: start whatever can start, and find out during the run.

What is done instead. All edges are worked out when the step is built. A key that a sibling provides always comes from
that sibling, so it has to be known which function provides what. If it is not known, the step is refused.

What is deliberately not done: keys that are taken from the context do not impose an order.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from trio_steps._core.errors import ConfigError, listed
from trio_steps._pipeline.call import Function
from trio_steps._pipeline.contract.flow import Flow
from trio_steps._pipeline.contract.shape import Shape

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .steps import NewStep, Part


def edges_of(new: NewStep, ids: Sequence[str], parts: Sequence[Part]) -> tuple[Mapping[str, int], ...]:
    """Return, for each member of a flow, its keys that come from siblings, and the indexes of those siblings.

    The keys that members take from the context are added to what `new` requires.

    Args:
      new: the step.
      ids: the names of its members.
      parts: what is known about them.

    Raises:
      ConfigError: what a member takes or provides can't be known; a key has two providers or none; or members wait
        for each other in a circle.
    """
    providers = _providers(new.full, ids, parts)
    edges: list[Mapping[str, int]] = []
    for index, part in enumerate(parts):
        _check_names_what_it_takes(f"{new.full}/{ids[index]}", part)
        edges.append({need.key: providers[need.key] for need in part.needs if providers.get(need.key, index) != index})
    _check_ends(new.full, ids, edges)
    for own, part in zip(edges, parts):  # noqa: B905 - as long as each other
        given = Shape({key: parts[provider].provided.keys[key] for key, provider in own.items()})
        Flow(given).require(need for need in part.needs if need.key in own)
        new.require(need for need in part.needs if need.key not in own)
    return tuple(edges)


def _providers(step: str, ids: Sequence[str], parts: Sequence[Part]) -> dict[str, int]:
    providers: dict[str, int] = {}
    for index, part in enumerate(parts):
        if part.provided.open:
            raise ConfigError(
                f"step {step + '/' + ids[index]!r}: what it returns is not known, and in a flow another function "
                'may wait for it: say which keys, step(function, provides="key"), or annotate it to return a TypedDict,'
                " an attrs class, a dataclass or None"
            )
        for key in part.provided.keys:
            other = providers.setdefault(key, index)
            if other != index:
                raise ConfigError(
                    f"step {step!r}: {ids[other]!r} and {ids[index]!r} both provide {key!r}, so it is not known which "
                    "of them to wait for; in a flow each key has one provider"
                )
    return providers


def _check_names_what_it_takes(name: str, part: Part) -> None:
    # a nested pipeline waits for what its contract needs
    if isinstance(part.member, Function) and (part.member.signature.rest or part.member.signature.whole):
        raise ConfigError(
            f"step {name!r} takes keys that it does not name, so it is not known what to wait for: in a flow, name "
            "each as a parameter, def f(user, orders); for a fork, give a pipeline with a step that is the fork"
        )


def _check_ends(step: str, ids: Sequence[str], edges: Sequence[Mapping[str, int]]) -> None:
    """Refuse members that wait for each other in a circle."""
    left = dict(enumerate(edges))
    while left:
        ready = [index for index, own in left.items() if not left.keys() & own.values()]
        if not ready:
            break
        for index in ready:
            del left[index]
    if not left:
        return
    # every member that is left waits for another one that is left, so following the waits leads in a circle
    circle = [next(iter(left))]
    while circle[-1] not in circle[:-1]:
        circle.append(next(provider for provider in left[circle[-1]].values() if provider in left))
    circle = circle[circle.index(circle[-1]) :]
    waits = [
        f"{ids[waiting]!r} waits for {listed(key for key, index in left[waiting].items() if index == provider)} of "
        f"{ids[provider]!r}"
        for waiting, provider in pairwise(circle)
    ]
    raise ConfigError(f"step {step!r}: members of a flow can't wait for each other: {', and '.join(waits)}")
