"""The observers of the library, and what they show: a record, a live tree, a log, timelines, charts.

May use: `_core`, `_drawing`. Everything they know about a run comes from its events.
Begin with `recorder`. `rows` reads the story of a run from its events, and everything that draws one uses it.
"""
