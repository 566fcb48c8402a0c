"""Mermaid diagrams as pictures that are kept beside the pages, so that neither a build nor a reader needs the network.

A picture is found by the text it was drawn from. ``python scripts/diagrams.py`` draws those that are missing.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Final

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

PICTURES: Final = Path(__file__).parent.parent / "pictures"


def picture_of(text: str) -> Path:
    """Return the file with the picture of a diagram."""
    return PICTURES / f"diagram-{hashlib.sha256(text.strip().encode()).hexdigest()[:12]}.svg"


def diagrams_in(page: Path) -> list[str]:
    """Return the texts of the diagrams on a page."""
    return re.findall(r"^```mermaid\n(.*?)^```$", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


class Diagram(SphinxDirective):
    """``mermaid``: the picture, as a part of the page, whose colours it takes."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """Return the picture."""
        picture = picture_of("\n".join(self.content))
        if not picture.exists():
            raise self.error("there is no picture of this diagram; draw it with: python scripts/diagrams.py")
        svg = picture.read_text(encoding="utf-8")
        self.env.note_dependency(str(picture))
        return [nodes.raw("", f'<div class="diagram">{svg}</div>', format="html")]
