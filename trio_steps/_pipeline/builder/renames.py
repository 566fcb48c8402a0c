"""Former names of steps. Each belongs to one step, and must not be the present name of another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_steps._core.errors import ConfigError
from trio_steps._core.function import FunctionStep
from trio_steps._pipeline.entry import program_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence


def was_of(function: object) -> tuple[str, ...]:
    """Return the former names that a function or pipeline declares, as a step."""
    if isinstance(function, FunctionStep):
        return function.was
    program = program_of(function)
    return () if program is None else program.was


def renamed_with(
    renamed: Mapping[str, str], names: Collection[str], name: str, was: Sequence[str], prefix: str
) -> Mapping[str, str]:
    """Return the former names of steps, each with the present name, including those of a new step.

    Args:
      renamed: the former names of the steps before it.
      names: the names of these steps.
      name: the name of the new step.
      was: its former names.
      prefix: the prefix of full names here.

    Raises:
      ConfigError: two steps claim a name.
    """
    if name in renamed:
        raise _in_use(prefix, renamed[name], name)
    for old in was:
        if old == name or old in names:
            raise _in_use(prefix, name, old)
        if old in renamed:
            raise ConfigError(
                f"step {prefix + name!r}: was={old!r}, but step {prefix + renamed[old]!r} says that too; a run that "
                "did it can continue with only one of them"
            )
    return {**renamed, **dict.fromkeys(was, name)} if was else renamed


def check_renamed(ids: Sequence[str], was: Sequence[Sequence[str]], prefix: str) -> None:
    """Refuse members or cases if two of them claim the same name; see `renamed_with`."""
    renamed: Mapping[str, str] = {}
    for id, old in zip(ids, was):  # noqa: B905 - as long as each other
        renamed = renamed_with(renamed, ids, id, old, prefix)


def _in_use(prefix: str, name: str, old: str) -> ConfigError:
    return ConfigError(
        f"step {prefix + name!r}: was={old!r}, but there is a step of that name now; give that one another name"
    )
