"""One run of a program under test: which task runs next, when time passes, what is disturbed, and the outcome.

May use: the modules of `testing` outside of its packages.
Begin with `run`. The `conductor` releases one task at a time; a `player` is a task at its gate.
"""
