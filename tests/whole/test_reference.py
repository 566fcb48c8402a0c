"""The docs leave out no public name, and name nothing that does not exist."""

from __future__ import annotations

import hashlib
import re
from importlib import import_module
from pathlib import Path
from typing import Any, get_args

import pytest
from places import DOCS

import trio_steps

MODULES = ["trio_steps", *(f"trio_steps.{name}" for name in ("testing", "terminal", "otel", "store", "executors"))]
ENTRY = re.compile(r"\.\. (?:currentmodule|(?:auto|py:)(\w+)):: ([\w.]+)(?:.*\n *:canonical: (.*))?")


def entries() -> list[tuple[str, str, str]]:
    """Return module, name and, for an alias, the value of each entry in the reference."""
    found = []
    for page in sorted((DOCS / "reference").glob("*.rst")):
        module = ""
        for kind, name, value in ENTRY.findall(page.read_text(encoding="utf-8")):
            if not kind:
                module = name
            elif kind != "attribute":
                around, _, last = name.rpartition(".")
                found.append((around or module, last, value))
    return found


@pytest.mark.parametrize("module", MODULES)
def test_reference_has_every_public_name_once(module: str) -> None:
    documented = [name for place, name, _ in entries() if place == module]
    assert sorted(documented) == sorted(import_module(module).__all__)


def words(alias: Any) -> list[str]:
    """Return the strings in a Literal, including those of nested Literals."""
    return [word for part in get_args(alias) for word in ([part] if isinstance(part, str) else words(part))]


def test_reference_gives_the_words_of_literals() -> None:
    literals = {name: value for _, name, value in entries() if value.startswith("Literal")}
    assert "MergePolicy" in literals
    for place, name, value in entries():
        if name in literals:
            assert re.findall('"([^"]+)"', value) == words(getattr(import_module(place), name)), name


def test_design_page_names_modules_that_are_there() -> None:
    package = Path(trio_steps.__file__).parent
    named = set(re.findall(r"`(\w[\w/]*\.py)`", (DOCS / "design.md").read_text(encoding="utf-8")))
    there = {path.relative_to(package).as_posix() for path in package.rglob("*.py")}
    there |= {"trio_steps/__init__.py", "scripts/overloads.py"}
    assert "_fork/engine/run.py" in named
    assert named <= there


def test_design_page_has_the_map_of_the_package() -> None:
    assert trio_steps.__doc__ is not None
    levels = re.findall(r"^    (_\w+(?:  _\w+)*) +(.*)$", trio_steps.__doc__, re.MULTILINE)
    drawn = [pair for names, what in levels for pair in zip(names.split(), what.split("; "), strict=True)]
    page = (DOCS / "design.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `(_\w+)` \| (.*) \|$", page, re.MULTILINE) == drawn
    assert len(drawn) == 8


def test_every_diagram_on_a_page_has_a_picture() -> None:
    pages = "".join(page.read_text(encoding="utf-8") for page in DOCS.glob("**/*.md"))
    texts = re.findall(r"^```mermaid\n(.*?)^```$", pages, re.DOTALL | re.MULTILINE)
    names = {f"diagram-{hashlib.sha256(text.strip().encode()).hexdigest()[:12]}.svg" for text in texts}
    there = {path.name for path in (DOCS / "pictures").glob("diagram-*.svg")}
    assert there == names, "draw them with: python scripts/diagrams.py"
