"""A terminal that keeps each of its screens."""

from __future__ import annotations

import io
import re
import textwrap

from rich.console import Console


def terminal(width=100, height=25, *, color=None, file=None):
    return Console(file=file or io.StringIO(), force_terminal=True, width=width, height=height, color_system=color)


class Screen:
    """The screen of a terminal that was sent `text`."""

    def __init__(self, text):
        self.lines = [""]
        self.has_cursor = True
        row = 0
        for part in re.findall(r"\x1b\[[?\d;]*[a-zA-Z]|[\r\n]|[^\x1b\r\n]+|\x1b", text):
            match part:
                case "\r":
                    pass  # the next output erases the line
                case "\n":
                    row += 1
                    self.lines[row:] = self.lines[row:] or [""]
                case "\x1b[1A":
                    row -= 1
                case "\x1b[2K":
                    self.lines[row] = ""
                case "\x1b[?25l" | "\x1b[?25h":
                    self.has_cursor = part.endswith("h")
                case _:
                    assert part.isprintable()
                    self.lines[row] += part

    def __str__(self):
        return "\n".join(line.rstrip() for line in self.lines).rstrip("\n")


def shown(tree):
    return str(Screen(tree.console.file.getvalue()))


def text(picture):
    return textwrap.dedent(picture).strip()
