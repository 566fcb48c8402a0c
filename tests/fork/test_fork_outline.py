"""The drawing of a fork: each of its paths, unless they are too many or not known yet."""

from __future__ import annotations

from typing import Any

import pytest

from trio_steps import fork
from trio_steps._core.describe import describe
from trio_steps._core.outline import outline_of
from trio_steps._drawing.graph import Place


async def load() -> None: ...


def sources() -> Any:
    return iter([load])


def drawn(paths: Any) -> Any:
    return outline_of(describe(fork("f", mode="all", paths=paths))[2], Place("f", "f", whole=True))


@pytest.mark.parametrize("count", [1, 20])
def test_fork_of_few_paths_is_a_frame_around_them(count: int) -> None:
    node = drawn([load] * count)
    assert (node.kind, node.many, len(node.inside.nodes)) == ("frame", False, count)
    assert node.inside.nodes[0].label == "load"


@pytest.mark.parametrize(
    ("paths", "note"), [([load] * 21, "21 paths"), ([], "0 paths"), (sources, "paths from sources")]
)
def test_fork_of_many_paths_or_of_unknown_ones_is_one_box(paths: Any, note: str) -> None:
    node = drawn(paths)
    assert (node.kind, node.many, node.inside, node.notes[-1]) == ("step", True, None, note)
