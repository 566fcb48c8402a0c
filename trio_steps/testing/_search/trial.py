"""One thing to try."""

from __future__ import annotations

from typing import TypeAlias

from trio_steps.testing._machine.schedules import Schedule
from trio_steps.testing._machine.token import Recipe

Trial: TypeAlias = tuple[Recipe, Schedule | None]
"""What is done to the program, and who decides about the order; None: the recipe does."""
