"""The overloads are those that their script generates; none was changed by hand."""

from __future__ import annotations

import subprocess
import sys

from places import ROOT

from trio_steps._fork import arms


def test_overloads_are_those_of_their_script() -> None:
    command = [sys.executable, "scripts/overloads.py", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_types_of_paths_exist_for_type_checkers_only() -> None:
    """So a program that imports trio_steps does not pay for them."""
    assert not hasattr(arms, "Arm")
    assert not hasattr(arms, "Options")
