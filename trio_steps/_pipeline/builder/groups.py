"""Steps of several functions: the members of a fork."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import attrs

from trio_steps._core.errors import ConfigError, short_repr
from trio_steps._pipeline.contract.flow import together
from trio_steps._pipeline.definition import Group
from trio_steps._pipeline.run.parallel import WholeRace, known_paths, member_path

from .flows import edges_of
from .forks import A_MEMBER_OF_A_RACE, refuse_waits
from .options import numbered, own_name, split_name
from .renames import check_renamed, was_of
from .steps import NewStep, part_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    import trio

    from trio_steps._core.function import Provides
    from trio_steps._pipeline.context import MergePolicy
    from trio_steps._pipeline.definition import Program

    from .options import NodeOptions

_MODES = ("all", "settle", "race", "flow")


def step_of(
    program: Program,
    name_and_functions: tuple[object, ...],
    *,
    mode: str | None,
    concurrency: int | trio.CapacityLimiter | None,
    provides: Provides,
    merge_policy: MergePolicy,
    options: NodeOptions,
) -> Program:
    """Return `program` with a step of one function or several. For the arguments, see `Pipeline.step`."""
    name, functions = split_name(name_and_functions)
    if not functions:
        raise ConfigError(f"step({', '.join(map(repr, name_and_functions))}): give it a function to run")
    new = NewStep(program, name, functions, options, merge_policy)
    if len(functions) == 1 and mode is None:
        if concurrency is not None:
            raise ConfigError(
                f"step {new.full!r}: concurrency={short_repr(concurrency)} goes with several functions, or a mode"
            )
        part = part_of(functions[0], new.full, new.share, provides)
        new.require(part.needs)
        return new.added(part.member, part.provided, skips=part.skips)
    if provides is not None:
        raise ConfigError(
            f"step {new.full!r}: provides={short_repr(provides)} is for one function; for one of several, "
            f"step(function, provides={short_repr(provides)})"
        )
    return _parallel(new, functions, "all" if mode is None else mode, concurrency)


def _parallel(
    new: NewStep, functions: tuple[object, ...], mode: str, concurrency: int | trio.CapacityLimiter | None
) -> Program:
    if mode not in _MODES:
        raise ConfigError(f'step {new.full!r}: mode={short_repr(mode)}: use "all", "settle", "race" or "flow"')
    ids, was = _ids(functions), tuple(map(was_of, functions))
    check_renamed(ids, was, f"{new.full}/")
    parts = [part_of(function, f"{new.full}/{id}", new.share) for id, function in zip(ids, functions)]  # noqa: B905
    for id, part in zip(ids, parts):  # noqa: B905 - as long as each other
        new.check_known(f"{new.full}/{id}", part.provided)
    edges: tuple[Mapping[str, int], ...] = ()
    if mode == "flow":
        edges = edges_of(new, ids, parts)
        fork, known = new.fork("all", concurrency), None
    else:
        for id, part in zip(ids, parts, strict=True):
            new.require(part.needs)
            if mode == "race" and isinstance(part.member, tuple):
                refuse_waits(part.member, f"{new.full}/{id}", *A_MEMBER_OF_A_RACE)
        fork = new.fork(WholeRace if mode == "race" else mode, concurrency)
        known = known_paths(ids, [member_path(index, part.member) for index, part in enumerate(parts)])
    body = Group(
        mode=cast("Any", mode),
        ids=tuple(ids),
        was=was,
        members=tuple(part.member for part in parts),
        plan=attrs.evolve(fork, known=known),
        edges=edges,
    )
    return new.added(body, together([part.provided for part in parts], mode, new.merge_policy))


def _ids(functions: tuple[object, ...]) -> list[str]:
    """Return the names of the members, like those of paths of a fork; members without a name are called by position.

    An explicit id is kept, and other names make way for it.
    """
    names = [own_name(function) for function in functions]
    ids: dict[int, str] = {}
    taken: set[str] = set()
    for by_hand in (True, False):
        for index, (name, given) in enumerate(names):
            if given is by_hand:
                ids[index] = numbered(str(index + 1) if name is None else name, taken)
                taken.add(ids[index])
    return [ids[index] for index in range(len(names))]
