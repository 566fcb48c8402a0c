"""The content of a diagram, in short."""

from __future__ import annotations


def shown(text):
    """The nodes, frames and edges of a Mermaid diagram, a line each; without its looks."""
    lines = [line.strip() for line in text.splitlines()[1:]]
    return [line for line in lines if not line.startswith(("direction ", "classDef ", "class "))]


def one(text):
    """The one node of a Mermaid diagram."""
    [line] = shown(text)
    return line


async def a(x=0):
    pass


async def b(x=0):
    pass
