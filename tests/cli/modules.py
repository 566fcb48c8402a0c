"""Writes modules for the command line."""

from __future__ import annotations

import textwrap


def write(path, text):
    path.write_text(textwrap.dedent(text), encoding="utf-8")
