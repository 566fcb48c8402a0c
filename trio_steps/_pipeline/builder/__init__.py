"""What the methods of `Pipeline` make of their arguments: options, steps, branches, forks.

May use: `contract` and the modules of `_pipeline` that say what a pipeline is.
Begin with `steps`.
"""
