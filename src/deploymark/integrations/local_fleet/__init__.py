"""Lets the local fleet of the demonstration and of tests carry out orders.

The fleet itself is shipped in `deploymark.testing.fleet`; here is only who asks it. It is a real
actuator over real processes, and nothing for production.
"""
