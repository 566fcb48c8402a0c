"""No two modules import each other. The test needs grimp, from import-linter in the extra `dev`; CI has it."""

from __future__ import annotations

import graphlib

import pytest

grimp = pytest.importorskip("grimp", reason="it comes with import-linter, in the extra dev")


def test_no_two_modules_import_each_other_not_even_for_types() -> None:
    graph = grimp.build_graph("trio_steps", exclude_type_checking_imports=False)
    graphlib.TopologicalSorter(
        {module: graph.find_modules_directly_imported_by(module) for module in graph.modules if "." in module}
    ).prepare()
