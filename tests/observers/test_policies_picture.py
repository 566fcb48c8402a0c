"""The picture of the policies in the docs shows what they do."""

from __future__ import annotations

import runpy

import trio
from places import DOCS, ROOT
from trio.testing import MockClock


def test_picture_of_the_policies_is_that_of_the_program_that_draws_it():
    script = runpy.run_path(str(ROOT / "scripts" / "policies.py"))
    story = trio.run(script["events"], clock=MockClock(autojump_threshold=0))
    new = "\n".join(script["svg"](story)) + "\n"
    old = (DOCS / "pictures" / "policies.svg").read_text(encoding="utf-8")
    assert new == old, "look at it, and draw it with: python scripts/policies.py docs/pictures/policies.svg"
