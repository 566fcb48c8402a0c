"""What only durable runs have: steps that wait for an answer from outside the run, and versions."""

from __future__ import annotations

from collections.abc import Collection
from types import UnionType
from typing import TYPE_CHECKING, Any, Union, cast, get_args, get_origin

from trio_steps._core.checks import check_key, check_timeout
from trio_steps._core.errors import ConfigError, short_repr
from trio_steps._durable.answers import type_name
from trio_steps._pipeline.contract.annotations import UNKNOWN
from trio_steps._pipeline.contract.records import is_typed_dict
from trio_steps._pipeline.contract.shape import Key, Shape, Source
from trio_steps._pipeline.definition import Wait

from .options import check_name
from .steps import NewStep

if TYPE_CHECKING:
    from trio_steps._pipeline.context import MergePolicy
    from trio_steps._pipeline.definition import Program

    from .options import NodeOptions


def wait_of(
    program: Program,
    name: str,
    *,
    provides: str,
    of: object,
    timeout: float | None,
    merge_policy: MergePolicy,
    options: NodeOptions,
) -> Program:
    """Return `program` with a step that waits. For the arguments, see `Pipeline.wait_for`."""
    new = NewStep(program, check_name(name), (), options, merge_policy)
    check_key(f"wait_for {name!r}: provides", provides)
    check_timeout(f"wait_for {name!r}: timeout", timeout)
    body = Wait(provides=provides, of=_types(new.full, of), timeout=timeout)
    kind = UNKNOWN if of is None else of
    return new.added(body, Shape({provides: Key(kind, (Source(new.full),))}))


def _types(step: str, of: object) -> tuple[str, ...]:
    if of is None:
        return ()
    kinds = get_args(of) if get_origin(of) in (Union, UnionType) else (of,)
    if Any in kinds or object in kinds:
        return ()
    for kind in kinds:
        if not isinstance(kind, type):
            raise ConfigError(
                f"wait_for {step!r}: of={short_repr(of)}: give a class, such as bool, or several, such as str | None; "
                "an answer is checked by its exact type"
            )
    # the exact types of values; those of a TypedDict are dicts
    return tuple(type_name(dict if is_typed_dict(kind) else cast("type", kind)) for kind in kinds)


def check_version(version: object) -> str | None:
    """Return `version` if it can be one of a pipeline."""
    if version is not None and (not isinstance(version, str) or not version):
        form = short_repr(short_repr(version) if version and isinstance(version, (int, float)) else "1")
        raise ConfigError(f"version={short_repr(version)}: give a non-empty string, version={form}")
    return version


def check_versions(versions: object) -> frozenset[str | None]:
    """Return `versions` if a pipeline can continue them."""
    if isinstance(versions, str):
        raise ConfigError(f"versions={versions!r}: give a set, versions={{{versions!r}}}")
    some = versions
    given = tuple(cast("Collection[object]", some)) if isinstance(some, Collection) else (some,)
    if some is None or not all(version is None or (isinstance(version, str) and version) for version in given):
        raise ConfigError(f'versions={short_repr(versions)}: give a set of versions, versions={{"1", "2"}}')
    return frozenset(cast("tuple[str | None, ...]", given))
