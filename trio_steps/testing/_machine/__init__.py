"""One run of a program under test: which task runs next, when time passes, what is disturbed, and the outcome.

May use: the accounts and findings of `testing`.
Begin with `run`. The `conductor` releases one task at a time; a `player` is a task at its gate.
"""
