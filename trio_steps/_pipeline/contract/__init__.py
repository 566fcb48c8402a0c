"""What is known of a context before anything runs: which keys, of which types, and whether a step can work with them.

May use: `signature`, to see what a function asks for. Pure and synchronous.
Begin with `flow`: what goes in and out of each step. `annotations` reads types, `compatible` compares them.
"""
