"""The command line, ``trio-steps``.

May use: everything.
Begin with `commands`. `attended` runs a pipeline while a person watches.
"""

from .commands import main

__all__ = ["main"]
