"""Lets a program of the operator's carry out orders: the way out for whatever has no adapter.

`running` runs one program within its time, `actuator` is the port over it. The program is named by
its words, and no shell reads them.
"""
