"""How a step, and a run of it, is drawn: as a graph.

A `Graph` is nodes and the edges between them. A *frame* is a node with a graph inside. No edge crosses the border of a
frame, so each frame is laid out by itself, and a renderer is one walk. Nodes are numbered in the order of that walk. So
the output depends on the graph alone, and no name becomes an identifier, which could be a keyword.

A run is drawn as the `Fate` of each node, by a mark and words, and not by colour alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, TypeAlias, final

import attrs

from .looks import MARKS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from .looks import Look

Direction: TypeAlias = Literal["down", "right"]
"""The direction in which a sequence of steps is drawn."""
Kind: TypeAlias = Literal["start", "step", "decision", "transform", "frame"]

ANY: Final = "*"
"""The name of a run inside a node that stands for many."""


@final
@attrs.frozen
class Place:
    """Where a step is drawn.

    Attributes:
      label: its label there.
      name: its name in a run: the names of the steps down to it, joined by ``/``.
      whole: whether to draw also the steps with ``log=False``, which a run does not report.
    """

    label: str
    name: str
    whole: bool

    def inside(self, id: str, label: str | None = None) -> Place:
        """Return the place of the step `id` inside this one."""
        name = f"{self.name}/{id}" if self.name else id
        return Place(id if label is None else label, name, self.whole)


@final
@attrs.frozen(kw_only=True, eq=False)
class Node:
    """A box, decision or frame in a drawing.

    Attributes:
      kind: what it is, which decides its shape.
      label: its title.
      name: its name in a run: the names of the steps down to it, joined by ``/``.
      notes: more about it, a few words each.
      maybe: it need not run.
      many: it stands for many, and so does everything inside it.
      inside: the graph in a frame, with at least one node.
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
    """Which node follows which, and when."""

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
    """A graph under construction: nodes one after the other."""

    def __init__(self) -> None:
        self._nodes: list[Node] = []
        self._edges: list[Edge] = []
        self._loose: list[tuple[Node, str]] = []  # where edges to the next node begin, and their labels

    def then(self, node: Node) -> None:
        """Add `node` after the last."""
        self._nodes.append(node)
        self._edges += [Edge(tail, node, label) for tail, label in self._loose]
        self._loose = [(node, "")]

    def choose(self, decision: Node, cases: Iterable[tuple[str, Callable[[Draft], object]]]) -> None:
        """Add `decision`, and after it the cases, side by side. A case is a label and a function of this draft."""
        self.then(decision)
        ends: list[tuple[Node, str]] = []
        for label, add in cases:
            self._loose = [(decision, label)]
            add(self)
            ends += self._loose
        self._loose = ends

    def graph(self) -> Graph:
        """Return the finished graph."""
        return Graph(tuple(self._nodes), tuple(self._edges))


@final
@attrs.frozen
class Fate:
    """What became of a node in a run, and notes about it."""

    look: Look
    notes: tuple[str, ...] = ()


Fates: TypeAlias = "Mapping[Node, Fate]"
"""What a run did to a graph: the fates of the nodes that it reached."""


def took(fates: Fates, edge: Edge, graph: Graph) -> bool:
    """Tell whether the run of `fates` went along `edge`, as far as can be known."""
    if edge.tail not in fates or edge.head not in fates:
        return False
    # A decision may have edges around the cases, to the node after them all. These come last.
    out = [other for other in graph.edges if other.tail is edge.tail]
    first = next(other for other in out if other.head in fates)
    return edge is first and sum(other.head is edge.head for other in out) == 1


def numbered(graph: Graph) -> dict[Node, str]:
    """Return an id in the text for each node: its number in the order in which nodes are written."""
    return {node: f"n{number}" for number, node in enumerate(graph.walk(), 1)}


def texts(node: Node, fates: Fates | None) -> list[str]:
    """Return the label of `node`, with its mark in `fates`, and then the notes."""
    fate = None if fates is None else fates.get(node)
    if fate is None:
        return [plain(node.label), *map(plain, node.notes)]
    return [f"{MARKS[fate.look]} {plain(node.label)}", *map(plain, (*node.notes, *fate.notes))]


def plain(text: str) -> str:
    """Return `text` on one line, without characters that can't be seen or encoded, and never empty."""
    return " ".join("".join(c if c.isprintable() or c.isspace() else "\ufffd" for c in text).split()) or "␣"


def look_of(node: Node, fates: Fates) -> Look | Literal["unreached"]:
    """Return how `node` is drawn."""
    return fates[node].look if node in fates else "unreached"
