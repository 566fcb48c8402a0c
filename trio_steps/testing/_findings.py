"""Findings, which say what is wrong with a run; which of them to ignore; and the errors of this package."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, cast, final, get_args

import attrs

from trio_steps._core.errors import ConfigError, short_repr

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ._places import Place

Invariant: TypeAlias = Literal[
    "cancellation", "deadlock", "determinism", "internal", "invariant", "livelock", "lock", "outcome", "resource",
    "task", "timeout-value", "warning",
]  # fmt: skip
"""The names of the invariants, which hold for every correct run."""

_INVARIANTS: Final = frozenset(get_args(Invariant))


@final
@attrs.frozen(kw_only=True)
class Finding:
    """Something that is wrong with a run.

    Attributes:
      invariant: the name of the broken invariant.
      message: what happened, in a sentence or a few lines.
      place: the line concerned, if there is one.
      error: the exception concerned, if there is one.
      category: the class of the warning, if it is one.
      what: distinguishes several faults at one line: the first line of the message, unless that differs by run.
    """

    invariant: Invariant
    message: str
    place: Place | None = None
    error: BaseException | None = attrs.field(default=None, eq=False)
    category: type[Warning] | None = None
    what: str = attrs.field(default="", repr=False)

    @property
    def key(self) -> tuple[str, str, str]:
        """What is wrong, and where. A finding of another run with the same key is the same."""
        # the origin of a coroutine that was never awaited is known only in runs that keep a log
        place = None if self.category is RuntimeWarning else self.place
        return self.invariant, self.what or self.message.partition("\n")[0], str(place or "")

    def __str__(self) -> str:
        return f"{self.invariant}: {self.message}" + (f" ({self.place})" if self.place is not None else "")


@final
@attrs.frozen
class Ignore:
    """A pattern for known findings. They are counted, and not reported.

    At least one attribute has to be given. A finding has to match all that are given.

    Attributes:
      pattern: a regular expression, searched for in the text of the finding.
      at: its line, ``"file.py:12"``, or any line of a file, ``"file.py"``; the finding's path may be longer.
      invariant: the name of the broken invariant.
    """

    pattern: str | None = None
    at: str | None = attrs.field(default=None, kw_only=True)
    invariant: Invariant | None = attrs.field(default=None, kw_only=True)

    def __attrs_post_init__(self) -> None:
        if self.pattern is self.at is self.invariant is None:
            raise ConfigError('Ignore() would ignore everything: say what, Ignore(pattern="…", at="file.py:12")')
        _check_invariant(self.invariant)
        if not isinstance(self.at, (str, type(None))):
            raise ConfigError(
                f'Ignore(at={short_repr(self.at)}): give a line, at="file.py:12", or a file, at="file.py"'
            )
        if not isinstance(self.pattern, (str, type(None))):
            raise ConfigError(
                f'Ignore(pattern={short_repr(self.pattern)}): give a regular expression, pattern="lost \\d+"'
            )
        try:
            re.compile(self.pattern or "")
        except re.error as error:
            raise ConfigError(f"Ignore(pattern={self.pattern!r}): this is not a regular expression: {error}") from None

    def fits(self, finding: Finding) -> bool:
        """Tell whether `finding` matches."""
        return (
            (self.invariant is None or finding.invariant == self.invariant)
            and (self.pattern is None or re.search(self.pattern, str(finding)) is not None)
            and (self.at is None or self._is_at(finding))
        )

    def _is_at(self, finding: Finding) -> bool:
        place = finding.place
        at = "" if self.at is None else self.at.replace("\\", "/").removeprefix("./")
        while place is not None:
            told, file = str(place), place.file.replace("\\", "/")
            for where in (told, told.rpartition(":")[0], file, f"{file}:{place.line}"):
                if where == at or where.endswith(f"/{at}"):
                    return True
            place = place.caller
        return False


@final
@attrs.frozen
class OfCategory:
    """Ignores warnings of a class, and unclosed or unawaited objects if Python warns about them with that class."""

    category: type[Warning]

    def fits(self, finding: Finding) -> bool:
        """Tell whether `finding` matches."""
        return finding.category is not None and issubclass(finding.category, self.category)


def ignores(given: object) -> tuple[Ignore | OfCategory, ...]:
    """Return the argument of ``ignore=`` as a tuple.

    Raises:
      ConfigError: an item is neither the name of an invariant nor a class of warnings nor an `Ignore`.
    """
    alone = isinstance(given, (str, type, Ignore)) or not hasattr(given, "__iter__")
    items = (given,) if alone else tuple(cast("Iterable[object]", given))
    return tuple(map(_ignore, items))


def _ignore(item: object) -> Ignore | OfCategory:
    if isinstance(item, Ignore):
        return item
    if isinstance(item, type) and issubclass(item, Warning):
        return OfCategory(item)
    if isinstance(item, str):
        _check_invariant(item)
        return Ignore(invariant=cast("Invariant", item))
    raise ConfigError(
        f'ignore={short_repr(cast("Any", item))}: give the name of an invariant, ignore="warning", a class of '
        'warnings, ignore=ResourceWarning, or Ignore(pattern="…", at="file.py:12")'
    )


def _check_invariant(name: str | None) -> None:
    if name is not None and name not in _INVARIANTS:
        raise ConfigError(f"there is no invariant {name!r}; the invariants are {', '.join(sorted(_INVARIANTS))}")


class DeadlockError(Exception):
    """Every task is waiting, there is no deadline, and nothing can wake a task."""


class TokenError(ConfigError):
    """A replay token is damaged, or was made by another version."""


class FaultInjectedError(Exception):
    """The error that `sweep_faults` raises from a call unless it is given another."""


class ExplorationError(AssertionError):
    """Raised by ``raise_if_failed``. The text says what was found, where, and how to reproduce it."""
