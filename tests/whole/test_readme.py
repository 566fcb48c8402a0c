"""Every program in the README and the docs prints what is shown below it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from places import DOCS, ROOT

from trio_steps.testing._machine.token import TRIO

if TYPE_CHECKING:
    from pathlib import Path

    from warm import Interpreter

PAGES = [ROOT / "README.md", *sorted(DOCS.glob("**/*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", re.DOTALL | re.MULTILINE)


def programs() -> list[object]:
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for block in BLOCK.finditer(text):
            line = text[: block.start()].count("\n") + 2
            found.append(pytest.param(block[1], block[2], id=f"{page.relative_to(ROOT)}:{line}"))
    return found


@pytest.mark.parametrize(("program", "output"), programs())
def test_program_prints_what_the_page_says(
    program: str, output: str | None, python: Interpreter, tmp_path: Path
) -> None:
    script = tmp_path / "program.py"
    script.write_text(program, encoding="utf-8")
    done = python.run(script, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    if output is not None:
        # tokens contain Trio's version, which the pages leave out
        assert done.stdout.replace(f"s1:{TRIO}:", "s1:0.xx:") == output
