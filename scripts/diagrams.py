"""Draw the Mermaid diagrams of the docs with Chromium, and keep them as docs/pictures/diagram-….svg.

Run it when a diagram on a page has changed: ``python scripts/diagrams.py``. ``MERMAID_JS`` says where
``mermaid.min.js`` is, of the npm package ``mermaid``. Text and lines get their colours from the page.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "docs" / "extensions"), str(ROOT / "tests" / "browser")]

from conftest import Browser, Page  # noqa: E402 - they are found where the line above says
from diagrams import PICTURES, diagrams_in, picture_of  # noqa: E402

COLORS = {  # the colours for Mermaid, and those of the page
    "#123456": "var(--color-foreground-primary)",
    "#345678": "var(--color-foreground-muted)",
    "#dcba98": "var(--color-background-secondary)",
}
THEME = {
    "primaryColor": "#dcba98",
    "primaryTextColor": "#123456",
    "primaryBorderColor": "#345678",
    "lineColor": "#345678",
    "textColor": "#123456",
    "titleColor": "#123456",
    "nodeTextColor": "#123456",
    "edgeLabelBackground": "#dcba98",
    "clusterBkg": "transparent",
    "clusterBorder": "#345678",
    "fontFamily": "var(--font-stack)",
}


def main() -> None:
    """Draw missing pictures, and delete those that are on no page any more."""
    texts = [text for page in (ROOT / "docs").glob("**/*.md") for text in diagrams_in(page)]
    wanted = {picture_of(text): text for text in texts}
    for picture in set(PICTURES.glob("diagram-*.svg")) - set(wanted):
        picture.unlink()
    missing = {picture: text for picture, text in wanted.items() if not picture.exists()}
    if not missing:
        return
    with tempfile.TemporaryDirectory() as directory:
        browser = Browser(Path(directory, "profile"))
        page = Page(browser)
        file = Path(directory, "page.html")
        script = Path(os.environ["MERMAID_JS"]).resolve().as_uri()
        style = "<style>:root { --font-stack: system-ui, Helvetica, Arial, sans-serif; }</style>"
        file.write_text(f'<!doctype html><meta charset="utf-8">{style}<body><script src="{script}"></script>')
        page.open(file)
        config = {"startOnLoad": False, "theme": "base", "themeVariables": THEME, "deterministicIds": True}
        page.run(f"mermaid.initialize({json.dumps(config)})")
        for picture, text in missing.items():
            svg = page.run(f"mermaid.render({json.dumps(picture.stem)}, {json.dumps(text)}).then(done => done.svg)")
            for told, shown in COLORS.items():
                svg = svg.replace(told, shown)
            picture.parent.mkdir(exist_ok=True)
            picture.write_text(svg + "\n", encoding="utf-8")
            print(picture)
        browser.close()


if __name__ == "__main__":
    main()
