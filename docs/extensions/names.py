"""The table of all public names: a line of the docstring for each, on the first page of the reference."""

from __future__ import annotations

import inspect
import re
from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MODULES: Final = [
    f"trio_steps{name}" for name in ("", ".testing", ".terminal", ".otel", ".store", ".absurd", ".executors")
]
_ALIAS: Final = re.compile(r"\.\. py:type:: (\w+)\n.*\n\n   (.*(?:\n   .+)*)")


def table(pages: Path) -> str:
    """Return the table as reStructuredText.

    Args:
      pages: the directory of the pages that say what aliases are: they have no docstring.
    """
    aliases: dict[str, str] = {}
    for page in pages.glob("*.rst"):
        aliases |= dict(_ALIAS.findall(page.read_text(encoding="utf-8")))
    return "\n".join(_lines(aliases))


def _lines(aliases: dict[str, str]) -> Iterator[str]:
    yield "All names"
    yield "---------"
    yield ""
    yield ".. list-table::"
    yield "   :widths: 1 2"
    yield "   :class: names"
    yield ""
    for module in MODULES:
        for name in sorted(import_module(module).__all__, key=str.lower):
            thing = getattr(import_module(module), name)
            says = aliases[name] if name in aliases else inspect.getdoc(thing)
            assert says is not None
            shown = f"{module}.{name}".removeprefix("trio_steps.")
            yield f"   * - :py:obj:`{shown} <{module}.{name}>`"
            yield f"     - {_first_sentence(says)}"


def _first_sentence(text: str) -> str:
    """Return the first sentence of a docstring, on one line."""
    paragraph = re.sub(r"(?<!`)`(\w[^`]*)`(?!`)", "``\\1``", " ".join(text.partition("\n\n")[0].split()))
    return re.split(r"(?<=[.;:]) ", paragraph)[0].rstrip(".;:") + "."
