"""What `import trio_steps` imports at once, and what only on demand."""

from __future__ import annotations

import subprocess
import sys

import pytest

import trio_steps


def imported_by(program: str) -> set[str]:
    shown = f"{program}; import sys; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-W", "error", "-c", shown], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


def test_import_of_the_package_leaves_out_what_forks_do_not_need() -> None:
    modules = imported_by("import trio_steps; trio_steps.race, trio_steps.fork")
    assert not modules & {
        "json",
        "sqlite3",
        "rich",
        "opentelemetry",
        "trio_steps._pipeline.pipeline",
        "trio_steps._observers.recorder",
    }


def test_import_of_a_name_brings_its_module() -> None:
    assert "trio_steps._pipeline.pipeline" in imported_by("from trio_steps import Pipeline")


def test_every_public_name_is_there() -> None:
    for name in trio_steps.__all__:
        assert getattr(trio_steps, name) is getattr(trio_steps, name)


def test_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"^module 'trio_steps' has no attribute 'forks'$"):
        trio_steps.forks  # type: ignore[attr-defined]
