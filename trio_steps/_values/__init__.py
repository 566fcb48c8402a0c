"""Values that flow through a pipeline: how they are copied, compared, and written as JSON. Pure and synchronous.

May use: `_core`, for results and errors, which are values too.
Begin with `copying`. `codec` turns values into text and back; `forms` knows how each type is taken apart and rebuilt.
"""
