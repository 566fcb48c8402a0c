"""The name and the options of a step of any kind, checked."""

from __future__ import annotations

import functools
from collections.abc import Collection
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final, cast, final

import attrs

from trio_steps._core.checks import check_flag, located
from trio_steps._core.describe import check_was, describe
from trio_steps._core.errors import ConfigError, StepInputError, leaves, listed, short_repr
from trio_steps._core.policy.policies import Policies
from trio_steps._pipeline.entry import program_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import trio
    from typing_extensions import TypedDict

    from trio_steps._core.policy.breaker import CircuitBreaker
    from trio_steps._core.policy.rate import RateLimit
    from trio_steps._core.policy.retry import Retry
    from trio_steps._pipeline.context import MergePolicy
    from trio_steps._pipeline.definition import OnError, Program

    class NodeOptions(TypedDict, total=False):
        """What every kind of step takes."""

        condition: bool | Callable[..., Any] | None
        on_error: OnError
        timeout: float | None
        total_timeout: float | None
        limiter: trio.CapacityLimiter | None
        max_waiting: int | None
        retry: Retry | None
        circuit_breaker: CircuitBreaker | None
        rate: RateLimit | None
        log: bool
        share: Collection[str]
        was: str | Sequence[str]


_MERGE_POLICIES = ("override", "error", "warn", "skip")
_ON_ERROR = ("raise", "continue", "skip-remaining")


# Names


def check_name(name: object) -> str:
    """Return `name` if a step can have it."""
    if not isinstance(name, str) or not name or "/" in name:
        raise ConfigError(f"{short_repr(name)} can't be the name of a step: a name is a non-empty string without a '/'")
    return name


def split_name(arguments: tuple[Any, ...]) -> tuple[str | None, tuple[Any, ...]]:
    """Return the name, if `arguments` begin with one, and the other arguments."""
    if arguments and isinstance(arguments[0], str):
        return arguments[0], arguments[1:]
    return None, arguments


def numbered(base: str, taken: Collection[str]) -> str:
    """Return `base`, with a number if it is taken."""
    name, number = base, 1
    while name in taken:
        number += 1
        name = f"{base}#{number}"
    return name


def name_for(program: Program, given: str | None, functions: tuple[Any, ...]) -> tuple[str, Mapping[str, int]]:
    """Return the name of a new step of `program` that runs `functions`, and the new `Program.names`."""
    names = program.names
    if given is not None:
        if check_name(given) in names:
            raise ConfigError(
                f"step {program.prefix + given!r}: the pipeline has a step of that name already; give it another"
            )
        return given, {given: 1}
    own = own_name(functions[0])[0] if len(functions) == 1 else None
    base = f"step-{len(program.nodes) + 1}" if own is None else own
    if base not in names:
        return base, {base: 1}
    number = names[base] + 1  # kept, so that a thousand steps of one name are not searched for each new one
    while f"{base}#{number}" in names:
        number += 1
    return f"{base}#{number}", {base: number, f"{base}#{number}": 1}


def own_name(function: object) -> tuple[str | None, bool]:
    """Return the name of a function or step, None if it has none, and whether it was given explicitly."""
    if not callable(function):  # which is refused later
        return None, False
    name, given, _ = describe(function)
    if given:
        return check_name(name), True
    return (None if "<lambda>" in name or "/" in name or program_of(function) is not None else name), False


# Options


_NAMED: Final = ("mode", "concurrency", "provides", "merge_policy", "over", "each", "into", "until", "at_most")
"""What only some methods take, each by its own name."""


@final
@attrs.frozen(kw_only=True)
class Settings:
    """What every kind of step takes, checked. The condition is as it was given, or None if it always holds."""

    condition: bool | Callable[..., Any] | None
    on_error: OnError
    policies: Policies
    log: bool
    share: frozenset[str]
    was: tuple[str, ...]


def settings(
    step: str,
    *,
    condition: bool | Callable[..., Any] | None = None,
    on_error: OnError = "raise",
    timeout: float | None = None,
    total_timeout: float | None = None,
    limiter: trio.CapacityLimiter | None = None,
    max_waiting: int | None = None,
    retry: Retry | None = None,
    circuit_breaker: CircuitBreaker | None = None,
    rate: RateLimit | None = None,
    log: bool = True,
    share: Collection[str] = (),
    was: str | Sequence[str] = (),
    **unknown: object,
) -> Settings:
    """Check what every kind of step takes.

    Raises:
      ConfigError: it can't work.
      TypeError: there is no option of that name.
    """
    for option in unknown:
        known = tuple(settings.__kwdefaults__ or ())
        close = get_close_matches(option, (*known, *_NAMED), 1)
        hint = f"did you mean {close[0]!r}?" if close else f"it takes {listed(known)}"
        raise TypeError(f"step {step!r} got an unexpected keyword argument {option!r}; {hint}")
    if on_error not in _ON_ERROR:
        raise ConfigError(
            f'step {step!r}: on_error={short_repr(on_error)}: use "raise", "continue" or "skip-remaining"'
        )
    check_flag(f"step {step!r}: log", log, form="True, or False to keep the step out of logs and summaries")
    with located(f"step {step!r}: "):
        policies = Policies(
            timeout=timeout,
            total_timeout=total_timeout,
            limiter=limiter,
            max_waiting=max_waiting,
            retry=retry,
            circuit_breaker=circuit_breaker,
            rate=rate,
        )
    if retry is not None:
        policies = attrs.evolve(policies, retry=attrs.evolve(retry, on=functools.partial(_worth_retrying, retry)))
    return Settings(
        condition=None if condition is True else condition,
        on_error=on_error,
        policies=policies,
        log=log,
        share=check_share(share, f"step {step!r}: "),
        was=check_was(was, f"step {step!r}: "),
    )


def _worth_retrying(retry: Retry, error: Exception) -> bool:
    """Tell whether another attempt may help. It can't if a key is missing."""
    return not any(isinstance(leaf, StepInputError) for leaf in leaves(error)) and retry.wants(error)


def check_share(share: Collection[str], where: str = "") -> frozenset[str]:
    """Return the keys in `share`."""
    if isinstance(share, str):
        raise ConfigError(f"{where}share={short_repr(share)}: give the keys in a tuple, share=({share!r},)")
    if not isinstance(cast("object", share), Collection) or not all(
        isinstance(key, str) for key in cast("Collection[object]", share)
    ):
        raise ConfigError(
            f'{where}share={short_repr(share)}: give the keys, which are strings, in a tuple, share=("rows",)'
        )
    return frozenset(share)


def check_codec(codec: object) -> None:
    """Raise `ConfigError` unless `codec` is None, a `Codec` or a `TypedCodec`."""
    pairs = (("dumps", "loads"), ("dumps_as", "loads_as"))
    if codec is None or any(all(callable(getattr(codec, name, None)) for name in pair) for pair in pairs):
        return
    raise ConfigError(
        f"codec={short_repr(codec)}: give an object with dumps and loads, such as the json module, "
        "or with dumps_as and loads_as; or None"
    )


def check_policy(step: str, policy: MergePolicy) -> MergePolicy:
    """Return `policy` if it is a merge policy."""
    if policy not in _MERGE_POLICIES:
        raise ConfigError(
            f'step {step!r}: merge_policy={short_repr(policy)}: use "override", "error", "warn" or "skip"'
        )
    return policy
