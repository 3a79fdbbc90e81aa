"""A local fleet: real processes of a real service, with a splitter in front and load on it.

For tests and for the demonstration, where nobody has a cluster. `release` writes releases to the
disk, `service` is what is in them, `splitter` divides the traffic, `load` makes it, `commands` is
how these are told things, `keeper` starts and ends them all and `control` lets the actuator
`local_fleet` ask for it. Everything listens on loopback, and ends with whoever started it.
"""
