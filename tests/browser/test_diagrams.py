"""Diagrams as drawn by Mermaid, in Chromium, and by Graphviz.

``MERMAID_JS`` says where ``mermaid.min.js`` of the npm package ``mermaid`` is; ``dot`` is on the path.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from paths import never, raises, returns

from trio_steps import Pipeline, Recorder, Retry, fork, otherwise, step, when
from trio_steps._drawing.dot import to_dot
from trio_steps._drawing.graph import Edge, Graph, Node
from trio_steps._drawing.mermaid import to_mermaid

pytestmark = pytest.mark.browser

NAMES = [
    *("end", "subgraph", "graph", "class", "style", "default", "click", "flowchart TB", "digraph", "node", "strict"),
    *("__init__", "*bold*", "_it_", "`code`", "1. one", "- dash", "# head", "> quote", "+ plus", "~~gone~~", "$$x^2$$"),
    *(
        'say "hi"',
        "it's",
        "a\\nb",
        "a\\",
        "\\N\\G\\L",
        "x & y",
        "&amp;",
        "&#65;",
        "#9829;",
        "#quot;",
        "<br>",
        "<b>b</b>",
    ),
    *("<script>alert(1)</script>", "a < b > c", "<", ">", "]]", "[[x]](y)", "(a)", "{a}", "{{a}}", "|a|", "a|b", "a;b"),
    *(
        "%% no comment",
        '%%{init: {"theme": "dark"}}%%',
        ":::name",
        "a:::b",
        "fa:fa-car",
        "a --> b",
        "---",
        "==>",
        "x@{y}",
    ),
    *(
        "http://a.b/c?d=e&f",
        "a/b",
        "a=b,c",
        "ünïcode",
        "日本",
        "🎉",
        "مرحبا",
        "a\u2028b",
        "a\tb\nc",
        "a\x00b",
        "\ud800",
        " ",
    ),
]


def seen(name):
    """Return the visible form of a name."""
    return " ".join("".join(c if c.isprintable() or c.isspace() else "\ufffd" for c in name).split()) or "␣"


def graph_of_names():
    """A graph with each name as a label, a note, a title, and the label of an edge."""
    looks = itertools.cycle(itertools.product(("step", "start", "decision", "transform"), (False, True)))
    frames: list[Node] = []
    for name, (kind, many) in zip(NAMES, looks, strict=False):
        node = Node(kind=kind, label=name, name=name, notes=(name,), many=many)
        frames.append(Node(kind="frame", label=name, name=name, inside=Graph((node,))))
    return Graph(tuple(frames), tuple(Edge(tail, head, tail.label) for tail, head in itertools.pairwise(frames)))


async def a_run():
    """A pipeline with one step of each kind, and the recorder of a run with every kind of event."""
    flow = (
        Pipeline("flow")
        .step("load", returns(1, {"xs": [1, 2], "n": 0}, id="load"), retry=Retry(2), timeout=5)
        .step("skip", never, condition=lambda: False)
        .step("race", returns(1, {}, id="quick"), step(never, id="slow"), Pipeline("row").step(never), mode="race")
        .branch_on(
            "route",
            when(lambda n: n > 1, lambda p: p.step("big", never)),
            otherwise(lambda p: p.step("inner", Pipeline("inner").step("one", lambda: None).step("two", lambda: None))),
        )
        .for_each("each", lambda x: x, over="xs", each="x", into="ys")
        .step(
            fork("fork", mode="settle", paths=[raises(1, OSError(), id="bad"), returns(2, 1, id="good")]), provides="z"
        )
        .step("fail", raises(1, ValueError("enough"), id="fail"))
        .transform("end", lambda ys: {"ys": ys})
    )
    recorder = Recorder()
    with pytest.raises(ValueError, match="enough"):
        await flow.run(observers=[recorder])
    return flow, recorder


def lines(text):
    """Return the visible lines of a text."""
    return re.sub(r" ?\n ?", "\n", text.replace("\u200b", "").strip())


@pytest.fixture
def render(page, tmp_path):
    """Return a function that draws a text with Mermaid and returns the texts of nodes, titles and edges."""
    file = tmp_path / "diagram.html"
    script = Path(os.environ["MERMAID_JS"]).resolve().as_uri()
    file.write_text(f'<!doctype html><meta charset="utf-8"><body><script src="{script}"></script>', encoding="utf-8")
    page.open(file)

    def render(text):
        page.run('mermaid.initialize({startOnLoad: false, securityLevel: "strict", maxTextSize: 1e6})')
        page.run(f"mermaid.render('diagram', {json.dumps(text)}).then(done => document.body.innerHTML = done.svg)")
        assert page.complaints() == []
        return [
            [lines(text) for text in page.run(f"[...document.querySelectorAll('{selector}')].map(e => e.innerText)")]
            for selector in (".node .nodeLabel", ".cluster-label .nodeLabel", ".edgeLabel .edgeLabel")
        ]

    return render


def test_mermaid_draws_every_name(render):
    nodes, titles, edges = render(to_mermaid(graph_of_names()))
    names = list(map(seen, NAMES))
    assert sorted(nodes) == sorted(f"{name}\n{name}" for name in names)
    assert sorted(titles) == sorted(names)
    assert sorted(edges) == sorted(names[:-1])


@pytest.mark.parametrize("direction", ["down", "right"])
async def test_mermaid_draws_a_run(render, direction):
    flow, recorder = await a_run()
    nodes, titles, edges = render(recorder.to_mermaid(flow, direction=direction))
    assert sorted(node.splitlines()[0] for node in nodes) == sorted(
        [
            *(
                "✗ flow",
                "✓ load",
                "» skip",
                "★ quick",
                "⊘ slow",
                "⊘ never",
                "✓ route",
                "big",
                "✓ one",
                "✓ two",
                "✓ each",
            ),
            *("✗ bad", "✓ good", "✗ fail", "end"),
        ]
    )
    assert sorted(title.split(" · ")[0] for title in titles) == ["⊘ row", "✓ fork", "✓ inner", "✓ race"]
    assert sorted(filter(None, edges)) == ["case-1: λ(n)", "otherwise"]


def svg(text):
    """Draw a text with Graphviz, and return the lines of text in the picture."""
    done = subprocess.run(["dot", "-Tsvg"], input=text.encode(), capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    return [element.text for element in ET.fromstring(done.stdout).iter("{http://www.w3.org/2000/svg}text")]


def test_graphviz_draws_every_name():
    names = list(map(seen, NAMES))
    drawn = [text.strip("\xa0") for text in svg(to_dot(graph_of_names()))]
    assert sorted(drawn) == sorted([*names * 3, *names[:-1]])


@pytest.mark.parametrize("direction", ["down", "right"])
async def test_graphviz_draws_a_run(direction):
    flow, recorder = await a_run()
    drawn = svg(recorder.to_dot(flow, direction=direction))
    assert {"✗ flow", "✓ race · race", "★ quick", "⊘ slow", "» skip", "big", "✗ bad", "failed: ValueError"} <= set(
        drawn
    )
