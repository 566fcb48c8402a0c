"""How runs look, wherever they are drawn: one set of words, marks and colours.

No look depends on colour alone: there is always a mark or a word with it.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

Status: TypeAlias = Literal["failed", "running", "succeeded", "cancelled", "skipped", "queued"]
Look: TypeAlias = Literal[Status, "won"]
"""How a run is drawn: by its status, or as "won" if it won a race."""

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

Color: TypeAlias = Literal[Look, "paper", "ink", "dim", "rule", "hover"]
"""Anything that has a colour on a page: a look, or a part of the page."""

LIGHT: Final[dict[Color, str]] = {
    "succeeded": "#1a7f37",
    "won": "#0b6b2c",
    "failed": "#c5221f",
    "cancelled": "#8a5a00",
    "running": "#0b6f85",
    "skipped": "#5c6779",
    "queued": "#5c6779",
    "paper": "#ffffff",
    "ink": "#1a2130",
    "dim": "#5c6779",
    "rule": "#e6e9ef",
    "hover": "#f4f6fa",
}
"""The colours on white, legible as text."""

DARK: Final[dict[Color, str]] = {
    "succeeded": "#57c478",
    "won": "#8be9a8",
    "failed": "#ff7a70",
    "cancelled": "#e0b04c",
    "running": "#45c9d9",
    "skipped": "#94a0b3",
    "queued": "#94a0b3",
    "paper": "#0e131a",
    "ink": "#e4e9f1",
    "dim": "#94a0b3",
    "rule": "#212a37",
    "hover": "#161d27",
}
"""The colours on black."""

TERMINAL: Final[dict[Look, str]] = dict(
    zip(WORDS, ("red", "cyan", "green", "green", "yellow", "dim", "dim"), strict=True)
)
"""The colours in a terminal, by the names that rich uses."""
ANSI: Final[dict[str, str]] = {"red": "31", "cyan": "36", "green": "32", "yellow": "33", "dim": "2"}
"""The codes of these colours."""

_AREAS: Final[dict[Look, tuple[str, str]]] = {  # of a box, and of the text in it
    "succeeded": ("#e6f4ea", "#0d3b1e"),
    "won": ("#b7e1c1", "#06290f"),
    "failed": ("#fce8e6", "#5c0f0d"),
    "cancelled": ("#fef3d6", "#4a2a00"),
    "running": ("#dff4f7", "#08363f"),
    "skipped": ("#f1f3f4", "#4a4d51"),
    "queued": ("#f1f3f4", "#4a4d51"),
}
BOXES: Final[dict[Look | Literal["unreached"], tuple[str, str, str]]] = {
    **{look: (area, LIGHT[look], text) for look, (area, text) in _AREAS.items()},
    "unreached": ("transparent", "#9aa0a6", "#80868b"),
}
"""The colours of a box in a diagram: area, border and text."""

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
    """Replace each character of `text` that `encoding` lacks with a plain one; None lacks none."""
    if encoding is None:
        return text
    return text.translate({ord(char): _PLAIN.get(char, "?") for char in set(text) if not _shows(encoding, char)})


def _shows(encoding: str, char: str) -> bool:
    try:
        char.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True
