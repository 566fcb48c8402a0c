"""Many runs of a program: which to try, and the least that shows what was found.

May use: `_machine`.
Begin with `explore`.
"""
