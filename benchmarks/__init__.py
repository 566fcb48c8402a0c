"""What trio_steps costs, against bare Trio and its peers: ``python -m benchmarks`` measures and judges.

    __main__        the command: runs, prints the table, writes JSON and SVG, exits 1 when a target is missed
    fanout          P1 to P4 and P10: forks against what one would write by hand, and against peers
    small           P11, forks of two or three paths; P14, results read as they come
    pipelines       P6 to P8: what a step of a pipeline costs, and a parallel one
    memory          P5, the peak of a million-path fork; and ``--soak``: does anything grow?
    imports         P9, the time to import
    latency         the study of latency, on a virtual clock: what races, hedges and deadlines buy
    instructions    instruction counts, which have no noise, against ``baseline.json``
    gated           P17: what it costs to run a program one step at a time, with trio_steps.testing
    report, svg     the table and the pictures
    measure         contenders, rounds, ratios
    work            the paths that are run, and the checks that both sides did the same

A new target is a `measure.Target` in the module that has the work, with the contenders that do it.
"""
