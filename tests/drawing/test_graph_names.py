"""Names in diagrams: any text becomes one label."""

from __future__ import annotations

import html
import re
from xml.etree import ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st
from places import docs_page

from trio_steps._drawing.dot import to_dot
from trio_steps._drawing.graph import Edge, Graph, Node
from trio_steps._drawing.mermaid import to_mermaid

# ---- Names ----

MERMAID_LABEL = r"(?:[^\x00-\x7f]|[\w .,()/'-]|: |#\d+;|</?small>|<br>)*"
MERMAID_LINE = re.compile(
    r" *(?:"
    rf'n\d+(?:\(\[|\[\[|\[|\{{\{{|\{{)"(?P<label>{MERMAID_LABEL})"(?:\]\)|\]\]|\]|\}}\}}|\}})|'
    rf'subgraph n\d+\["(?P<title>{MERMAID_LABEL})"\]|'
    rf'n\d+ (?:-->|==>|-\.->)(?:\|"(?P<edge>{MERMAID_LABEL})"\|)? n\d+|'
    r"end|direction TB|flowchart TB|classDef \w+ [\w#:,-]+|class [n\d,]+ \w+)"
)
DOT_TOKEN = re.compile(r'\s*(?:->|[{}\[\]=]|[\w.-]+|"[^"\\]*"|<(?P<html>(?:[^<>\]\\]|\\\\|<[^<>]*>)*)>)\s*')


def seen(name):
    """Return the visible part of a name: one line, and never empty."""
    return " ".join("".join(c if c.isprintable() or c.isspace() else "\ufffd" for c in name).split()) or "␣"


def graph_of(names):
    """Return a graph with each name in every possible place: as a label, a title, a note, and at an edge."""
    nodes = [Node(kind="step", label=name, name=str(number), notes=(name,)) for number, name in enumerate(names)]
    frame = Node(kind="frame", label=names[0], name="frame", notes=(names[0],), inside=Graph((nodes.pop(0),)))
    edges = [Edge(frame, node, node.label) for node in nodes]
    return Graph((frame, *nodes), tuple(edges))


SPECIAL = st.sampled_from(
    ["]]", "\\n", "\\G", "$$", "fa:fa-x", "%%", '"', "`", "<", ">", "&lt;", "#35;", "end", "\ud800"]
)
NAMES = st.lists(st.lists(SPECIAL | st.text(min_size=1), min_size=1).map("".join), min_size=2, max_size=3)


@given(NAMES)
def test_names_are_quoted_in_mermaid(names):
    first, *others = map(seen, names)
    lines = [MERMAID_LINE.fullmatch(line) for line in to_mermaid(graph_of(names)).split("\n")]

    def texts(group):
        found = [html.unescape(line[group].replace("#", "&#")) for line in lines if line[group] is not None]
        assert not [text for text in found if re.search(r"\\n|\$\$|:fa-", text)]
        return [text.replace("\u200b", "") for text in found]

    assert texts("title") == [f"{first} · {first}"]
    assert texts("label") == [f"{name}<br><small>{name}</small>" for name in [first, *others]]
    assert texts("edge") == others


@given(NAMES)
def test_names_are_quoted_in_dot(names):
    first, *others = map(seen, names)
    text = to_dot(graph_of(names))
    text.encode()
    texts, at = [], 0
    while at < len(text):
        token = DOT_TOKEN.match(text, at)
        if token["html"] is not None:
            label = ET.fromstring(f"<label>{token['html']}</label>")
            texts.append("|".join(label.itertext()).replace("\\\\", "\\"))
        at = token.end()
    nodes = [f"{name}|{name}" for name in others]
    assert texts == [f"{first} · {first}", f"{first}|{first}", *nodes, *(f"\xa0{name}\xa0" for name in others)]


def test_page_shows_the_diagrams_that_its_programs_print():
    page = docs_page("diagrams.md")
    printed, drawn = (
        re.findall(rf"^```{kind}\n(.*?)^```$", page, re.DOTALL | re.MULTILINE) for kind in ("text", "mermaid")
    )
    assert len(printed) == 2
    assert printed == drawn
