"""Runs in PostgreSQL, kept by Absurd's functions. Synchronous, except for `connections` and `leases`.

May use: `_core`, and psycopg. Begin with `engine`, which reads and changes runs. `rows` describes the tables.
"""
