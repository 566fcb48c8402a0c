"""Runs that are kept in a store as they go.

May use: `_pipeline`, `_values`, `_core`.
Begin with `runs`. `sqlite` is the store for one machine.
"""
