"""Many runs of a program: which to try, and the smallest run that shows a finding.

May use: `_machine`.
Begin with `explore`.
"""
