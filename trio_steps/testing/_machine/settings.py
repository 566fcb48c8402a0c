"""The options of every run of a program, as the user gives them and as the machine needs them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final, Literal, TypeAlias, TypedDict, cast, final

import attrs

from trio_steps._core.checks import check_count, check_flag, check_seconds, check_sync
from trio_steps._core.errors import ConfigError, short_repr
from trio_steps.testing._findings import FaultInjectedError, Finding, Ignore, OfCategory, ignores
from trio_steps.testing._probe import Probe

Program: TypeAlias = Callable[[Probe], Awaitable[Any]]
"""An async function that is called with a new `Probe` for each run."""

Values: TypeAlias = Literal["undisturbed", "any"] | Callable[[Any], bool]
"""The values that a disturbed program may return: those it returns undisturbed, any, or those a predicate accepts."""

Ignored: TypeAlias = str | type[Warning] | Ignore
"""A finding not to report: an invariant by name, a class of warnings, or an `Ignore`."""


class Options(TypedDict, total=False):
    """The options of every function that runs a program.

    Attributes:
      allow: error types that the program may raise.
      ignore: findings that are counted and not reported: an invariant by name, ``"warning"``; a class of warnings,
        `ResourceWarning`; an `Ignore`; or several of these.
      values: what the program may return when it is disturbed: ``"undisturbed"``, the values that it also returns
        undisturbed; ``"any"``; or a predicate of the value.
      clock: make the functions of the `time` module and ``datetime.datetime.now`` tell virtual time.
      max_steps: the most steps of tasks in a run. A cancelled run gets fewer.
      max_seconds: the most virtual seconds that a run may take after it was cancelled.
    """

    allow: Iterable[type[BaseException]] | type[BaseException]
    ignore: Iterable[Ignored] | Ignored
    values: Values
    clock: bool
    max_steps: int
    max_seconds: float


def _types(allow: object) -> tuple[type[BaseException], ...]:
    allowed: tuple[object, ...] = (allow,)
    if isinstance(allow, Iterable) and not isinstance(allow, (type, BaseException)):
        allowed = tuple(cast("Iterable[object]", allow))
    if not all(isinstance(kind, type) and issubclass(kind, BaseException) for kind in allowed):
        raise ConfigError(
            f"allow={short_repr(cast('Any', allow))}: give error types, allow=OSError or allow=(OSError, ValueError)"
        )
    return cast("tuple[type[BaseException], ...]", allowed)


def _checked(values: Any) -> Values:
    if values not in ("undisturbed", "any"):
        form = '"undisturbed", "any", or a function that tells whether a value is correct'
        check_sync(lambda: f"values={short_repr(values)}", values, form)
    return cast("Values", values)


@final
@attrs.frozen(kw_only=True)
class Settings:
    """The checked options of every run of a program; see `Options`.

    Attributes:
      fault: makes the exception that `sweep_faults` raises.
      origin: the test that explores the program, if there is one.
      warned: the warnings of the program that were passed on.

    Raises:
      ConfigError: an option is not valid.
    """

    allow: tuple[type[BaseException], ...] = attrs.field(default=(), converter=_types)
    ignore: tuple[Ignore | OfCategory, ...] = attrs.field(default=(), converter=ignores)
    values: Values = attrs.field(default="undisturbed", converter=_checked)
    clock: bool = False
    max_steps: int = 20_000
    max_seconds: float = 300.0
    fault: Callable[[], BaseException] = FaultInjectedError
    origin: str = ""
    warned: set[tuple[object, ...]] = attrs.field(factory=set[tuple[object, ...]], init=False, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        check_flag("clock", self.clock, form="True to make the time module tell virtual time, or False")
        check_count(
            f"max_steps={short_repr(self.max_steps)}", self.max_steps, form="the most steps of a run, 1 or more"
        )
        check_seconds("max_seconds", self.max_seconds)

    @property
    def ignores_places(self) -> bool:
        """Whether every finding needs its place."""
        return any(isinstance(rule, Ignore) and rule.at is not None for rule in self.ignore)

    def ignores(self, finding: Finding) -> bool:
        """Tell whether to ignore `finding`."""
        return any(rule.fits(finding) for rule in self.ignore)


_SEED_BITS: Final = 256


def check_budget(budget: object) -> None:
    """Raise `ConfigError` unless `budget` is a whole number of runs, 1 or more."""
    check_count(f"budget={short_repr(budget)}", budget, form="the number of runs, 1 or more")


def check_seed(seed: object) -> None:
    """Raise `ConfigError` unless `seed` is a whole number, not too long for a token."""
    if isinstance(seed, bool) or not isinstance(seed, int) or seed.bit_length() > _SEED_BITS:
        raise ConfigError(f"seed={short_repr(seed)}: give a whole number of at most {_SEED_BITS} bits, seed=1")


def settings_of(function: str, options: Options, fault: Callable[[], BaseException] = FaultInjectedError) -> Settings:
    """Return the options of `function`, checked.

    Raises:
      ConfigError: an option is not valid.
      TypeError: there is no such option.
    """
    for name in options:
        if name not in Options.__annotations__:
            raise TypeError(f"{function}() got an unexpected keyword argument {name!r}")
    return Settings(**options, fault=fault)
