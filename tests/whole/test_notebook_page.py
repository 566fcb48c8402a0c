"""The cells of the notebook how-to, run by IPython."""

from __future__ import annotations

import re

import pytest
from IPython.core.interactiveshell import InteractiveShell
from places import DOCS


@pytest.fixture
def shell():
    yield InteractiveShell.instance()
    InteractiveShell.clear_instance()


def test_cells_run_in_their_order_and_show_what_the_page_says(shell) -> None:
    page = (DOCS / "how-to" / "notebook.md").read_text(encoding="utf-8")
    cells = re.findall(r"```ipython\n(.*?)```", page, re.DOTALL)
    results = []
    for cell in cells:
        done = shell.run_cell(cell)
        done.raise_error()
        results.append(done.result)
    shown = [shell.display_formatter.format(result)[0] for result in results if result is not None]
    assert [sorted(bundle) for bundle in shown] == [
        ["text/plain"],
        ["text/html", "text/plain"],
        ["text/markdown", "text/plain", "text/vnd.mermaid"],
    ]
    assert shown[0]["text/plain"] == "0.1"
