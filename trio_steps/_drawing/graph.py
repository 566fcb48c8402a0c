"""Diagrams: what is drawn of a step, and how that is written in Mermaid and in Graphviz DOT.

A `Graph` is nodes and the edges between them; a *frame* is a node with a graph inside. No edge crosses the border of a
frame, so that each is laid out by itself, and a renderer is one walk. Nodes are numbered in the order of that walk:
what is written depends on nothing but the graph, and no name becomes an identifier, where it could be a keyword.

A run is drawn by what became of each node, its `Fate`. That is told by a mark and by words, and not by colour alone.
"""

from __future__ import annotations

import re
from html import escape
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, final

import attrs

from trio_steps._observers.rows import MARKS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from trio_steps._observers.rows import Look

Direction: TypeAlias = Literal["down", "right"]
Kind: TypeAlias = Literal["start", "step", "decision", "transform", "frame"]

_DIRECTIONS: Final[dict[Direction, str]] = {"down": "TB", "right": "LR"}
_COLORS: Final[dict[str, tuple[str, str, str]]] = {  # of the area, the border and the text
    "succeeded": ("#e6f4ea", "#1e8e3e", "#0d3b1e"),
    "won": ("#b7e1c1", "#0b6b2c", "#06290f"),
    "failed": ("#fce8e6", "#c5221f", "#5c0f0d"),
    "cancelled": ("#fef3d6", "#b06000", "#4a2a00"),
    "skipped": ("#f1f3f4", "#80868b", "#4a4d51"),
    "queued": ("#f1f3f4", "#80868b", "#4a4d51"),
    "running": ("#e1effb", "#1a73e8", "#0b2f66"),
    "unreached": ("transparent", "#9aa0a6", "#80868b"),
}
_MERMAID_SHAPES: Final[dict[Kind, tuple[str, str]]] = {
    "start": ("([", "])"),
    "step": ("[", "]"),
    "decision": ("{", "}"),
    "transform": ("{{", "}}"),
}
_DOT_SHAPES: Final[dict[Kind, str]] = {
    "start": "shape=oval",
    "step": "shape=box",
    "decision": "shape=diamond",
    "transform": "shape=hexagon",
}
_MERMAID_ARROWS: Final = {None: "-->", True: "==>", False: "-.->"}
_DOT_ARROWS: Final = {True: "penwidth=2", False: "style=dashed"}


@final
@attrs.frozen(kw_only=True, eq=False)
class Node:
    """Something that is drawn.

    Attributes:
      kind: what it is, which shows in its shape.
      label: what it is called.
      name: what a run calls it: the names of the steps down to it, joined by ``/``.
      notes: what else there is to say, each a few words.
      maybe: it need not run.
      many: it stands for many; so does what is inside it.
      inside: what a frame has in it: one node at least.
    """

    kind: Kind
    label: str
    name: str
    notes: tuple[str, ...] = ()
    maybe: bool = False
    many: bool = False
    inside: Graph | None = None


@final
@attrs.frozen(eq=False)
class Edge:
    """What comes after what, and when."""

    tail: Node
    head: Node
    label: str = ""


@final
@attrs.frozen(eq=False)
class Graph:
    """Nodes, and the edges between them."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...] = ()

    def walk(self) -> Iterator[Node]:
        """Yield all nodes, each before those inside it."""
        for node in self.nodes:
            yield node
            if node.inside is not None:
                yield from node.inside.walk()


@final
class Draft:
    """A graph in the making: nodes one after the other."""

    def __init__(self) -> None:
        self._nodes: list[Node] = []
        self._edges: list[Edge] = []
        self._loose: list[tuple[Node, str]] = []  # from where an edge leads to the next node, and its label

    def then(self, node: Node) -> None:
        """Add `node` after what is there."""
        self._nodes.append(node)
        self._edges += [Edge(tail, node, label) for tail, label in self._loose]
        self._loose = [(node, "")]

    def choose(self, decision: Node, cases: Iterable[tuple[str, Callable[[Draft], object]]]) -> None:
        """Add `decision`, and after it what each case adds, side by side: its label, and a function of this draft."""
        self.then(decision)
        ends: list[tuple[Node, str]] = []
        for label, add in cases:
            self._loose = [(decision, label)]
            add(self)
            ends += self._loose
        self._loose = ends

    def graph(self) -> Graph:
        """Return what was made."""
        return Graph(tuple(self._nodes), tuple(self._edges))


@final
@attrs.frozen
class Fate:
    """What became of a node in a run, and what else there is to say about that."""

    look: Look
    notes: tuple[str, ...] = ()


Run: TypeAlias = "Mapping[Node, Fate]"
"""What a run has left of a graph: the fates of the nodes that it came to."""


def took(run: Run, edge: Edge, graph: Graph) -> bool:
    """Tell whether `run` went along `edge`, as far as can be known."""
    if edge.tail not in run or edge.head not in run:
        return False
    # From a decision there may be edges around the cases, to what comes after them all. They stand last.
    out = [other for other in graph.edges if other.tail is edge.tail]
    first = next(other for other in out if other.head in run)
    return edge is first and sum(other.head is edge.head for other in out) == 1


def to_mermaid(graph: Graph, *, direction: Direction = "down", run: Run | None = None) -> str:
    """Return `graph` as a Mermaid flowchart; with `run`, what became of it there."""
    return "\n".join(_mermaid(graph, _DIRECTIONS[direction], run))


def to_dot(graph: Graph, *, direction: Direction = "down", run: Run | None = None) -> str:
    """Return `graph` in the language of Graphviz; with `run`, what became of it there."""
    return "\n".join(_dot(graph, _DIRECTIONS[direction], run))


def _numbered(graph: Graph) -> dict[Node, str]:
    return {node: f"n{number}" for number, node in enumerate(graph.walk(), 1)}


def _texts(node: Node, run: Run | None) -> list[str]:
    """Return the label of `node`, with its mark in `run`, and then the notes."""
    fate = None if run is None else run.get(node)
    if fate is None:
        return [_plain(node.label), *map(_plain, node.notes)]
    return [f"{MARKS[fate.look]} {_plain(node.label)}", *map(_plain, (*node.notes, *fate.notes))]


def _plain(text: str) -> str:
    """Return `text` on one line, without characters that can't be seen or encoded, and not empty."""
    return " ".join("".join(c if c.isprintable() or c.isspace() else "\ufffd" for c in text).split()) or "␣"


def _class(node: Node, run: Run) -> str:
    return run[node].look if node in run else "unreached"


# Mermaid


def _mermaid(graph: Graph, direction: str, run: Run | None) -> Iterator[str]:
    ids = _numbered(graph)

    def part(graph: Graph, indent: str) -> Iterator[str]:
        for node in graph.nodes:
            title, *notes = map(_mermaid_text, _texts(node, run))
            if node.inside is None:
                left, right = ("[[", "]]") if node.many else _MERMAID_SHAPES[node.kind]
                label = "".join([title, *(f"<br><small>{note}</small>" for note in notes)])
                yield f'{indent}{ids[node]}{left}"{label}"{right}'
            else:  # what is inside would be drawn over the second line of a title
                yield f'{indent}subgraph {ids[node]}["{" · ".join([title, *notes])}"]'
                yield f"{indent}  direction {direction}"
                yield from part(node.inside, f"{indent}  ")
                yield f"{indent}end"
        for edge in graph.edges:
            arrow = _MERMAID_ARROWS[None if run is None else took(run, edge, graph)]
            label = f'|"{_mermaid_text(_plain(edge.label))}"|' if edge.label else ""
            yield f"{indent}{ids[edge.tail]} {arrow}{label} {ids[edge.head]}"

    yield f"flowchart {direction}"
    yield from part(graph, "  ")
    classes: dict[str, list[str]] = {}
    for node, id in ids.items():
        if run is not None:
            classes.setdefault(_class(node, run), []).append(id)
        elif node.inside is not None:
            classes.setdefault("frame", []).append(id)
        if node.maybe:
            classes.setdefault("maybe", []).append(id)
    for name, members in classes.items():
        yield f"  classDef {name} {_mermaid_style(name)}"
        yield f"  class {','.join(members)} {name}"


def _mermaid_style(name: str) -> str:
    if name == "maybe":
        return "stroke-dasharray:5 3"
    if name == "frame":
        return "fill:transparent,stroke:#9aa0a6"
    area, border, text = _COLORS[name]
    return f"fill:{area},stroke:{border},color:{text}"


def _mermaid_text(text: str) -> str:
    """Return `text` with an entity for everything that may mean something to Mermaid, or to Markdown or HTML in it.

    Line breaks, mathematics and icons it looks for again when it has made characters of the entities; so something
    that is not seen stands within what begins these.
    """
    text = re.sub(r"\\(?=n)|\$(?=\$)|:(?=fa-)", "\\g<0>\u200b", text)
    return re.sub(r"[!-&*+;-@[-^`{-~]|:(?! )", lambda match: f"#{ord(match[0])};", text)


# DOT


def _dot(graph: Graph, direction: str, run: Run | None) -> Iterator[str]:
    ids = _numbered(graph)

    def part(graph: Graph, indent: str) -> Iterator[str]:
        for node in graph.nodes:
            title, *notes = map(_dot_text, _texts(node, run))
            style = ",".join(["filled", *["rounded"] * (node.kind in ("step", "frame")), *["dashed"] * node.maybe])
            look = f'style="{style}"'
            if run is not None:
                look += ' fillcolor="{}" color="{}" fontcolor="{}"'.format(*_COLORS[_class(node, run)])
            if node.inside is None:
                small = "".join(f'<br/><font point-size="10">{note}</font>' for note in notes)
                shape = _DOT_SHAPES[node.kind] + " peripheries=2" * node.many
                yield f"{indent}{ids[node]} [label=<{title}{small}> {shape} {look}]"
            else:
                yield f"{indent}subgraph cluster_{ids[node]} {{"
                yield f"{indent}  label=<{' · '.join([title, *notes])}> {look}"
                yield from part(node.inside, f"{indent}  ")
                yield f"{indent}}}"
        alone = [ids[node] for node in graph.nodes if node.inside is None]
        if len(alone) > 1 and not graph.edges:  # or else they would stand in an order of Graphviz's own
            yield f"{indent}{{ rank=same {' -> '.join(alone)} [style=invis] }}"
        for edge in graph.edges:
            options = [f"label=<&#160;{_dot_text(_plain(edge.label))}&#160;>"] if edge.label else []
            # It leads from node to node, and is cut off at the borders of the frames that are meant.
            options += [f"ltail=cluster_{ids[edge.tail]}"] if edge.tail.inside is not None else []
            options += [f"lhead=cluster_{ids[edge.head]}"] if edge.head.inside is not None else []
            options += [] if run is None else [_DOT_ARROWS[took(run, edge, graph)]]
            ends = f"{ids[_last(edge.tail)]} -> {ids[_first(edge.head)]}"
            yield f"{indent}{ends} [{' '.join(options)}]" if options else f"{indent}{ends}"

    yield "digraph {"
    yield f'  rankdir={direction} compound=true fontname=Helvetica fontsize=12 color="#9aa0a6" fillcolor=transparent'
    yield '  node [fontname=Helvetica fontsize=13 fillcolor="#eef0fb" color="#7b83c4"]'
    yield '  edge [fontname=Helvetica fontsize=11 color="#666666"]'
    yield from part(graph, "  ")
    yield "}"


def _dot_text(text: str) -> str:
    r"""Return `text` for the XML in a label, in which Graphviz looks for ``\G``, and fails at ``]]`` before a tag."""
    return escape(text).replace("\\", "\\\\").replace("]", "&#93;")


def _first(node: Node) -> Node:
    """Return the node in `node` to which an edge is drawn: one at the beginning, in the middle."""
    if node.inside is None:
        return node
    heads = {edge.head for edge in node.inside.edges}
    starts = [inner for inner in node.inside.nodes if inner not in heads]
    return _first(starts[len(starts) // 2])


def _last(node: Node) -> Node:
    """Return the node in `node` from which an edge is drawn: of the deepest, so that what comes next is below all."""
    if node.inside is None:
        return node
    tails = {edge.tail for edge in node.inside.edges}
    ends = [inner for inner in node.inside.nodes if inner not in tails]
    deepest = max(map(_depth, ends))
    ends = [inner for inner in ends if _depth(inner) == deepest]
    return _last(ends[len(ends) // 2])


def _depth(node: Node) -> int:
    """Return how many nodes there are one after the other, at most, in `node`."""
    if node.inside is None:
        return 1
    depths: dict[Node, int] = {}
    for inner in node.inside.nodes:  # each stands after those that lead to it
        before = (depths[edge.tail] for edge in node.inside.edges if edge.head is inner)
        depths[inner] = max(before, default=0) + _depth(inner)
    return max(depths.values())
