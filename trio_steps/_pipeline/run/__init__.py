"""How a pipeline runs, and resumes: one loop for both.

May use: `_fork` for parallel steps, `_values`, and the modules of `_pipeline` that say what a pipeline is.
Begin with `loop`. `journal` holds what is already done; `checkpoint` is that as a value and as text.
"""
