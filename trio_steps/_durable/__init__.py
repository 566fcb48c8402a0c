"""Stores, which keep runs.

May use: `_core`. It knows no pipeline: what drives a durable run is `_pipeline.run.durable`.
Begin with `protocol`, what a store is. `sqlite` is the store for one machine.
"""
