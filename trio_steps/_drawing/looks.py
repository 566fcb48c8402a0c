"""How a run is drawn, wherever it is drawn: one set of looks, words, marks and colours.

A look is never told by colour alone: there is always a mark or a word beside it.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

Status: TypeAlias = Literal["failed", "running", "succeeded", "cancelled", "skipped", "queued"]
Look: TypeAlias = Literal[Status, "won"]
"""How a run is drawn: its status, except that a run which succeeded may have won a race."""

WORDS: Final[dict[Look, str]] = {  # the most telling first
    "failed": "failed",
    "running": "still running",
    "won": "won",
    "succeeded": "succeeded",
    "cancelled": "cancelled",
    "skipped": "skipped",
    "queued": "never started",
}
MARKS: Final[dict[Look, str]] = dict(zip(WORDS, "✗▸★✓⊘»·", strict=True))

TERMINAL: Final[dict[Look, str]] = dict(
    zip(WORDS, ("red", "cyan", "green", "green", "yellow", "dim", "dim"), strict=True)
)
"""The colours in a terminal, as rich calls them."""
ANSI: Final[dict[str, str]] = {"red": "31", "cyan": "36", "green": "32", "yellow": "33", "dim": "2"}
"""The same for a terminal that is written to by hand."""

BOXES: Final[dict[Look | Literal["unreached"], tuple[str, str, str]]] = {
    "succeeded": ("#e6f4ea", "#1e8e3e", "#0d3b1e"),
    "won": ("#b7e1c1", "#0b6b2c", "#06290f"),
    "failed": ("#fce8e6", "#c5221f", "#5c0f0d"),
    "cancelled": ("#fef3d6", "#b06000", "#4a2a00"),
    "skipped": ("#f1f3f4", "#80868b", "#4a4d51"),
    "queued": ("#f1f3f4", "#80868b", "#4a4d51"),
    "running": ("#e1effb", "#1a73e8", "#0b2f66"),
    "unreached": ("transparent", "#9aa0a6", "#80868b"),
}
"""The colours of a box in a diagram: of its area, its border and its text."""

RETRIED: Final = "↻"
"""An attempt that failed and was followed by another."""

_PLAIN: Final[dict[str, str]] = {
    **dict(zip(MARKS.values(), "x>*+/-.", strict=True)),
    **dict(zip("╶╺╴─╼╸╾━", "-=---===", strict=True)),
    **dict(zip("▁▂▃▄▅▆▇█", "..::++##", strict=True)),
    RETRIED: "@",
    "…": "~",
    "µ": "u",
}


def encodable(text: str, encoding: str | None) -> str:
    """Return `text` with a plain character for each one that `encoding` can't show; None can show everything."""
    if encoding is None:
        return text
    return text.translate({ord(char): _PLAIN.get(char, "?") for char in set(text) if not _shows(encoding, char)})


def _shows(encoding: str, char: str) -> bool:
    try:
        char.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True
