"""Orders for trying more than the budget allows: every beginning is spread over the whole."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_MOST: Final = 10  # ranges that are listed


def bisection(total: int) -> Iterator[int]:
    """Yield the numbers below `total`, each once: 0, the middle, the middles of the halves, ….

    A smaller budget gets the beginning of what a larger one gets. Strides lack this property: of nine, a budget of
    three tries 0, 3 and 6, and a budget of four tries 0, 2, 4 and 6.
    """
    bits = total.bit_length()
    for number in range(1 << bits):
        turned = int(f"{number:0{bits}b}"[::-1], 2)
        if turned < total:
            yield turned


def pairs(total: int, seed: int) -> Iterator[tuple[int, int]]:
    """Yield random pairs of different numbers below `total`, the smaller first, at most as many as there are.

    They are drawn, not listed, because 10,000 numbers have 50 million pairs.
    """
    number = Random(f"pairs {seed}").random  # noqa: S311 - not used for secrets
    for _ in range(total * (total - 1) // 2):
        one, other = int(number() * total), int(number() * (total - 1))
        other += other >= one
        yield min(one, other), max(one, other)


def ranges(numbers: Iterable[int]) -> str:
    """Return sorted numbers as text, ``3, 5-7, 9``; of many ranges, only the first."""
    found: list[list[int]] = []
    for number in numbers:
        if found and found[-1][1] == number - 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    told = [str(first) if first == last else f"{first}-{last}" for first, last in found[:_MOST]]
    return ", ".join(told) + (", …" if len(found) > _MOST else "")
