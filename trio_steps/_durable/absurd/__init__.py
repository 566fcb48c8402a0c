"""Runs in PostgreSQL, kept by Absurd's functions. Synchronous, but for `connections` and `leases`.

May use: `_core`, and psycopg. Begin with `engine`, what becomes of a run; `rows` says what is where.
"""
