"""What a step is: its scope, events, policies, results and errors, and the tokens that it can lend.

May use: `_drawing`, to draw itself. Everything but `_drawing` and `_values` is built on this package.
Begin with `step`: how a step is called. `function` turns a function into one, `policies` says what is wrapped around
it, and `scope` says where it runs.
"""
