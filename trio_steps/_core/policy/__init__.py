"""The policies of steps: what is wrapped around an attempt, and around a call with all its attempts.

May use: the other modules of `_core`.
Begin with `policies`, which applies them in their order. Each other module is one of them, or a part of one.
"""
