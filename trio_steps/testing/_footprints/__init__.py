"""What a step of a task can touch, and so which steps are known to be independent of each other.

Begin with `footprints`, which explains how that is known. `reach` follows references. `kinds` says what is known about
types and functions, and `trios` what is known about Trio's.
"""
