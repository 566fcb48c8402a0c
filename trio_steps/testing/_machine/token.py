"""Replay tokens: a schedule, and the disturbance of the program, in one word.

``s1:0.35:any,c12,5-1,9-2:4f2a.07c1``: the format, the version of Trio, the policy, the disturbance, second choice at
decision 5, third at decision 9; a fingerprint of the run, and one of the program's name. The disturbance is one of

- ``c12``: the program was cancelled at point 12;
- ``t12.3``: scope number 3 ran out of time at point 12, and no other did;
- ``f12``: call number 12 raised an exception.
"""

from __future__ import annotations

import re
import zlib
from typing import TYPE_CHECKING, Final, TypeAlias, cast, final

import attrs
import trio

from trio_steps._core.errors import short_repr
from trio_steps.testing._findings import TokenError

from .schedules import POLICIES, Policy, Schedule

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

FORMAT: Final = "s1"
TRIO: Final = ".".join(trio.__version__.split(".")[:2])
_PAYLOAD: Final = re.compile(
    rf"({'|'.join(POLICIES)})(?:,c(?P<cancel>\d+)|,f(?P<fault>\d+)|,t(?P<point>\d+)\.(?P<scope>\d+))?(?P<choices>(?:,\d+-\d+)*)"
)
_MARK: Final = re.compile(r"[0-9a-f]{4}(?:\.[0-9a-f]{4})?")


@final
@attrs.frozen(kw_only=True)
class Recipe:
    """Everything that is needed to run a program again in the same way.

    Attributes:
      policy: which tasks may run next.
      deviations: the decisions that differ from FIFO, and their choices.
      cancel_at: the point at which the program is cancelled, or None.
      fault_at: the number of the call that raises, or None.
      expire_at: the point at which one scope expires, or None.
      scope: the number of that scope.
      chance: picks a scope that can expire there instead: from 0, the first, to 1, beyond the last.
    """

    policy: Policy = "any"
    deviations: Mapping[int, int] = attrs.field(factory=dict[int, int])
    cancel_at: int | None = None
    fault_at: int | None = None
    expire_at: int | None = None
    scope: int = 0
    chance: float | None = None

    @property
    def undisturbed(self) -> Recipe:
        """The same recipe without a disturbance."""
        return attrs.evolve(self, cancel_at=None, fault_at=None, expire_at=None)

    @property
    def disturbs(self) -> bool:
        """Whether the program is disturbed."""
        return self.cancel_at is not None or self.fault_at is not None or self.expire_at is not None

    def token(self, fingerprint: str) -> str:
        """Return the recipe as a word, with the `fingerprint` of the run that it led to."""
        parts: list[str] = [self.policy]
        if self.cancel_at is not None:
            parts.append(f"c{self.cancel_at}")
        if self.fault_at is not None:
            parts.append(f"f{self.fault_at}")
        if self.expire_at is not None:
            parts.append(f"t{self.expire_at}.{self.scope}")
        parts += [f"{decision}-{choice}" for decision, choice in sorted(self.deviations.items())]
        return f"{FORMAT}:{TRIO}:{','.join(parts)}:{fingerprint}"


Trial: TypeAlias = "tuple[Recipe, Schedule | None]"
"""A recipe, and the schedule that decides the order; None: the recipe decides."""


def parse(token: str) -> tuple[Recipe, str]:
    """Return the recipe in `token`, and the fingerprint.

    Raises:
      TokenError: the token is damaged, or comes from another version of Trio or of trio_steps.
    """
    if not isinstance(cast("object", token), str):
        raise TokenError(f"{short_repr(token)} is not a token: give the text in the report of the failure")
    parts = token.strip().split(":")
    if len(parts) == 4 and parts[0] != FORMAT:
        raise TokenError(f"token {token!r} has the format {parts[0]!r}; this version of trio_steps reads {FORMAT!r}")
    match = _PAYLOAD.fullmatch(parts[2]) if len(parts) == 4 and _MARK.fullmatch(parts[3]) else None
    if match is None:
        raise TokenError(f"token {token!r} is damaged: a token looks like {FORMAT}:{TRIO}:any,c12,5-1:4f2a.07c1")
    if parts[1] != TRIO:
        raise TokenError(
            f"token {token!r} was made with Trio {parts[1]}, but this is Trio {TRIO}: the same choices may lead "
            "elsewhere, so explore again"
        )
    pairs = (pair.split("-") for pair in match["choices"].split(",") if pair)
    return Recipe(
        policy=cast("Policy", match[1]),
        deviations={int(decision): int(choice) for decision, choice in pairs},
        cancel_at=_number(match["cancel"]),
        fault_at=_number(match["fault"]),
        expire_at=_number(match["point"]),
        scope=_number(match["scope"]) or 0,
    ), parts[3]


def _number(text: str | None) -> int | None:
    return None if text is None else int(text)


def fingerprint(story: Iterable[object], program: object, origin: str = "") -> str:
    """Return digits that are the same for the same story and program on every machine.

    `origin` distinguishes programs of the same name: it is the test that explores the program.
    """
    return f"{_digits(repr(list(story)))}.{_program(program, origin)}"


def is_of(token: str, program: object, origin: str) -> bool:
    """Tell whether `token` belongs to a program of that name and origin, or was made without an origin."""
    return token.strip().rpartition(".")[2] in (_program(program, origin), _program(program, ""))


def _program(program: object, origin: str) -> str:
    function = getattr(program, "func", program)
    module, name = getattr(function, "__module__", ""), getattr(function, "__qualname__", type(function).__qualname__)
    return _digits(f"{module}.{name}" + (origin and f" {origin}"))


def _digits(text: str) -> str:
    return f"{zlib.crc32(text.encode()) & 0xFFFF:04x}"
