"""Shipped test support: suites that every adapter must pass, and fakes that tests may use.

Third parties that write an adapter run the `exercise_*` suite of its port against it. The suites
raise AssertionError and need no test framework.
"""
