"""The overloads are those that their script writes, and nobody has changed one by hand."""

from __future__ import annotations

import subprocess
import sys

from places import ROOT


def test_overloads_are_those_of_their_script() -> None:
    command = [sys.executable, "scripts/overloads.py", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
