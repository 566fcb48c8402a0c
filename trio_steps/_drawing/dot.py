"""A graph in DOT, the language of Graphviz."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final

from .graph import look_of, numbered, plain, texts, took
from .looks import BOXES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .graph import Direction, Fates, Graph, Kind, Node

_DIRECTIONS: Final[dict[Direction, str]] = {"down": "TB", "right": "LR"}
_SHAPES: Final[dict[Kind, str]] = {
    "start": "shape=oval",
    "step": "shape=box",
    "decision": "shape=diamond",
    "transform": "shape=hexagon",
}
_ARROWS: Final = {True: "penwidth=2", False: "style=dashed"}


def to_dot(graph: Graph, *, direction: Direction = "down", fates: Fates | None = None) -> str:
    """Return `graph` in the DOT language of Graphviz; with `fates`, marked with what a run did."""
    return "\n".join(_lines(graph, _DIRECTIONS[direction], fates))


def _lines(graph: Graph, direction: str, fates: Fates | None) -> Iterator[str]:
    ids = numbered(graph)

    def part(graph: Graph, indent: str) -> Iterator[str]:
        for node in graph.nodes:
            title, *notes = map(_text, texts(node, fates))
            style = ",".join(["filled", *["rounded"] * (node.kind in ("step", "frame")), *["dashed"] * node.maybe])
            look = f'style="{style}"'
            if fates is not None:
                look += ' fillcolor="{}" color="{}" fontcolor="{}"'.format(*BOXES[look_of(node, fates)])
            if node.inside is None:
                small = "".join(f'<br/><font point-size="10">{note}</font>' for note in notes)
                shape = _SHAPES[node.kind] + " peripheries=2" * node.many
                yield f"{indent}{ids[node]} [label=<{title}{small}> {shape} {look}]"
            else:
                yield f"{indent}subgraph cluster_{ids[node]} {{"
                yield f"{indent}  label=<{' · '.join([title, *notes])}> {look}"
                yield from part(node.inside, f"{indent}  ")
                yield f"{indent}}}"
        alone = [ids[node] for node in graph.nodes if node.inside is None]
        if len(alone) > 1 and not graph.edges:  # otherwise Graphviz would choose their order
            yield f"{indent}{{ rank=same {' -> '.join(alone)} [style=invis] }}"
        for edge in graph.edges:
            options = [f"label=<&#160;{_text(plain(edge.label))}&#160;>"] if edge.label else []
            # Edges lead from node to node, and are clipped at the borders of the frames that they connect.
            options += [f"ltail=cluster_{ids[edge.tail]}"] if edge.tail.inside is not None else []
            options += [f"lhead=cluster_{ids[edge.head]}"] if edge.head.inside is not None else []
            options += [] if fates is None else [_ARROWS[took(fates, edge, graph)]]
            ends = f"{ids[_last(edge.tail)]} -> {ids[_first(edge.head)]}"
            yield f"{indent}{ends} [{' '.join(options)}]" if options else f"{indent}{ends}"

    yield "digraph {"
    yield f'  rankdir={direction} compound=true fontname=Helvetica fontsize=12 color="#9aa0a6" fillcolor=transparent'
    yield '  node [fontname=Helvetica fontsize=13 fillcolor="#eef0fb" color="#7b83c4"]'
    yield '  edge [fontname=Helvetica fontsize=11 color="#666666"]'
    yield from part(graph, "  ")
    yield "}"


def _text(text: str) -> str:
    r"""Escape `text` for the XML in a label, in which Graphviz looks for ``\G``, and fails at ``]]`` before a tag."""
    return escape(text).replace("\\", "\\\\").replace("]", "&#93;")


def _first(node: Node) -> Node:
    """Return the node in `node` to which an edge is drawn: the middle one of the first."""
    if node.inside is None:
        return node
    heads = {edge.head for edge in node.inside.edges}
    starts = [inner for inner in node.inside.nodes if inner not in heads]
    return _first(starts[len(starts) // 2])


def _last(node: Node) -> Node:
    """Return the node in `node` from which an edge is drawn: one of the deepest, so that the next is below them all."""
    if node.inside is None:
        return node
    tails = {edge.tail for edge in node.inside.edges}
    ends = [inner for inner in node.inside.nodes if inner not in tails]
    deepest = max(map(_depth, ends))
    ends = [inner for inner in ends if _depth(inner) == deepest]
    return _last(ends[len(ends) // 2])


def _depth(node: Node) -> int:
    """Return the length of the longest chain of nodes in `node`."""
    if node.inside is None:
        return 1
    depths: dict[Node, int] = {}
    for inner in node.inside.nodes:  # each comes after those that lead to it
        before = (depths[edge.tail] for edge in node.inside.edges if edge.head is inner)
        depths[inner] = max(before, default=0) + _depth(inner)
    return max(depths.values())
