"""Pipelines: a context that flows through named steps.

May use: `_fork`, `_values`, `_observers`, `_core`, `_drawing`.
Begin with `pipeline`, the class. `builder` makes its steps, `contract` checks them as they are added, and `run` holds
the one loop that executes them.
"""
