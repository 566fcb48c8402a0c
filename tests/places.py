"""Where to find the project's files that tests read."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
EXAMPLES = ROOT / "examples"


def docs_page(name: str) -> str:
    """Return the text of the page `name` of the docs."""
    return (DOCS / name).read_text(encoding="utf-8")
