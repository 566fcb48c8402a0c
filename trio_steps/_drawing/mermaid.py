"""A graph as a Mermaid flowchart."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from .graph import look_of, numbered, plain, texts, took
from .looks import BOXES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .graph import Direction, Fates, Graph, Kind

_DIRECTIONS: Final[dict[Direction, str]] = {"down": "TB", "right": "LR"}
_SHAPES: Final[dict[Kind, tuple[str, str]]] = {
    "start": ("([", "])"),
    "step": ("[", "]"),
    "decision": ("{", "}"),
    "transform": ("{{", "}}"),
}
_STYLES: Final[dict[str, str]] = {
    "maybe": "stroke-dasharray:5 3",
    "frame": "fill:transparent,stroke:#9aa0a6",
    **{look: f"fill:{area},stroke:{border},color:{text}" for look, (area, border, text) in BOXES.items()},
}
_ARROWS: Final = {None: "-->", True: "==>", False: "-.->"}


def to_mermaid(graph: Graph, *, direction: Direction = "down", fates: Fates | None = None) -> str:
    """Return `graph` as a Mermaid flowchart; with `fates`, marked with what a run did."""
    return "\n".join(_lines(graph, _DIRECTIONS[direction], fates))


def _lines(graph: Graph, direction: str, fates: Fates | None) -> Iterator[str]:
    ids = numbered(graph)

    def part(graph: Graph, indent: str) -> Iterator[str]:
        for node in graph.nodes:
            title, *notes = map(_text, texts(node, fates))
            if node.inside is None:
                left, right = ("[[", "]]") if node.many else _SHAPES[node.kind]
                label = "".join([title, *(f"<br><small>{note}</small>" for note in notes)])
                yield f'{indent}{ids[node]}{left}"{label}"{right}'
            else:  # Mermaid draws the content over the second line of a title
                yield f'{indent}subgraph {ids[node]}["{" · ".join([title, *notes])}"]'
                yield f"{indent}  direction {direction}"
                yield from part(node.inside, f"{indent}  ")
                yield f"{indent}end"
        for edge in graph.edges:
            arrow = _ARROWS[None if fates is None else took(fates, edge, graph)]
            label = f'|"{_text(plain(edge.label))}"|' if edge.label else ""
            yield f"{indent}{ids[edge.tail]} {arrow}{label} {ids[edge.head]}"

    yield f"flowchart {direction}"
    yield from part(graph, "  ")
    classes: dict[str, list[str]] = {}
    for node, id in ids.items():
        if fates is not None:
            classes.setdefault(look_of(node, fates), []).append(id)
        elif node.inside is not None:
            classes.setdefault("frame", []).append(id)
        if node.maybe:
            classes.setdefault("maybe", []).append(id)
    for name, members in classes.items():
        yield f"  classDef {name} {_STYLES[name]}"
        yield f"  class {','.join(members)} {name}"


def _text(text: str) -> str:
    """Escape everything in `text` that may mean something to Mermaid, or to Markdown or HTML in it, with entities.

    Mermaid looks for line breaks, mathematics and icons again after decoding the entities. So an invisible character is
    inserted into whatever would start one of these.
    """
    text = re.sub(r"\\(?=n)|\$(?=\$)|:(?=fa-)", "\\g<0>\u200b", text)
    return re.sub(r"[!-&*+;-@[-^`{-~]|:(?! )", lambda match: f"#{ord(match[0])};", text)
