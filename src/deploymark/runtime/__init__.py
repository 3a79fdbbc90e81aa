"""Puts a running deploymark together: the only room that picks adapters.

`data_directory` knows which file lies where, `compose` opens a log with its keys, guard and
witnesses, `system` holds the real clock and counters. Nothing below this room knows of it.
"""
