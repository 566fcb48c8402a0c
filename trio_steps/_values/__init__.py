"""Values that flow through a pipeline: how they are copied, compared, and written as JSON. Pure and synchronous.

May use: `_core`, for results and errors, which are values too.
Begin with `copying`. `codec` is the way to text and back; `forms` says how each type is taken apart and put together.
"""
