"""Adapters that keep a log: in memory for tests, in SQLite by default.

Each adapter knows the ports and nothing of the others; `runtime.compose` picks one, and the
suite `deploymark.testing.exercise_log_store` holds them all to the same behaviour.
"""
