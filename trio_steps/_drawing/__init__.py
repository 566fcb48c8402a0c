"""Diagrams as text: a graph of boxes and arrows, and how it is written in Mermaid and in DOT; and how runs look.

May use: nothing of the library. It knows no steps, forks or pipelines: they describe themselves as graphs.
Begin with `graph`. `looks` has the words, marks and colours of everything that draws a run.
"""
