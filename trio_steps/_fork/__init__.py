"""Forks: several steps at once, and how it is decided between them.

May use: `_core`, `_drawing`.
Begin with `fork`, then `plan`: what a fork was given, checked. `modes` decide, and know no nursery. `engine` runs the
paths, and knows no mode by name.
"""
