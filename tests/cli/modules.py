"""Modules for the command line, written by a test."""

from __future__ import annotations

import textwrap


def write(path, text):
    path.write_text(textwrap.dedent(text), encoding="utf-8")
