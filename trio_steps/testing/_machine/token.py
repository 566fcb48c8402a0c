"""Replay tokens: a schedule, and what was done to the program, in one word.

``s1:0.35:any,c12,5-1,9-2:4f2a``: the format, the version of Trio, the policy, cancelled at point 12 (or ``f3``: a
fault at checkpoint 3), second choice at decision 5, third at decision 9; and a fingerprint of the run.
"""

from __future__ import annotations

import re
import zlib
from typing import TYPE_CHECKING, Final, cast, final

import attrs
import trio

from trio_steps.testing._findings import TokenError

from .schedules import POLICIES, Policy

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

FORMAT: Final = "s1"
TRIO: Final = ".".join(trio.__version__.split(".")[:2])
_PAYLOAD: Final = re.compile(rf"({'|'.join(POLICIES)})((?:,[cf]\d+)?)((?:,\d+-\d+)*)")


@final
@attrs.frozen(kw_only=True)
class Recipe:
    """All that has to be known to run a program once more in the same way.

    Attributes:
      policy: which tasks may go on.
      deviations: decisions that are not as FIFO has it, and what was chosen.
      cancel_at: the point at which the program is cancelled, or None.
      fault_at: the number of the checkpoint that raises, or None.
    """

    policy: Policy = "any"
    deviations: Mapping[int, int] = attrs.field(factory=dict[int, int])
    cancel_at: int | None = None
    fault_at: int | None = None

    def token(self, fingerprint: str) -> str:
        """Return the recipe as a word; `fingerprint` is of the run that it led to."""
        parts: list[str] = [self.policy]
        if self.cancel_at is not None:
            parts.append(f"c{self.cancel_at}")
        if self.fault_at is not None:
            parts.append(f"f{self.fault_at}")
        parts += [f"{decision}-{choice}" for decision, choice in sorted(self.deviations.items())]
        return f"{FORMAT}:{TRIO}:{','.join(parts)}:{fingerprint}"


def parse(token: str) -> tuple[Recipe, str]:
    """Return the recipe in `token`, and the fingerprint.

    Raises:
      TokenError: it is damaged, or of another version of Trio or of trio_steps.
    """
    parts = token.strip().split(":")
    if len(parts) == 4 and parts[0] != FORMAT:
        raise TokenError(f"token {token!r} has the format {parts[0]!r}; this version of trio_steps reads {FORMAT!r}")
    match = _PAYLOAD.fullmatch(parts[2]) if len(parts) == 4 else None
    if match is None:
        raise TokenError(f"token {token!r} is damaged: it reads {FORMAT}:{TRIO}:any,c12,5-1:4f2a or the like")
    if parts[1] != TRIO:
        raise TokenError(
            f"token {token!r} was made with Trio {parts[1]}, but this is Trio {TRIO}: the same choices may lead "
            "elsewhere, so explore again"
        )
    policy, action, choices = match.groups()
    number = int(action[2:]) if action else None
    return Recipe(
        policy=cast("Policy", policy),
        deviations={
            int(decision): int(choice) for decision, choice in (pair.split("-") for pair in choices.split(",") if pair)
        },
        cancel_at=number if action.startswith(",c") else None,
        fault_at=number if action.startswith(",f") else None,
    ), parts[3]


def fingerprint(story: Iterable[object]) -> str:
    """Return four digits that are the same for the same story on every machine."""
    return f"{zlib.crc32(repr(list(story)).encode()) & 0xFFFF:04x}"
