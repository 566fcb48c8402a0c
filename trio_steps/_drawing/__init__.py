"""Diagrams as text: a graph of boxes and arrows, and how it is written in Mermaid and in DOT.

May use: nothing of the library. It knows no step, fork or pipeline; those describe themselves as a graph.
Begin with `graph`.
"""
