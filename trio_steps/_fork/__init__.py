"""Forks: several steps at once, and a decision between them.

May use: `_core`, `_drawing`.
Begin with `fork`, then `plan`: the checked arguments of a fork. `modes` decide, and know nothing of nurseries. `engine`
runs the paths, and knows no mode by name.
"""
