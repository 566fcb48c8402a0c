"""One run of a program under test: who goes on, when time passes, what is disturbed, and what came of it.

May use: the accounts and findings of `testing`.
Begin with `run`. The `conductor` releases one task at a time; a `player` is a task at its gate.
"""
