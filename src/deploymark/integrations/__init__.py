"""Adapters that talk to systems of others, one module or folder for each.

Like `deploymark.storage`, they see the ports and what lies below them, nothing else, and do not
know each other.
"""
