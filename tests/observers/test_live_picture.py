"""The picture of the live tree in the docs shows what the live tree draws."""

from __future__ import annotations

import re
import runpy

from places import DOCS, ROOT


def test_picture_of_the_live_tree_is_that_of_the_program_that_draws_it():
    script = runpy.run_path(str(ROOT / "scripts" / "live_tree.py"))
    new = "\n".join(script["svg"](script["frames"]())) + "\n"
    old = (DOCS / "pictures" / "live-tree.svg").read_text(encoding="utf-8")
    assert new == old, "look at it, and draw it with: python scripts/live_tree.py docs/pictures/live-tree.svg"


def test_picture_of_the_live_tree_shows_how_each_path_ends():
    texts = re.findall(r"<text.*?</text>", (DOCS / "pictures" / "live-tree.svg").read_text(encoding="utf-8"))
    lines = [" ".join(re.sub(r"<[^>]+>", " ", text).split()) for text in texts]
    assert "▸ tokyo 0.4 s" in lines
    assert "✗ lima failed 300 ms 2% 1 ConnectionError: no route to" in lines
    assert "★ oslo won 1.2 s 8% 1" in lines
