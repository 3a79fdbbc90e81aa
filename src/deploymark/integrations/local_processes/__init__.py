"""The processes of this machine: which belong to a service, and what they really execute.

`processes` reads what the kernel says of a process, `selection` decides which of them are
instances of a service, `hashing` hashes what they execute and remembers files that did not change,
and `observer` is the port over them. A process is never asked: neither its environment nor what it
calls itself is evidence. Linux only.
"""
