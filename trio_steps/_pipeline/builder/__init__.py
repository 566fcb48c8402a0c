"""How the methods of `Pipeline` turn their arguments into options, steps, branches and forks.

May use: `contract` and the modules of `_pipeline` that say what a pipeline is.
Begin with `steps`.
"""
