"""What a step of a task can touch: which steps are known to be independent of each other.

Begin with `footprints`, which says how that is known. `reach` follows references, `kinds` says what is known of types
and functions, `trios` of those of Trio.
"""
