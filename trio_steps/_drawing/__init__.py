"""Diagrams as text: a graph of boxes and arrows, and how to write it in Mermaid and in DOT; and how runs look.

May use: nothing else in the library. It knows no steps, forks or pipelines: they describe themselves as graphs.
Begin with `graph`. `looks` has the words, marks and colours for everything that draws a run.
"""
