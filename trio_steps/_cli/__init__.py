"""The command line, ``trio-steps``.

May use: everything.
Begin with `commands`. `attended` runs a pipeline while a person watches; `output` shows what it returned.
"""

from .commands import main

__all__ = ["main"]
