"""Names that steps had before: each belongs to one step, and to none that is called so now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_steps._core.errors import ConfigError
from trio_steps._core.function import FunctionStep
from trio_steps._pipeline.entry import program_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence


def was_of(function: object) -> tuple[str, ...]:
    """Return the names that a function or pipeline says it had before, as a step."""
    if isinstance(function, FunctionStep):
        return function.was
    program = program_of(function)
    return () if program is None else program.was


def renamed_with(
    renamed: Mapping[str, str], names: Collection[str], name: str, was: Sequence[str], prefix: str
) -> Mapping[str, str]:
    """Return the old names of steps, and what each is called now, with those of a new one.

    Args:
      renamed: those of the steps before it.
      names: what these are called.
      name: what the new one is called.
      was: its old names.
      prefix: what full names begin with here.

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
    """Refuse members, or cases, of which two claim a name; see `renamed_with`."""
    renamed: Mapping[str, str] = {}
    for id, old in zip(ids, was):  # noqa: B905 - as long as each other
        renamed = renamed_with(renamed, ids, id, old, prefix)


def _in_use(prefix: str, name: str, old: str) -> ConfigError:
    return ConfigError(
        f"step {prefix + name!r}: was={old!r}, but there is a step of that name now; give that one another name"
    )
