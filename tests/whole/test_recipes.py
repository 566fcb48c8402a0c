"""Each recipe of the docs runs with the real libraries, and prints what its page says."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest
from places import DOCS, EXAMPLES

RECIPE = re.compile(
    r"^```\{literalinclude\} \.\./\.\./examples/recipes/(\w+)\.py\n:language: python\n```\n\n```text\n(.*?)^```$",
    re.DOTALL | re.MULTILINE,
)
PAGES = sorted((DOCS / "recipes").glob("*.md"))
OUTPUTS = {name: output for page in PAGES for name, output in RECIPE.findall(page.read_text(encoding="utf-8"))}
USED_BY_OTHERS = {"llm_stand_in"}


def test_every_recipe_is_on_a_page() -> None:
    assert {path.stem for path in (EXAMPLES / "recipes").glob("*.py")} == set(OUTPUTS) | USED_BY_OTHERS


@pytest.mark.recipes
@pytest.mark.parametrize("name", sorted(OUTPUTS))
def test_recipe_prints_what_its_page_says(name: str) -> None:
    done = subprocess.run(
        [sys.executable, EXAMPLES / "recipes" / f"{name}.py"],
        capture_output=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONUTF8": "1"},
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == OUTPUTS[name]
