"""Records that steps return."""

from __future__ import annotations

from typing import TypedDict

import attrs


@attrs.frozen
class Point:
    x: int
    y: list[int]


class Given(TypedDict):
    a: int
