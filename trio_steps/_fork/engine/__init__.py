"""The engine: the one nursery that runs the paths of a fork, whatever its mode.

May use: the modules of `_fork` that say what a fork is (`ledger`, `modes`, `paths`, `plan`), and what those may use.
Begin with `run`: the whole, in order.
"""
