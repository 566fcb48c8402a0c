"""Stores, which keep runs.

May use: `_core`. It knows no pipeline: `_pipeline.run.durable` drives durable runs.
Begin with `protocol`, which says what a store is. `sqlite` is the store for one machine.
"""
